/* Goal: the URL of a proxy_pass is taken apart as nginx does, and what is none is refused.
 * Method: a table of texts; the parts are slices of them. */
#include "tests/unit/check.h"

#include "base/list.h"
#include "http/features/proxy_internal.h"

static const struct {
    const char *in;
    const char *authority; /* NULL: refused */
    const char *host_header;
    const char *port;
    const char *uri;
    unsigned port_number;
} cases[] = {
    {"http://app", "app", "app", "80", "", 80},
    {"HTTP://App/", "App", "App", "80", "/", 80},
    {"http://app:80/x", "app:80", "app", "80", "/x", 80},
    {"http://app:8080/x?y=/:1", "app:8080", "app:8080", "8080", "/x?y=/:1", 8080},
    {"http://app?x", "app", "app", "80", "?x", 80},
    {"http://127.0.0.1:3000", "127.0.0.1:3000", "127.0.0.1:3000", "3000", "", 3000},
    {"http://[::1]", "[::1]", "[::1]", "80", "", 80},
    {"http://[::1]:81/a", "[::1]:81", "[::1]:81", "81", "/a", 81},
    {"http://unix:/run/a.sock", "unix:/run/a.sock", "localhost", "", "", 80},
    {"http://unix:/run/a.sock:", "unix:/run/a.sock", "localhost", "", "", 80},
    {"http://unix:/run/a.sock:/x:y", "unix:/run/a.sock", "localhost", "", "/x:y", 80},
    {"https://app", "app", "app", "443", "", 443},
    {"http://", NULL, NULL, NULL, NULL, 0},
    {"http:///x", NULL, NULL, NULL, NULL, 0},
    {"http://:80", NULL, NULL, NULL, NULL, 0},
    {"http://app:0", NULL, NULL, NULL, NULL, 0},
    {"http://app:65536", NULL, NULL, NULL, NULL, 0},
    {"http://app:x", NULL, NULL, NULL, NULL, 0},
    {"http://app:", NULL, NULL, NULL, NULL, 0},
    {"http://unix:", NULL, NULL, NULL, NULL, 0},
    {"http://unix::/x", NULL, NULL, NULL, NULL, 0},
    {"app", NULL, NULL, NULL, NULL, 0},
    {"ftp://app", NULL, NULL, NULL, NULL, 0},
    {"http:/app", NULL, NULL, NULL, NULL, 0},
    {"", NULL, NULL, NULL, NULL, 0},
};

TEST(urls)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct proxy_url url;
        const char *error = NULL;
        bool ok = proxy_parse_url(slice_of(cases[i].in), &proxy_kind, &url, &error);

        CHECK_EQ(ok, cases[i].authority != NULL, cases[i].in);
        CHECK_EQ(error == NULL, ok, "%s: a reason exactly when refused", cases[i].in);
        if (!ok)
            continue;
        CHECK_SLICE(url.authority, cases[i].authority, cases[i].in);
        CHECK_SLICE(url.host_header, cases[i].host_header, cases[i].in);
        CHECK_SLICE(url.port, cases[i].port, cases[i].in);
        CHECK_SLICE(url.uri, cases[i].uri, cases[i].in);
        CHECK_EQ(url.port_number, cases[i].port_number, cases[i].in);
    }
}
