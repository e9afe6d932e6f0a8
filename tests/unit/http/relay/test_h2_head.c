/* Goal: a request's head in HTTP/1.1's text becomes the fields of RFC 9113, 8.2
 * and 8.3, and nothing else. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/list.h"
#include "http/relay/h2_internal.h"

#include <stdio.h>

/* "name=value|name=value|" */
static const char *shown(const struct h2_head *head, char *out, size_t room)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < head->count; i++)
        len += (size_t)snprintf(out + len, room - len, "%.*s=%.*s|", (int)head->fields[i].namelen,
                                (const char *)head->fields[i].name, (int)head->fields[i].valuelen,
                                (const char *)head->fields[i].value);
    return out;
}

static const struct {
    const char *text;
    struct h2_head_form form;
    const char *want; /* NULL: refused */
} cases[] = {
    {"GET / HTTP/1.1\r\nHost: a:80\r\n\r\n",
     {0},
     ":method=GET|:scheme=http|:path=/|:authority=a:80|"},
    {"POST /x?y=z HTTP/1.1\r\nX-Own: 1\r\nHost: a\r\nCookie: b=c; d=e\r\n\r\n",
     {.secure = true},
     ":method=POST|:scheme=https|:path=/x?y=z|:authority=a|X-Own=1|Cookie=b=c; "
     "d=e|"},
    {"GET / HTTP/1.1\r\n\r\n", {0}, ":method=GET|:scheme=http|:path=/|"},
    {"GET / HTTP/1.1\r\nHost: \r\n\r\n", {0}, ":method=GET|:scheme=http|:path=/|"},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
     {0},
     ":method=OPTIONS|:scheme=http|:path=*|:authority=a|"},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nKeep-Alive: "
     "1\r\nTransfer-Encoding: chunked\r\n"
     "Upgrade: h2c\r\nHTTP2-Settings: x\r\nTE: gzip\r\nTrailer: "
     "x\r\nProxy-Authorization: x\r\n\r\n",
     {0},
     ":method=GET|:scheme=http|:path=/|:authority=a|"},
    {"GET / HTTP/1.1\r\nTE: trailers\r\n\r\n",
     {0},
     ":method=GET|:scheme=http|:path=/|TE=trailers|"},
    {"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: "
     "websocket\r\n"
     "Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n",
     {.upgrade = true},
     ":method=CONNECT|:scheme=http|:path=/ws|:protocol=websocket|:authority=a|"
     "Sec-WebSocket-Version=13|"},
    {"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", {.upgrade = true}, NULL},
    {"GET / HTTP/1.1\r\nno colon\r\n\r\n", {0}, NULL},
    {"GET / HTTP/1.1\r\n: nameless\r\n\r\n", {0}, NULL},
    {"GET /\r\n\r\n", {0}, NULL},
    {"GET / HTTP/1.1", {0}, NULL},
    {"", {0}, NULL},
};

TEST(heads)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new(4096);
        struct h2_head head;
        char text[1000];
        bool ok = h2_head_from_text(arena, slice_of(cases[i].text), cases[i].form, &head);

        CHECK_EQ(ok, cases[i].want != NULL, cases[i].text);
        if (ok)
            CHECK_SLICE(slice_of(shown(&head, text, sizeof text)), cases[i].want, cases[i].text);
        arena_drop(arena);
    }
}
