#include "base/list.h"
#include "event/address.h"

#include "tests/unit/check.h"

#include <stdlib.h>

static const struct {
    const char *text;
    const char *whole; /* NULL: refused. The default port is 8080 */
    const char *host;
} addresses[] = {
    {"127.0.0.1", "127.0.0.1:8080", "127.0.0.1"},
    {"127.0.0.1:80", "127.0.0.1:80", "127.0.0.1"},
    {"255.255.255.255:65535", "255.255.255.255:65535", "255.255.255.255"},
    {"127.0.0.1:", "127.0.0.1:8080", "127.0.0.1"},
    {"[::1]", "[::1]:8080", "::1"},
    {"[::1]:80", "[::1]:80", "::1"},
    {"[2001:DB8:0:0::1]:80", "[2001:db8::1]:80", "2001:db8::1"},
    {"[::ffff:1.2.3.4]:80", "[::ffff:1.2.3.4]:80", "::ffff:1.2.3.4"},
    {"[fe80::1%7]:80", "[fe80::1%7]:80", "fe80::1"},
    {"[fe80::1%lo]:80", "[fe80::1%1]:80", "fe80::1"},
    {"*", "0.0.0.0:8080", "0.0.0.0"},
    {"*:80", "0.0.0.0:80", "0.0.0.0"},
    {"80", "0.0.0.0:80", "0.0.0.0"},
    {"unix:/run/app.sock", "unix:/run/app.sock", "unix:"},
    {"unix:/a:b", "unix:/a:b", "unix:"},
    {"unix:@name", "unix:@name", "unix:"},
    {"", NULL, NULL},
    {"localhost", NULL, NULL},
    {"example.com:80", NULL, NULL},
    {"0", NULL, NULL},
    {"65536", NULL, NULL},
    {"99999999999999999999", NULL, NULL},
    {"127.0.0.1:0", NULL, NULL},
    {"127.0.0.1:65536", NULL, NULL},
    {"127.0.0.1:000080", NULL, NULL},
    {"127.0.0.1:80 ", NULL, NULL},
    {"127.0.0.1:-1", NULL, NULL},
    {"127.0.0.1:80:80", NULL, NULL},
    {"127.0.0.256", NULL, NULL},
    {"127.0.0.01", NULL, NULL},
    {"127.1", NULL, NULL},
    {"0x7f.0.0.1", NULL, NULL},
    {":80", NULL, NULL},
    {"*80", NULL, NULL},
    {"::1", NULL, NULL},
    {"::1:80", NULL, NULL},
    {"[::1", NULL, NULL},
    {"[]", NULL, NULL},
    {"[]:80", NULL, NULL},
    {"[127.0.0.1]:80", NULL, NULL},
    {"[::1]80", NULL, NULL},
    {"[::1]x:80", NULL, NULL},
    {"[::1%]:80", NULL, NULL},
    {"[::1%no-such-if]:80", NULL, NULL},
    {"[::1%0]:80", NULL, NULL},
    {"[1:2:3:4:5:6:7:8:9]", NULL, NULL},
    {"unix:", NULL, NULL},
    {"unix:@", NULL, NULL},
};

TEST(parsing_and_back)
{
    for (size_t i = 0; i < COUNT(addresses); i++) {
        struct address address;
        char text[ADDRESS_TEXT_BYTES];
        const char *context = addresses[i].text;
        bool ok = address_parse(slice_of(context), 8080, &address);
        size_t len;

        CHECK_EQ(ok, addresses[i].whole != NULL, context);
        if (!ok)
            continue;
        len = address_text(&address, text);
        CHECK_EQ(len, strlen(text), context);
        CHECK_STR(text, addresses[i].whole, context);
        len = address_host_text(&address, text);
        CHECK_EQ(len, strlen(text), context);
        CHECK_STR(text, addresses[i].host, context);
    }
}

/* Goal: what is printed is read back as the same address. */
TEST(texts_round_trip)
{
    for (size_t i = 0; i < COUNT(addresses); i++) {
        struct address address;
        struct address again;
        char text[ADDRESS_TEXT_BYTES];

        if (!address_parse(slice_of(addresses[i].text), 8080, &address))
            continue;
        address_text(&address, text);
        CHECK(address_parse(slice_of(text), 1, &again), text);
        CHECK(address_equal(&address, &again), text);
    }
}

TEST(unix_paths_have_a_limit)
{
    char text[5 + 200] = "unix:";
    char out[ADDRESS_TEXT_BYTES];
    struct address address;

    memset(text + 5, 'p', 199);
    CHECK(address_parse(slice_make(text, 5 + 107), 0, &address));
    CHECK_EQ(address_text(&address, out), 112);
    CHECK(!address_parse(slice_make(text, 5 + 108), 0, &address));
    CHECK(!address_parse(slice_make("unix:a\0b", 8), 0, &address), "a NUL would cut the path");
    CHECK(!address_parse(slice_make("1.2.3.4\0", 8), 0, &address));
}

/* Method: the peer of a unix socket mostly has no name; the longest has no terminator. */
TEST(unix_peers_as_the_kernel_gives_them)
{
    struct address nameless = {.len = sizeof(sa_family_t)};
    struct address longest = {.len = sizeof(struct sockaddr_un)};
    char out[ADDRESS_TEXT_BYTES];

    nameless.un.sun_family = AF_UNIX;
    CHECK_EQ(address_text(&nameless, out), 5);
    CHECK_STR(out, "unix:");
    longest.un.sun_family = AF_UNIX;
    memset(longest.un.sun_path, 'x', sizeof longest.un.sun_path);
    CHECK_EQ(address_text(&longest, out), 113);
    CHECK(!address_equal(&nameless, &longest));
    CHECK(address_equal(&nameless, &nameless));
    CHECK_EQ(address_port(&nameless), 0);
}

TEST(no_address_is_only_equal_to_none)
{
    struct address none = {.len = 0};
    struct address some;
    char out[ADDRESS_TEXT_BYTES] = "x";

    CHECK(address_parse(slice_of("127.0.0.1:80"), 0, &some));
    CHECK(!address_equal(&none, &some));
    CHECK(!address_equal(&some, &none));
    CHECK(address_equal(&none, &none));
    CHECK_EQ(address_text(&none, out), 0);
    CHECK_STR(out, "");
    CHECK(!address_is_wildcard(&none));
    CHECK_EQ(address_port(&none), 0);
}

TEST(ports_can_be_set)
{
    struct address a;
    struct address b;

    CHECK(address_parse(slice_of("[::1]:80"), 0, &a));
    CHECK(address_parse(slice_of("[::1]:81"), 0, &b));
    CHECK(!address_equal(&a, &b));
    address_set_port(&a, 81);
    CHECK_EQ(address_port(&a), 81);
    CHECK(address_equal(&a, &b));
    CHECK(address_parse(slice_of("1.2.3.4"), 0, &a));
    address_set_port(&a, 65535);
    CHECK_EQ(address_port(&a), 65535);
}

TEST(wildcards)
{
    struct address address;

    CHECK(address_parse(slice_of("80"), 0, &address));
    CHECK(address_is_wildcard(&address));
    CHECK(address_parse(slice_of("[::]:80"), 0, &address));
    CHECK(address_is_wildcard(&address));
    CHECK(address_parse(slice_of("[::1]:80"), 0, &address));
    CHECK(!address_is_wildcard(&address));
    CHECK(address_parse(slice_of("unix:/x"), 0, &address));
    CHECK(!address_is_wildcard(&address));
}

TEST(addresses_without_port)
{
    struct address address;

    CHECK(address_parse_ip(slice_of("10.0.0.1"), 7, &address));
    CHECK_EQ(address_port(&address), 7);
    CHECK(address_parse_ip(slice_of("2001:db8::1"), 7, &address));
    CHECK_EQ(address_port(&address), 7);
    CHECK(!address_parse_ip(slice_of("10.0.0.1:80"), 7, &address));
    CHECK(!address_parse_ip(slice_of("[::1]"), 7, &address));
    CHECK(!address_parse_ip(slice_of("80"), 7, &address));
}

static const struct {
    const char *text;
    const char *host; /* NULL: malformed */
    uint16_t port;
} hosts[] = {
    {"name", "name", 0},       {"name:80", "name", 80}, {"name:", "name", 0},
    {"[::1]:80", "[::1]", 80}, {"[::1]", "[::1]", 0},   {"", NULL, 0},
    {":80", NULL, 0},          {"name:0", NULL, 0},     {"name:65536", NULL, 0},
    {"name:http", NULL, 0},    {"a:b:80", NULL, 0},     {"[::1]80", NULL, 0},
    {"[]", NULL, 0},           {"[::1", NULL, 0},
};

TEST(host_and_port_come_apart)
{
    for (size_t i = 0; i < COUNT(hosts); i++) {
        struct slice host;
        uint16_t port;
        bool ok = address_split_host_port(slice_of(hosts[i].text), &host, &port);

        CHECK_EQ(ok, hosts[i].host != NULL, hosts[i].text);
        if (!ok)
            continue;
        CHECK_SLICE(host, hosts[i].host, hosts[i].text);
        CHECK_EQ(port, hosts[i].port, hosts[i].text);
    }
}

static const struct {
    const char *block;
    const char *address;
    bool inside;
} memberships[] = {
    {"10.0.0.0/8", "10.255.255.255:1", true},
    {"10.0.0.0/8", "11.0.0.0:1", false},
    {"10.0.0.0/8", "[::ffff:10.1.2.3]:1", true},
    {"10.0.0.0/8", "[::ffff:11.1.2.3]:1", false},
    {"10.0.0.0/8", "[a00::]:1", false},
    {"192.168.1.64/26", "192.168.1.127:1", true},
    {"192.168.1.64/26", "192.168.1.128:1", false},
    {"192.168.1.64/26", "192.168.1.63:1", false},
    {"1.2.3.4", "1.2.3.4:1", true},
    {"1.2.3.4", "1.2.3.5:1", false},
    {"0.0.0.0/0", "9.9.9.9:1", true},
    {"0.0.0.0/0", "[::1]:1", false},
    {"::/0", "[::1]:1", true},
    {"::/0", "9.9.9.9:1", false},
    {"2001:db8::/33", "[2001:db8:7fff::1]:1", true},
    {"2001:db8::/33", "[2001:db8:8000::1]:1", false},
    {"::1", "[::1]:1", true},
    {"unix:", "unix:/x", true},
    {"unix:", "1.2.3.4:1", false},
    {"1.2.3.4", "unix:/x", false},
};

TEST(blocks_have_what_is_inside)
{
    for (size_t i = 0; i < COUNT(memberships); i++) {
        struct address_block block;
        struct address address;
        bool host_bits;

        CHECK(address_block_parse(slice_of(memberships[i].block), &block, &host_bits));
        CHECK(!host_bits, memberships[i].block);
        CHECK(address_parse(slice_of(memberships[i].address), 1, &address));
        CHECK_EQ(address_block_has(&block, &address), memberships[i].inside, "%s in %s",
                 memberships[i].address, memberships[i].block);
    }
}

TEST(bits_beyond_the_mask_are_told_and_cleared)
{
    struct address_block block;
    struct address address;
    bool host_bits;

    CHECK(address_block_parse(slice_of("10.0.0.1/8"), &block, &host_bits));
    CHECK(host_bits);
    CHECK(address_parse(slice_of("10.9.9.9"), 1, &address));
    CHECK(address_block_has(&block, &address));
    CHECK(address_block_parse(slice_of("2001:db8::1/127"), &block, &host_bits));
    CHECK(host_bits);
    CHECK(address_block_parse(slice_of("255.255.255.255/0"), &block, &host_bits));
    CHECK(host_bits);
}

TEST(what_is_no_block_is_refused)
{
    static const char *const texts[] = {
        "",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "::/129",
        "10.0.0.0/255.0.0.0",
        "example.com",
        "fe80::1%1",
        "10.0.0/8",
        "[::1]/8",
        "/8",
        "10.0.0.0/4294967304",
        "unix:/x",
    };

    for (size_t i = 0; i < COUNT(texts); i++) {
        struct address_block block;
        bool host_bits;

        CHECK(!address_block_parse(slice_of(texts[i]), &block, &host_bits), texts[i]);
    }
}
