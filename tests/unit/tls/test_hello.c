/* Goal: names of the server_name extension are taken as hosts or not at all, whatever is sent. */
#include "tests/unit/check.h"

#include "base/list.h"
#include "tls/hello.h"

#include <stdio.h>

static struct slice extension_of(struct slice host, char *out)
{
    size_t len = host.len;
    unsigned char head[5] = {(unsigned char)((len + 3) >> 8), (unsigned char)(len + 3), 0,
                             (unsigned char)(len >> 8), (unsigned char)len};

    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, host.data, len);
    return slice_make(out, sizeof head + len);
}

TEST(hosts_are_folded_and_others_refused)
{
    static const struct {
        const char *in;
        const char *want;
    } cases[] = {
        {"example.com", "example.com"},
        {"EXAMPLE.com.", "example.com"},
        {"a", "a"},
        {".", ""},
        {"", ""},
        {"a..b", ""},
        {".a", ""},
        {"a/b", ""},
        {"a b", ""},
        {"../../etc", ""},
        {"a\\b", ""},
        {"$x", ""},
        {"a\tb", ""},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"under_score", "under_score"},
    };
    char name[TLS_NAME_BYTES_MAX + 1];
    char bytes[512];

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = extension_of(slice_of(cases[i].in), bytes);

        CHECK(slice_eq(parse_server_name(in, name), slice_of(cases[i].want)), cases[i].in);
        for (size_t cut = 0; cut < in.len; cut++)
            CHECK_EQ(parse_server_name(slice_head(in, cut), name).len, 0, cases[i].in);
    }
}

TEST(names_that_are_too_long_or_hold_zero_are_none)
{
    char name[TLS_NAME_BYTES_MAX + 1];
    char bytes[512];
    char host[300];

    memset(host, 'a', sizeof host);
    CHECK_EQ(parse_server_name(extension_of(slice_make(host, 255), bytes), name).len, 255);
    CHECK_EQ(parse_server_name(extension_of(slice_make(host, 256), bytes), name).len, 0);
    host[3] = '\0';
    CHECK_EQ(parse_server_name(extension_of(slice_make(host, 10), bytes), name).len, 0);
}
