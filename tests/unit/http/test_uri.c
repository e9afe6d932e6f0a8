/* Request targets, hosts and escaping. The rows agree with what nginx 1.22 makes of them. */
#include "http/uri.h"
#include "tests/unit/check.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct {
    const char *target, *path, *args; /* args NULL: there was no '?' */
} good[] = {
    {"/", "/", NULL},
    {"/index.html", "/index.html", NULL},
    {"/a?b=c", "/a", "b=c"},
    {"/a?", "/a", ""},
    {"?x", "/", "x"},
    {"", "/", NULL},
    {"/a//b///c", "/a/b/c", NULL},
    {"//", "/", NULL},
    {"/a/./b", "/a/b", NULL},
    {"/a/.", "/a/", NULL},
    {"/.", "/", NULL},
    {"/./", "/", NULL},
    {"/a/b/../c", "/a/c", NULL},
    {"/a/b/..", "/a/", NULL},
    {"/a/b/../..", "/", NULL},
    {"/a/..", "/", NULL},
    {"/a/../", "/", NULL},
    {"/a/...", "/a/...", NULL},
    {"/a/.../b", "/a/.../b", NULL},
    {"/a/..b", "/a/..b", NULL},
    {"/a/.b", "/a/.b", NULL},
    {"/.well-known/x", "/.well-known/x", NULL},
    {"/a/b./c..", "/a/b./c..", NULL},
    {"/a/./b/../c", "/a/c", NULL},
    {"/a//../b", "/b", NULL},
    {"/a/..?x=/../..", "/", "x=/../.."},
    {"/a%20b", "/a b", NULL},
    {"/a%2Fb", "/a/b", NULL},
    {"/a%2f%2fb", "/a/b", NULL},
    {"/a/%2e%2e/b", "/b", NULL},
    {"/a/%2E/b", "/a/b", NULL},
    {"/a/.%2e/b", "/b", NULL},
    {"/a%3Fb", "/a?b", NULL},
    {"/a%23b", "/a#b", NULL},
    {"/a%25b", "/a%b", NULL},
    {"/a%252fb", "/a%2fb", NULL},
    {"/%3F", "/?", NULL},
    {"/.%3F", "/.?", NULL},
    {"/..%23", "/..#", NULL},
    {"/a+b%2B", "/a+b+", NULL},
    {"/a#frag", "/a", NULL},
    {"/a#frag?x", "/a", NULL},
    {"/a?b#frag", "/a", "b"},
    {"/a?b%2Fc?d", "/a", "b%2Fc?d"},
    {"/a/.#f", "/a/", NULL},
    {"/a/b/..#f", "/a/", NULL},
    {"/\xc3\xa4", "/\xc3\xa4", NULL},
    {"/%c3%A4", "/\xc3\xa4", NULL},
    {"/a%0d%0ab", "/a\r\nb", NULL},
};

TEST(paths_are_normalised_as_nginx_does)
{
    for (size_t i = 0; i < COUNT(good); i++) {
        struct slice target = slice_of(good[i].target);
        char scratch[128];
        struct uri uri;

        CHECK_EQ(parse_uri(target, true, scratch, &uri), URI_OK, good[i].target);
        CHECK_SLICE(uri.path, good[i].path, good[i].target);
        CHECK_EQ(uri.args.data == NULL, good[i].args == NULL, good[i].target);
        if (good[i].args != NULL)
            CHECK_SLICE(uri.args, good[i].args, good[i].target);
    }
}

TEST(bad_paths_are_refused)
{
    static const struct {
        const char *target;
        enum uri_result want;
    } bad[] = {
        {"/..", URI_ABOVE_ROOT},          {"/../a", URI_ABOVE_ROOT}, {"/a/../..", URI_ABOVE_ROOT},
        {"/a/../../", URI_ABOVE_ROOT},    {"/..?a", URI_ABOVE_ROOT}, {"/%2e%2e", URI_ABOVE_ROOT},
        {"/a/./../../b", URI_ABOVE_ROOT}, {"/%", URI_BAD_ESCAPE},    {"/%4", URI_BAD_ESCAPE},
        {"/%4g", URI_BAD_ESCAPE},         {"/%g4", URI_BAD_ESCAPE},  {"/a%?b", URI_BAD_ESCAPE},
        {"/a%2?", URI_BAD_ESCAPE},        {"/%00", URI_NUL},         {"/a%00b", URI_NUL},
        {"/a b", URI_BAD_BYTE},           {"/a\x7f", URI_BAD_BYTE},  {"/a?b c", URI_BAD_BYTE},
        {"/a#b c", URI_BAD_BYTE},         {"a", URI_NOT_A_PATH},     {"*", URI_NOT_A_PATH},
        {"http://x/", URI_NOT_A_PATH},    {"%2f", URI_NOT_A_PATH},   {"#", URI_NOT_A_PATH},
    };

    for (size_t i = 0; i < COUNT(bad); i++) {
        char scratch[64];
        struct uri uri;

        CHECK_EQ(parse_uri(slice_of(bad[i].target), true, scratch, &uri), bad[i].want,
                 bad[i].target);
        CHECK(uri_result_text(bad[i].want)[0] != '\0');
    }
}

TEST(slashes_stay_if_they_are_not_merged)
{
    static const struct {
        const char *target, *path;
    } rows[] = {
        {"//a", "//a"}, {"/a//b", "/a//b"},   {"/a/.//b", "/a//b"},    {"/a//../b", "/a/b"},
        {"//..", "/"},  {"/a/%2Fb", "/a//b"}, {"/a/b/..//c", "/a//c"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char scratch[64];
        struct uri uri;

        CHECK_EQ(parse_uri(slice_of(rows[i].target), false, scratch, &uri), URI_OK, rows[i].target);
        CHECK_SLICE(uri.path, rows[i].path, rows[i].target);
    }
}

TEST(a_plain_path_is_not_copied)
{
    struct slice target = slice_of("/a/b.html?x=%20");
    struct uri uri;

    CHECK_EQ(parse_uri(target, true, NULL, &uri), URI_OK);
    CHECK(uri.plain && !uri.quoted);
    CHECK_EQ(uri.path.data, target.data);
    CHECK_EQ(parse_uri(slice_of("//a"), false, NULL, &uri), URI_OK);
    CHECK(uri.plain);
}

TEST(quoted_is_remembered)
{
    char scratch[64];
    struct uri uri;

    CHECK_EQ(parse_uri(slice_of("/a%41"), true, scratch, &uri), URI_OK);
    CHECK(uri.quoted && !uri.plain);
    CHECK_EQ(parse_uri(slice_of("/a//b"), true, scratch, &uri), URI_OK);
    CHECK(!uri.quoted && !uri.plain);
}

TEST(escape_sets)
{
    static const struct {
        enum uri_escape set;
        const char *kept; /* of the visible bytes besides letters and digits */
    } rows[] = {
        {ESCAPE_PATH, "!$&'()*+,-./:;=@[]_~"},
        {ESCAPE_ARGS, "!$'()*,-./:=@[]_~"},
        {ESCAPE_COMPONENT, "-._~"},
        {ESCAPE_HTML_HREF, "!$&()*+,-./:;=?@[]_~"},
        {ESCAPE_REFRESH, "!#$%&()*+,-./:;=?@[]_~"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int c = 0; c < 256; c++) {
            char byte = (char)c, out[3];
            bool letter = (c >= '0' && c <= '9') ||
                          ((c | 0x20) >= 'a' && (c | 0x20) <= 'z' && c < 128);
            bool kept = letter || (c != 0 && strchr(rows[i].kept, c) != NULL);

            CHECK_EQ(uri_escape_count(slice_make(&byte, 1), rows[i].set), kept ? 0 : 1,
                     "set %zu, byte %d", i, c);
            CHECK_EQ(uri_escape(out, slice_make(&byte, 1), rows[i].set), kept ? 1 : 3);
            CHECK_EQ(uri_unescape(out, slice_make(out, kept ? 1 : 3)), 1);
            CHECK_EQ(out[0], byte);
        }
    }
}

TEST(unescape_leaves_what_is_no_escape)
{
    char out[64];
    struct slice args;

    CHECK_BYTES(out, uri_unescape(out, slice_of("a%20b%2")), "a b%2", 5);
    CHECK_BYTES(out, uri_unescape(out, slice_of("%zz%%41")), "%zz%A", 5);
    CHECK_BYTES(out, uri_unescape_path(out, slice_of("/a%3fb?c%20"), &args), "/a?b", 4);
    CHECK_SLICE(args, "c%20");
    CHECK_BYTES(out, uri_unescape_path(out, slice_of("/a"), &args), "/a", 2);
    CHECK(args.data == NULL);
}

TEST(html_is_escaped)
{
    struct slice text = slice_of("<a href=\"x'y\">&");
    char out[64];

    CHECK_EQ(html_escape(out, text), html_escaped_len(text));
    CHECK_BYTES(out, html_escaped_len(text), "&lt;a href=&quot;x&#39;y&quot;&gt;&amp;", 39);
}

TEST(paths_of_backends_must_stay_inside)
{
    CHECK(!uri_path_is_unsafe(slice_of("/a/b..c/...")));
    CHECK(!uri_path_is_unsafe(slice_of("/a/./b")));
    CHECK(!uri_path_is_unsafe(slice_of("/a%20b")));
    CHECK(uri_path_is_unsafe(slice_of("")));
    CHECK(uri_path_is_unsafe(slice_of("/../a")));
    CHECK(uri_path_is_unsafe(slice_of("/a/..")));
    CHECK(uri_path_is_unsafe(slice_of("/a/%2e%2E/b")));
    CHECK(uri_path_is_unsafe(slice_of("/a%2f..%2fb")));
    CHECK(uri_path_is_unsafe(slice_of("/a%00")));
    CHECK(uri_path_is_unsafe(slice_of("/a%")));
}

TEST(hosts)
{
    static const struct {
        const char *text, *name, *port; /* name NULL: refused */
    } rows[] = {
        {"example.com", "example.com", ""},
        {"Example.COM:8080", "Example.COM", "8080"},
        {"example.com.", "example.com", ""},
        {"example.com.:80", "example.com", "80"},
        {"example.com:", "example.com", ""},
        {"a_b", "a_b", ""},
        {"127.0.0.1:1", "127.0.0.1", "1"},
        {"[::1]", "[::1]", ""},
        {"[2001:db8::1.2.3.4]:443", "[2001:db8::1.2.3.4]", "443"},
        {"a:65535", "a", "65535"},
        {"", NULL, NULL},
        {".", NULL, NULL},
        {":80", NULL, NULL},
        {"a..b", NULL, NULL},
        {"a..", NULL, NULL},
        {"a/b", NULL, NULL},
        {"a b", NULL, NULL},
        {"user@a", NULL, NULL},
        {"a:b", NULL, NULL},
        {"a:1:2", NULL, NULL},
        {"a:65536", NULL, NULL},
        {"a:000080", NULL, NULL},
        {"a%41", NULL, NULL},
        {"[::1", NULL, NULL},
        {"[::1]x", NULL, NULL},
        {"[]", NULL, NULL},
        {"[::g]", NULL, NULL},
        {"::1", NULL, NULL},
        {"a\x80", NULL, NULL},
        {"a#b", NULL, NULL},
        {"a?b", NULL, NULL},
        {"a\\b", NULL, NULL},
        {"<a>", NULL, NULL},
        {"a\"b", NULL, NULL},
        {"[", NULL, NULL},
        {"[::1]:99999", NULL, NULL},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct host host;

        CHECK_EQ(parse_host(slice_of(rows[i].text), &host), rows[i].name != NULL, rows[i].text);
        if (rows[i].name == NULL)
            continue;
        CHECK_SLICE(host.name, rows[i].name, rows[i].text);
        CHECK_SLICE(host.port, rows[i].port, rows[i].text);
    }
}
