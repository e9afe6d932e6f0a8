/* The answer's body on its way to the client: as chunks that point into the buffers it was received
 * in.
 *
 * How much waits in memory is bounded by the buffers of the settings; beyond that it goes to a file
 * (buffered), or the peer waits (unbuffered, no file). This is also the place where a body could be
 * moved without passing through memory: relay_read_body() is entered whenever there is something to
 * read and the codec knows how much of it is plain body. Runs in: worker, loop thread. */
#include "balance/pool.h"
#include "base/arena.h"
#include "base/buf.h"
#include "http/chunk.h"
#include "http/mux/mux.h"
#include "http/relay/relay_internal.h"
#include "http/response.h"

#include <assert.h>

enum {
    READS_MAX = 64,        /* before others have their turn */
    COPY_BYTES_MAX = 2048, /* a smaller piece is not worth holding the buffer it came in */
};

bool relay_flush(struct relay *r)
{
    bool gone = false;
    bool *outer = relay_guard(r, &gone);

    response_flush(r->x);
    return relay_unguard(r, &gone, outer);
}

static size_t queue_limit(const struct relay *r)
{
    return (r->flags & RELAY_UNBUFFERED) != 0 ? BUF_BYTES : r->conf->queue_bytes_max;
}

static bool queue_has_room(const struct relay *r)
{
    return response_room(r->x, queue_limit(r)) > 0;
}

bool relay_emit(struct relay *r, struct slice bytes)
{
    struct chunk *chunk;

    r->try->response_bytes += bytes.len;
    if (r->hooks->on_body != NULL)
        r->hooks->on_body(r, bytes);
    bool full = !queue_has_room(r) && (r->flags & RELAY_IN_ROOM) == 0;

    if (relay_spooled(r)) /* order: nothing may overtake what is in the file */
        return relay_spool_bytes(r, bytes);
    if (full && relay_spool_bytes(r, bytes))
        return true;
    if (bytes.len < COPY_BYTES_MAX)
        bytes = slice_skip(bytes, response_append(r->x, bytes));
    if (bytes.len == 0)
        return true;
    chunk = chunk_memory(r->x, bytes, buf_ref(r->in));
    if (chunk != NULL)
        return response_write(r->x, chunk);
    buf_unref(r->in);
    return false;
}

/* May more be read from the peer? */
static bool has_room(const struct relay *r)
{
    if (!relay_spooled(r) && queue_has_room(r))
        return true;
    return (r->flags & RELAY_IN_ROOM) == 0 && relay_spool_open(r);
}

/* The codec calls from within its flush: what is queued now goes out when we return, so that a full
 * queue does not mean a slow client, and nothing is put into the file for it. */
static void on_room(struct exchange *x)
{
    struct relay *r = x->handler_data;

    if (r == NULL || (r->flags & RELAY_BUSY) != 0)
        return;
    bool gone = false;
    bool *outer = relay_guard(r, &gone);

    r->flags |= RELAY_IN_ROOM;
    relay_read_body(r);
    if (relay_unguard(r, &gone, outer))
        r->flags &= ~(unsigned)RELAY_IN_ROOM;
}

/* ---- the end */

/* The response is whole: the exchange goes on without the relay. `r` may be gone afterwards. */
static void end_response(struct relay *r)
{
    struct exchange *x = r->x;

    relay_fini(r);
    if (!response_end(x))
        exchange_abort(x, false);
    else
        response_flush(x);
}

/* What is in the file goes to the client as it takes it. `r` may be gone afterwards. */
static void drain(struct relay *r)
{
    if (!relay_spool_feed(r)) {
        relay_break_off(r, "cannot read a temporary file", 0);
        return;
    }
    if (!relay_spooled(r)) {
        end_response(r);
        return;
    }
    response_wait_room(r->x, on_room);
    response_flush(r->x);
}

static void measure(struct relay *r)
{
    uint64_t header_ms = r->try->header_ms < 0 ? 0 : (uint64_t)r->try->header_ms;
    struct pick_times times = {.response_us = clock_monotonic_us() - r->try_start_us};

    times.connect_us = r->try->connect_ms > 0 ? (uint64_t)r->try->connect_ms * 1000 : 0;
    times.header_us = header_ms == 0 ? times.response_us : header_ms * 1000;
    pick_measure(&r->pick, &times);
}

static bool can_reuse(const struct relay *r)
{
    return r->answer.keep_alive &&
           (r->flags & (RELAY_SENT | RELAY_SEND_BROKEN | RELAY_PEER_CLOSED)) == RELAY_SENT;
}

static bool pass_trailers(struct relay *r)
{
    struct tries *tries = r->x->upstream_state;

    if (r->answer.trailers == NULL)
        return true;
    tries->trailers = r->answer.trailers;
    return !r->conf->pass_trailers ||
           header_list_copy(&r->x->response.trailers, r->answer.trailers);
}

/* The peer has said all: its connection is free for others before the client has got the last byte.
 */
static void finish(struct relay *r)
{
    bool reuse = can_reuse(r);

    if (r->in != NULL && buf_used(r->in) > 0) {
        log_about(&r->x->log, LOG_LEVEL_WARN, 0,
                  "upstream sent more data than its answer has: closing that connection");
        reuse = false;
    }
    if (!pass_trailers(r)) {
        relay_break_off(r, "no memory for trailers", 0);
        return;
    }
    measure(r);
    relay_end_try(r, r->answer.status);
    relay_release_peer(r, reuse, OUTCOME_OK);
    if (r->hooks->on_end != NULL)
        r->hooks->on_end(r, true);
    if (relay_spooled(r)) {
        r->state = RELAY_DRAINING;
        r->flags &= ~(unsigned)RELAY_BUSY;
        r->x->doing = "sending to client";
        drain(r);
    } else {
        end_response(r);
    }
}

static void closed(struct relay *r, const struct io_result *result)
{
    if (result->kind == IO_END && r->codec->ends_with_close(r))
        finish(r);
    else if (relay_is_duplex(r))
        relay_break_off(r, mux_why(r->conn->stream)->what, mux_why(r->conn->stream)->os_error);
    else
        relay_break_off(r, "upstream prematurely closed connection",
                        result->kind == IO_FAILED ? result->error : 0);
}

/* ---- reading */

/* The client is slower than the peer, and nothing more may be kept for it. */
static void wait_for_client(struct relay *r)
{
    deadline_disarm(&r->deadline);
    response_wait_room(r->x, on_room);
}

/* The client's progress is not the peer's: only new bytes begin the time anew. */
static void wait_for_peer(struct relay *r)
{
    if (r->received != r->awaited_after || !deadline_armed(&r->deadline))
        relay_await(r, r->conf->read_timeout);
    r->awaited_after = r->received;
    if (relay_spooled(r))
        response_wait_room(r->x, on_room);
}

/* What limit_rate lets through at this moment; 0: the pace is armed. */
static size_t allowed_bytes(struct relay *r)
{
    uint64_t spent_ms;
    uint64_t due;

    if (r->rate == 0 || (r->flags & RELAY_UNBUFFERED) != 0)
        return SIZE_MAX;
    spent_ms = loop_now_ms(r->x->loop) - r->try->start_ms;
    due = r->rate * (spent_ms + 1000) / 1000;
    if (due > r->received)
        return (size_t)(due - r->received);
    deadline_disarm(&r->deadline);
    deadline_arm(r->x->loop, &r->pace, (r->received - due) * 1000 / r->rate + 1);
    return 0;
}

enum progress {
    READ_ON,
    STOPPED, /* waiting for somebody */
    GONE,    /* the relay has ended */
};

static bool queue_is_low(const struct relay *r)
{
    return r->x->response.queued_bytes < r->conf->queue_bytes_max;
}

/* Passes on to the client until there is room for more from the peer, or the client has enough. */
static enum progress make_way(struct relay *r)
{
    bool due;

    do {
        if (relay_spooled(r) && !relay_spool_feed(r)) {
            relay_break_off(r, "cannot read a temporary file", 0);
            return GONE;
        }
        due = (r->flags & RELAY_UNBUFFERED) != 0 || relay_spooled(r) || !queue_has_room(r);
        if (due && !relay_flush(r))
            return GONE;
    } while (relay_spooled(r) && queue_is_low(r));
    if (has_room(r))
        return READ_ON;
    wait_for_client(r);
    return STOPPED;
}

/* Understands what was received; makes room for more. */
static enum progress digest(struct relay *r)
{
    enum relay_body found = r->codec->read_body(r);

    if (found == RELAY_BODY_END) {
        finish(r);
        return GONE;
    }
    if (found == RELAY_BODY_BROKEN) {
        relay_break_off(r, r->broken, 0);
        return GONE;
    }
    return make_way(r);
}

static enum progress take(struct relay *r)
{
    size_t max = allowed_bytes(r);
    struct io_result result;

    if (max == 0)
        return relay_flush(r) ? STOPPED : GONE;
    result = relay_receive(r, max);
    if (result.kind == IO_DONE)
        return READ_ON;
    if (result.kind != IO_AGAIN) {
        closed(r, &result);
        return GONE;
    }
    if (!relay_flush(r))
        return GONE;
    if (relay_spooled(r) && queue_is_low(r))
        return READ_ON; /* the client took it all: more of the file */
    wait_for_peer(r);
    return STOPPED;
}

static enum progress read_once(struct relay *r)
{
    enum progress progress = digest(r);

    return progress == READ_ON ? take(r) : progress;
}

void relay_read_body(struct relay *r)
{
    enum progress progress = READ_ON;
    int reads = 0;

    if (r->state == RELAY_DRAINING) {
        drain(r);
        return;
    }
    assert(r->state == RELAY_ANSWERING);
    r->flags |= RELAY_BUSY;
    while (progress == READ_ON && reads++ < READS_MAX)
        progress = read_once(r);
    if (progress == GONE)
        return;
    r->flags &= ~(unsigned)RELAY_BUSY;
    if (progress == READ_ON) {
        deadline_arm(r->x->loop, &r->pace, 0);
        response_flush(r->x); /* `r` may be gone */
    }
}
