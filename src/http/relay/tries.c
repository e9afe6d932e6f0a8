/* The tries of an exchange, and their lists as text. Runs in: worker, loop thread. */
#include "http/relay/tries.h"

#include "base/arena.h"
#include "event/loop.h"
#include "http/exchange.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { FACT_BYTES_MAX = 160 }; /* an address with its separator is the longest */

struct tries *tries_of(struct exchange *x)
{
    if (x->upstream_state == NULL)
        x->upstream_state = arena_zalloc(x->subject.arena, sizeof(struct tries));
    return x->upstream_state;
}

struct relay_try *tries_add(struct exchange *x, struct slice peer, bool first)
{
    struct tries *tries = tries_of(x);
    struct relay_try *try = tries == NULL ? NULL : arena_alloc(x->subject.arena, sizeof *try);

    if (try == NULL)
        return NULL;
    *try = (struct relay_try){.peer = peer,
                              .first = first,
                              .connect_ms = -1,
                              .header_ms = -1,
                              .response_ms = -1,
                              .start_ms = loop_now_ms(x->loop)};
    if (tries->last == NULL)
        tries->first = try;
    else
        tries->last->next = try;
    tries->last = try;
    return try;
}

static int write_seconds(char *out, size_t room, int64_t ms)
{
    if (ms < 0)
        return snprintf(out, room, "-");
    return snprintf(out, room, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
}

static int write_fact(char *out, size_t room, const struct relay_try *try, enum try_fact fact)
{
    switch (fact) {
    case TRY_ADDR:
        return snprintf(out, room, "%.*s", SLICE_ARG(try->peer));
    case TRY_STATUS:
        return try->status == 0 ? snprintf(out, room, "-") : snprintf(out, room, "%u", try->status);
    case TRY_CONNECT_TIME:
        return write_seconds(out, room, try->connect_ms);
    case TRY_HEADER_TIME:
        return write_seconds(out, room, try->header_ms);
    case TRY_RESPONSE_TIME:
        return write_seconds(out, room, try->response_ms);
    case TRY_RESPONSE_LENGTH:
        return snprintf(out, room, "%" PRIu64, try->response_bytes);
    case TRY_BYTES_RECEIVED:
        return snprintf(out, room, "%" PRIu64, try->received_bytes);
    case TRY_BYTES_SENT:
        return snprintf(out, room, "%" PRIu64, try->sent_bytes);
    case TRY_FACT_COUNT:
        break;
    }
    assert(!"a fact that tries do not have");
    return 0;
}

static size_t room_for(const struct tries *tries)
{
    size_t bytes = 1;

    for (const struct relay_try *try = tries->first; try != NULL; try = try->next)
        bytes += FACT_BYTES_MAX + try->peer.len;
    return bytes;
}

bool tries_text(struct exchange *x, enum try_fact fact, struct slice *text)
{
    const struct tries *tries = x->upstream_state;

    if (tries == NULL || tries->first == NULL)
        return false;
    size_t room = room_for(tries);
    char *out = arena_bytes(x->subject.arena, room);
    size_t len = 0;

    if (out == NULL)
        return false;
    for (const struct relay_try *try = tries->first; try != NULL; try = try->next) {
        if (try != tries->first)
            len += (size_t)snprintf(out + len, room - len, "%s", try->first ? " : " : ", ");
        len += (size_t)write_fact(out + len, room - len, try, fact);
    }
    assert(len < room);
    *text = slice_make(out, len);
    return true;
}
