/* Request heads: what is read, what is refused, and why. */
#include "base/arena.h"
#include "http/h1/parse.h"
#include "tests/unit/check.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define HOST "Host: a\r\n"

static enum parse_result parse(struct h1_request *r, struct slice in)
{
    h1_request_init(r, NULL);
    return parse_request_head(in, &h1_default_limits, r);
}

/* As the network may deliver it: one byte more in each call, each time at another address. A
 * mistake need not be noticed before the head ends, so an end is sent in any case. */
static enum parse_result parse_bytewise(struct h1_request *r, struct slice in)
{
    enum parse_result result = PARSE_MORE;
    static char places[2][65536];

    h1_request_init(r, NULL);
    for (size_t len = 0; len <= in.len + 4 && result == PARSE_MORE; len++) {
        char *place = places[len & 1] + sizeof places[0] - len;

        memcpy(place, in.data, len < in.len ? len : in.len);
        if (len > in.len)
            memcpy(place + in.len, "\r\n\r\n", len - in.len);
        result = parse_request_head(slice_make(place, len), &h1_default_limits, r);
    }
    return result;
}

static const char *const good[] = {
    "GET / HTTP/1.1\r\n" HOST "\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
    "POST /a?b=c HTTP/1.1\r\nhost: a.b:80\r\ncontent-length: 5\r\n\r\n",
    "PUT /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
    "PUT /x HTTP/1.1\r\n" HOST "Transfer-Encoding:CHUNKED \t\r\n\r\n",
    "GET http://h.example/p?q HTTP/1.1\r\nHost: other\r\n\r\n",
    "GET https://h.example HTTP/1.1\r\n" HOST "\r\n",
    "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
    "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
    "M-SEARCH /x HTTP/1.9\r\n" HOST "\r\n",
    "GET /\xff HTTP/1.1\r\nX: \xff\x80\r\n" HOST "X-Empty:\r\nX-Blank: \t \r\n\r\n",
    "GET / HTTP/1.1\r\n" HOST "Bad(Name: x\r\nx_y: z\r\n\r\n",
    "GET / HTTP/1.1\r\n" HOST "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
};

/* Goal: each good head is taken, whole and in pieces, and each beginning of it asks for more. */
TEST(good_heads)
{
    for (size_t i = 0; i < COUNT(good); i++) {
        struct slice in = slice_of(good[i]);
        struct h1_request r;

        CHECK_EQ(parse(&r, in), PARSE_OK, good[i]);
        CHECK_EQ(r.head_bytes, in.len, good[i]);
        for (size_t cut = 0; cut < in.len; cut++)
            CHECK_EQ(parse(&r, slice_head(in, cut)), PARSE_MORE, good[i]);
        CHECK_EQ(parse_bytewise(&r, in), PARSE_OK, good[i]);
        CHECK_EQ(r.head_bytes, in.len, good[i]);
    }
}

#define LINE "GET / HTTP/1.1\r\n"

static const struct {
    struct slice in;
    enum h1_error want;
} bad[] = {
#define BAD(text, error)                                                                           \
    {                                                                                              \
        SLICE(text), H1_##error                                                                    \
    }
    BAD("get / HTTP/1.1\r\n" HOST "\r\n", BAD_METHOD),
    BAD(" GET / HTTP/1.1\r\n", BAD_METHOD),
    BAD("GET\r\n", BAD_METHOD),
    BAD("G\0T / HTTP/1.1\r\n", BAD_METHOD),
    BAD("\x16\x03\x01\x02", TLS_ON_PLAIN),
    BAD("\n", BARE_LF),
    BAD("\r\n\r\n\r\n\r\n\r\n", EMPTY_LINES),
    BAD("\rG", BARE_CR),
    BAD("GET  / HTTP/1.1\r\n", BAD_TARGET),
    BAD("GET /\r\n", HTTP09),
    BAD("GET /\n", BARE_LF),
    BAD("GET /a\tb HTTP/1.1\r\n", BAD_TARGET),
    BAD("GET /\x7f HTTP/1.1\r\n", BAD_TARGET),
    BAD("GET a HTTP/1.1\r\n", BAD_TARGET),
    BAD("GET * HTTP/1.1\r\n", BAD_TARGET),
    BAD("OPTIONS *x HTTP/1.1\r\n", BAD_TARGET),
    BAD("GET ftp://a/ HTTP/1.1\r\n", BAD_TARGET),
    BAD("GET http:/a HTTP/1.1\r\n", BAD_TARGET),
    BAD("GET http:///a HTTP/1.1\r\n", BAD_HOST),
    BAD("GET http://u@h/a HTTP/1.1\r\n", BAD_HOST),
    BAD("GET http://h#f HTTP/1.1\r\n", BAD_HOST),
    BAD("CONNECT / HTTP/1.1\r\n", BAD_TARGET),
    BAD("CONNECT h HTTP/1.1\r\n", BAD_TARGET),
    BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H2_PREFACE),
    BAD("GET / HTTP/2.0\r\n", VERSION_UNSUPPORTED),
    BAD("GET / HTTP/9.9\r\n", VERSION_UNSUPPORTED),
    BAD("GET / HTTP/0.9\r\n", BAD_VERSION),
    BAD("GET / http/1.1\r\n", BAD_VERSION),
    BAD("GET / HTTP/1.10\r\n", BAD_VERSION),
    BAD("GET / HTTP/1.1 \r\n", BAD_VERSION),
    BAD("GET / HTTP/11\r\n", BAD_VERSION),
    BAD("GET / HTTP/1.1\n", BARE_LF),
    BAD("GET / HTTP/1.1\rX", BARE_CR),
    BAD("GET / x HTTP/1.1\r\n", BAD_VERSION),
    BAD(LINE " a: b\r\n", OBS_FOLD),
    BAD(LINE HOST " folded\r\n\r\n", OBS_FOLD),
    BAD(LINE HOST "\tfolded\r\n\r\n", OBS_FOLD),
    BAD(LINE "Host : a\r\n\r\n", SPACE_BEFORE_COLON),
    BAD(LINE "Ho st: a\r\n\r\n", SPACE_BEFORE_COLON),
    BAD(LINE "Host\t: a\r\n\r\n", SPACE_BEFORE_COLON),
    BAD(LINE "Host\r\n\r\n", NO_COLON),
    BAD(LINE ": a\r\n\r\n", EMPTY_NAME),
    BAD(LINE "Host: a\n", BARE_LF),
    BAD(LINE "Host\n", BARE_LF),
    BAD(LINE HOST "\n", BARE_LF),
    BAD(LINE "Host: a\rb\r\n\r\n", BARE_CR),
    BAD(LINE HOST "\rx", BARE_CR),
    BAD(LINE "Host: a\0b\r\n\r\n", CONTROL_BYTE),
    BAD(LINE "Ho\0st: a\r\n\r\n", CONTROL_BYTE),
    BAD(LINE "X: a\x1b\r\n\r\n", CONTROL_BYTE),
    BAD(LINE "X: a\x7f\r\n\r\n", CONTROL_BYTE),
    BAD(LINE "\r\n", NO_HOST),
    BAD(LINE "Host:\r\n\r\n", BAD_HOST),
    BAD(LINE "Host: a/b\r\n\r\n", BAD_HOST),
    BAD(LINE "Host: a b\r\n\r\n", BAD_HOST),
    BAD(LINE "Host: a, b\r\n\r\n", BAD_HOST),
    BAD("GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", BAD_HOST),
    BAD("GET http://a/ HTTP/1.1\r\nHost: b/c\r\n\r\n", BAD_HOST),
    BAD("GET http://a/ HTTP/1.1\r\n\r\n", NO_HOST),
    BAD(LINE HOST HOST "\r\n", DUPLICATE_HOST),
    BAD(LINE HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", DUPLICATE_LENGTH),
    BAD(LINE HOST "Content-Length: 1, 1\r\n\r\n", BAD_LENGTH),
    BAD(LINE HOST "Content-Length:\r\n\r\n", BAD_LENGTH),
    BAD(LINE HOST "Content-Length: -1\r\n\r\n", BAD_LENGTH),
    BAD(LINE HOST "Content-Length: +1\r\n\r\n", BAD_LENGTH),
    BAD(LINE HOST "Content-Length: 0x1\r\n\r\n", BAD_LENGTH),
    BAD(LINE HOST "Content-Length: 9223372036854775808\r\n\r\n", BAD_LENGTH),
    BAD(LINE HOST "Content-Length: 99999999999999999999\r\n\r\n", BAD_LENGTH),
    BAD(LINE HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", LENGTH_AND_CODING),
    BAD(LINE HOST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", LENGTH_AND_CODING),
    BAD(LINE HOST "Transfer-Encoding: gzip\r\n\r\n", UNKNOWN_CODING),
    BAD(LINE HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", UNKNOWN_CODING),
    BAD(LINE HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", UNKNOWN_CODING),
    BAD(LINE HOST "Transfer-Encoding: identity\r\n\r\n", UNKNOWN_CODING),
    BAD(LINE HOST "Transfer-Encoding:\r\n\r\n", UNKNOWN_CODING),
    BAD(LINE HOST "Transfer-Encoding: xchunked\r\n\r\n", UNKNOWN_CODING),
    BAD(LINE HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        DUPLICATE_HEADER),
    BAD("GET / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", CODING_IN_HTTP10),
    BAD(LINE HOST "If-Range: a\r\nif-range: a\r\n\r\n", DUPLICATE_HEADER),
#undef BAD
};

/* Goal: what is refused is refused for the same reason whether it comes whole or byte by byte. */
TEST(bad_heads)
{
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct h1_request r;

        CHECK_EQ(parse(&r, bad[i].in), PARSE_ERROR, bad[i].in.data);
        CHECK_EQ(r.error, bad[i].want, bad[i].in.data);
        CHECK_EQ(parse_bytewise(&r, bad[i].in), PARSE_ERROR, bad[i].in.data);
        CHECK_EQ(r.error, bad[i].want, bad[i].in.data);
    }
}

TEST(every_reason_has_a_status_and_a_sentence)
{
    for (enum h1_error e = H1_NONE; e < H1_ERROR_COUNT; e++) {
        CHECK(h1_error_status(e) == 200 || h1_error_status(e) >= 400);
        CHECK(strlen(h1_error_text(e)) > 5);
    }
    CHECK_EQ(h1_error_status(H1_LINE_TOO_LONG), 414);
    CHECK_EQ(h1_error_status(H1_HEADER_TOO_LONG), 494);
    CHECK_EQ(h1_error_status(H1_UNKNOWN_CODING), 501);
    CHECK_EQ(h1_error_status(H1_VERSION_UNSUPPORTED), 505);
}

TEST(the_parts_of_a_request)
{
    struct slice in = slice_of("POST /p%20q?a=b HTTP/1.1\r\nHOST:  www.Example.com.:81 \r\n"
                               "content-length: 12\r\nExpect: 100-Continue\r\n\r\nbody");
    struct h1_request r;

    CHECK_EQ(parse(&r, in), PARSE_OK);
    CHECK_EQ(r.head_bytes, in.len - 4);
    CHECK_EQ(r.method, METHOD_POST);
    CHECK_SLICE(r.line, "POST /p%20q?a=b HTTP/1.1");
    CHECK_SLICE(r.target, "/p%20q?a=b");
    CHECK_SLICE(r.path_query, "/p%20q?a=b");
    CHECK_EQ(r.version, 11);
    CHECK_SLICE(r.host.name, "www.Example.com");
    CHECK_SLICE(r.host.port, "81");
    CHECK_EQ(r.body_kind, BODY_LENGTH);
    CHECK_EQ(r.body_bytes, 12);
    CHECK(r.keep_alive && r.expects_continue && !r.wants_upgrade && !r.has_odd_names);
    CHECK_SLICE(header_list_slot(&r.headers, 0)->name, "HOST");
    CHECK_SLICE(header_list_slot(&r.headers, 0)->value, "www.Example.com.:81");
    CHECK_EQ(header_list_count(&r.headers), 3);
}

TEST(target_forms)
{
    struct h1_request r;

    CHECK_EQ(parse(&r, slice_of("GET HTTP://h:8/p?q HTTP/1.1\r\nHost: b\r\n\r\n")), PARSE_OK);
    CHECK_EQ(r.form, TARGET_ABSOLUTE);
    CHECK_SLICE(r.scheme, "HTTP");
    CHECK_SLICE(r.authority, "h:8");
    CHECK_SLICE(r.path_query, "/p?q");
    CHECK_SLICE(r.host.name, "h");
    CHECK_EQ(parse(&r, slice_of("GET https://h HTTP/1.1\r\nHost: b\r\n\r\n")), PARSE_OK);
    CHECK_SLICE(r.path_query, "/");
    CHECK_SLICE(r.scheme, "https");
    CHECK_EQ(parse(&r, slice_of("GET http://h?q HTTP/1.1\r\nHost: b\r\n\r\n")), PARSE_OK);
    CHECK_SLICE(r.path_query, "?q");
    CHECK_EQ(parse(&r, slice_of("OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n")), PARSE_OK);
    CHECK_EQ(r.form, TARGET_ASTERISK);
    CHECK_SLICE(r.path_query, "*");
    CHECK_SLICE(r.host.name, "b");
    CHECK_EQ(parse(&r, slice_of("CONNECT h:1 HTTP/1.1\r\nHost: b\r\n\r\n")), PARSE_OK);
    CHECK_EQ(r.form, TARGET_AUTHORITY);
    CHECK_SLICE(r.host.port, "1");
    CHECK_EQ(r.path_query.len, 0);
}

TEST(connections_go_on_or_not)
{
    static const struct {
        const char *in;
        bool keep_alive, upgrade;
    } rows[] = {
        {LINE HOST "\r\n", true, false},
        {LINE HOST "Connection: close\r\n\r\n", false, false},
        {LINE HOST "Connection: keep-alive, Close\r\n\r\n", false, false},
        {LINE HOST "Connection: x\r\nConnection: close\r\n\r\n", false, false},
        {LINE HOST "Connection: closed\r\n\r\n", true, false},
        {"GET / HTTP/1.0\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false},
        {"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false, false},
        {LINE HOST "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", true, true},
        {LINE HOST "Connection: upgrade\r\n\r\n", true, false},
        {LINE HOST "Upgrade: websocket\r\n\r\n", true, false},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct h1_request r;

        CHECK_EQ(parse(&r, slice_of(rows[i].in)), PARSE_OK, rows[i].in);
        CHECK_EQ(r.keep_alive, rows[i].keep_alive, rows[i].in);
        CHECK_EQ(r.wants_upgrade, rows[i].upgrade, rows[i].in);
    }
}

TEST(bodies_of_requests)
{
    struct h1_request r;

    CHECK_EQ(parse(&r, slice_of(LINE HOST "\r\n")), PARSE_OK);
    CHECK_EQ(r.body_kind, BODY_NONE);
    CHECK(!r.has_length);
    CHECK_EQ(parse(&r, slice_of(LINE HOST "Content-Length: 0\r\n\r\n")), PARSE_OK);
    CHECK_EQ(r.body_kind, BODY_NONE);
    CHECK(r.has_length);
    CHECK_EQ(parse(&r, slice_of(LINE HOST "Content-Length: 9223372036854775807\r\n\r\n")),
             PARSE_OK);
    CHECK_EQ(r.body_bytes, INT64_MAX);
    CHECK_EQ(parse(&r, slice_of(LINE HOST "Transfer-Encoding: Chunked\r\n\r\n")), PARSE_OK);
    CHECK_EQ(r.body_kind, BODY_CHUNKED);
}

TEST(odd_names_are_reported)
{
    struct h1_request r;

    CHECK_EQ(parse(&r, slice_of(LINE HOST "a_b: 1\r\nc.d: 2\r\ne/f: 3\r\n\r\n")), PARSE_OK);
    CHECK(r.has_odd_names);
    CHECK_EQ(header_list_slot(&r.headers, 1)->flags & HEADER_NAME_ODD, HEADER_NAME_UNDERSCORE);
    CHECK_EQ(header_list_slot(&r.headers, 2)->flags & HEADER_NAME_ODD, HEADER_NAME_UNUSUAL);
    CHECK_EQ(header_list_slot(&r.headers, 3)->flags & HEADER_NAME_ODD, HEADER_NAME_INVALID);
}

/* A head with a target of `target_len` and a field value of `value_len` bytes. */
static struct slice big_head(char *out, size_t target_len, size_t value_len)
{
    char *at = out;

    memcpy(at, "GET /", 5);
    memset(at + 5, 'a', target_len - 1);
    at += 4 + target_len;
    memcpy(at, " HTTP/1.1\r\nHost: a\r\nX: ", 23);
    memset(at + 23, 'b', value_len);
    at += 23 + value_len;
    memcpy(at, "\r\n\r\n", 4);
    return slice_make(out, (size_t)(at + 4 - out));
}

/* Goal: a limit is met exactly, and its byte too much is refused in whichever pieces it comes. */
TEST(limits_are_exact)
{
    static char text[65536];
    struct h1_limits limits = h1_default_limits;
    struct h1_request r;
    size_t line_rest = sizeof "GET  HTTP/1.1" - 1;

    CHECK_EQ(parse(&r, big_head(text, 8192 - line_rest, 8192 - 3)), PARSE_OK);
    CHECK_EQ(parse_bytewise(&r, big_head(text, 8192 - line_rest, 8192 - 3)), PARSE_OK);
    CHECK_EQ(parse(&r, big_head(text, 8193 - line_rest, 1)), PARSE_ERROR);
    CHECK_EQ(r.error, H1_LINE_TOO_LONG);
    CHECK_EQ(parse_bytewise(&r, big_head(text, 8193 - line_rest, 1)), PARSE_ERROR);
    CHECK_EQ(r.error, H1_LINE_TOO_LONG);
    CHECK_EQ(parse(&r, big_head(text, 1, 8193 - 3)), PARSE_ERROR);
    CHECK_EQ(r.error, H1_HEADER_TOO_LONG);
    CHECK_EQ(parse_bytewise(&r, big_head(text, 1, 8193 - 3)), PARSE_ERROR);
    CHECK_EQ(r.error, H1_HEADER_TOO_LONG);

    limits.head_bytes_max = (uint32_t)big_head(text, 1, 100).len;
    h1_request_init(&r, NULL);
    CHECK_EQ(parse_request_head(big_head(text, 1, 100), &limits, &r), PARSE_OK);
    h1_request_init(&r, NULL);
    CHECK_EQ(parse_request_head(big_head(text, 1, 101), &limits, &r), PARSE_ERROR);
    CHECK_EQ(r.error, H1_HEAD_TOO_LARGE);
    h1_request_init(&r, NULL);
    CHECK_EQ(parse_request_head(slice_head(big_head(text, 1, 999), limits.head_bytes_max - 1),
                                &limits, &r),
             PARSE_MORE);
}

TEST(header_lines_are_counted)
{
    struct h1_limits limits = h1_default_limits;
    struct arena *arena = arena_new(4096);
    struct h1_request r;
    char text[1024] = LINE HOST;
    size_t len = strlen(text);

    for (int i = 0; i < 99; i++, len += 6)
        memcpy(text + len, "a: b\r\n", 6);
    memcpy(text + len, "\r\n", 2);
    limits.headers_max = 100;
    h1_request_init(&r, arena);
    CHECK_EQ(parse_request_head(slice_make(text, len + 2), &limits, &r), PARSE_OK);
    CHECK_EQ(header_list_count(&r.headers), 100);
    limits.headers_max = 99;
    h1_request_init(&r, arena);
    CHECK_EQ(parse_request_head(slice_make(text, len + 2), &limits, &r), PARSE_ERROR);
    CHECK_EQ(r.error, H1_TOO_MANY_HEADERS);
    limits.headers_max = 100;
    h1_request_init(&r, NULL);
    CHECK_EQ(parse_request_head(slice_make(text, len + 2), &limits, &r), PARSE_ERROR);
    CHECK_EQ(r.error, H1_NO_MEMORY);
    arena_drop(arena);
}

TEST(the_first_line_for_the_log)
{
    struct h1_request r;

    CHECK_SLICE(h1_first_line(slice_of("\r\nGET / HTT")), "GET / HTT");
    CHECK_SLICE(h1_first_line(slice_of("GET /\r\nHost")), "GET /");
    CHECK_SLICE(h1_first_line(slice_make(NULL, 0)), "");
    CHECK_EQ(parse(&r, slice_of("GET / HTTP/1.1\r\nHost: a\r\nb\r\n")), PARSE_ERROR);
    CHECK_SLICE(r.line, "GET / HTTP/1.1");
    CHECK_EQ(parse(&r, slice_make(NULL, 0)), PARSE_MORE);
}
