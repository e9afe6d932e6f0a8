/* Goal: lists of tries read as nginx writes them: a comma between peers, a colon between relays, a
 * hyphen for what did not happen. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/list.h"
#include "event/loop.h"
#include "http/exchange.h"
#include "http/relay/tries.h"

static struct slice fact(struct exchange *x, enum try_fact which)
{
    struct slice text = {0};

    CHECK(tries_text(x, which, &text));
    return text;
}

TEST(nothing_was_tried)
{
    struct exchange x = {.subject.arena = arena_new(1024), .loop = loop_new(0)};
    struct slice text;

    for (unsigned which = 0; which < TRY_FACT_COUNT; which++)
        CHECK(!tries_text(&x, (enum try_fact)which, &text));
    loop_free(x.loop);
    arena_drop(x.subject.arena);
}

TEST(lists)
{
    struct exchange x = {.subject.arena = arena_new(1024), .loop = loop_new(0)};
    struct relay_try *try = tries_add(&x, slice_of("10.0.0.1:80"), true);

    try->status = 502;
    try->response_ms = 2;
    try = tries_add(&x, slice_of("unix:/run/b"), false);
    *try = (struct relay_try){.peer = try->peer,
                              .status = 200,
                              .connect_ms = 0,
                              .header_ms = 1234,
                              .response_ms = 60001,
                              .response_bytes = 5,
                              .received_bytes = 99,
                              .sent_bytes = 1ull << 40};
    try = tries_add(&x, slice_of("app"), true);
    CHECK_SLICE(fact(&x, TRY_ADDR), "10.0.0.1:80, unix:/run/b : app");
    CHECK_SLICE(fact(&x, TRY_STATUS), "502, 200 : -");
    CHECK_SLICE(fact(&x, TRY_CONNECT_TIME), "-, 0.000 : -");
    CHECK_SLICE(fact(&x, TRY_HEADER_TIME), "-, 1.234 : -");
    CHECK_SLICE(fact(&x, TRY_RESPONSE_TIME), "0.002, 60.001 : -");
    CHECK_SLICE(fact(&x, TRY_RESPONSE_LENGTH), "0, 5 : 0");
    CHECK_SLICE(fact(&x, TRY_BYTES_RECEIVED), "0, 99 : 0");
    CHECK_SLICE(fact(&x, TRY_BYTES_SENT), "0, 1099511627776 : 0");
    loop_free(x.loop);
    arena_drop(x.subject.arena);
}
