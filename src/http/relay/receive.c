/* Bytes from the peer into buffers, and the head of the answer out of them. Runs in: worker, loop
 * thread. */
#include "balance/pool.h"
#include "base/buf.h"
#include "http/mux/mux.h"
#include "http/relay/relay_internal.h"
#include "tls/transport.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    INTERIMS_MAX = 32,    /* 1xx answers before the final one */
    WORTH_READING = 2048, /* room in a buffer below which a new one is taken */
};

/* A peer that fills a buffer at once and a client that keeps up: larger pieces then, with a quarter
 * of the system calls and acknowledgements. Not where the settings want less to be held. */
static bool is_worth_a_large_one(const struct relay *r)
{
    return r->in != NULL && r->in->end == r->in->capacity && r->state == RELAY_ANSWERING &&
           (r->flags & RELAY_UNBUFFERED) == 0 && r->rate == 0 &&
           r->conf->queue_bytes_max >= 2 * BUF_BYTES &&
           r->x->response.queued_memory <= 2 * BUF_BYTES;
}

static size_t buffer_bytes(const struct relay *r)
{
    size_t usual = is_worth_a_large_one(r) ? BUF_LARGE_BYTES : BUF_BYTES;

    return r->conf->buffer_size > usual ? r->conf->buffer_size : usual;
}

/* A new buffer, into which the bytes not understood yet (framing, part of a head) are taken along.
 */
static bool new_buffer(struct relay *r)
{
    struct buf *old = r->in;
    size_t used = old == NULL ? 0 : buf_used(old);
    size_t want = buffer_bytes(r);
    struct buf *buf = buf_get_sized(loop_bufs(r->x->loop), used >= want ? used + want : want);

    if (buf == NULL)
        return false;
    if (used > 0)
        memcpy(buf->data, old->data + old->start, used);
    buf->end = (uint32_t)used;
    buf_unref(old);
    r->in = buf;
    return true;
}

static bool make_room(struct relay *r)
{
    struct buf *in = r->in;

    if (in != NULL && in->refs == 1 && in->start == in->end) {
        in->start = 0;
        in->end = 0;
    }
    if (in != NULL && buf_room(in) >= WORTH_READING)
        return true;
    return new_buffer(r);
}

/* A stream has its bytes already. */
static struct io_result receive_from_stream(struct relay *r)
{
    struct io_result result = mux_recv(r->conn->stream, &r->in);

    if (result.kind == IO_END)
        r->flags |= RELAY_PEER_CLOSED;
    r->received += result.bytes;
    r->try->received_bytes += result.bytes;
    return result;
}

struct io_result relay_receive(struct relay *r, size_t max)
{
    struct io *io = &r->conn->io;
    struct io_result result = {.kind = IO_AGAIN};
    size_t room;

    if ((io->ready & IO_READ) == 0)
        return result;
    if (r->conn->stream != NULL)
        return receive_from_stream(r);
    if (!make_room(r))
        return (struct io_result){.kind = IO_FAILED, .error = ENOMEM};
    room = buf_room(r->in) < max ? buf_room(r->in) : max;
    result = transport_recv(io, r->conn->tls, r->in->data + r->in->end, room);
    if (result.kind == IO_END || result.kind == IO_FAILED)
        r->flags |= RELAY_PEER_CLOSED;
    if (result.kind != IO_DONE)
        return result;
    r->in->end += (uint32_t)result.bytes;
    r->received += result.bytes;
    r->try->received_bytes += result.bytes;
    return result;
}

static void invalid_answer(struct relay *r)
{
    const struct failure failure = {
        .outcome = OUTCOME_INVALID, .cause = NEXT_INVALID_HEADER, .status = 502, .what = r->broken};

    relay_lost(r, &failure);
}

/* A stream knows more than that it has ended. */
static void stream_failed(struct relay *r)
{
    const struct mux_fault *why = mux_why(r->conn->stream);
    struct failure failure = {.outcome = OUTCOME_RESET,
                              .cause = NEXT_ERROR,
                              .status = 502,
                              .os_error = why->os_error,
                              .what = why->what};

    if (why->kind == MUX_CONNECT || why->kind == MUX_TLS)
        failure.outcome = OUTCOME_REFUSED;
    if (why->kind == MUX_INVALID) {
        failure.outcome = OUTCOME_INVALID;
        failure.cause = NEXT_INVALID_HEADER;
    }
    relay_lost(r, &failure);
}

void relay_closed_early(struct relay *r, const struct io_result *result)
{
    struct failure failure = {.outcome = OUTCOME_RESET, .cause = NEXT_ERROR, .status = 502};

    if (r->conn->stream != NULL && mux_why(r->conn->stream)->kind != MUX_FINE) {
        stream_failed(r);
        return;
    }
    failure.os_error = result->kind == IO_FAILED ? result->error : 0;
    failure.what = failure.os_error != 0 ? "recv() failed"
                                         : "upstream prematurely closed connection";
    relay_lost(r, &failure);
}

static bool is_interim(const struct relay *r)
{
    return r->answer.status < 200 && r->answer.status != 101;
}

/* True: more bytes are needed. False: the answer was dealt with, `r` may be gone. */
static bool parse_heads(struct relay *r)
{
    for (;;) {
        enum parse_result result = r->codec->read_head(r);

        if (result == PARSE_MORE)
            return true;
        if (result == PARSE_ERROR) {
            invalid_answer(r);
            return false;
        }
        if (!is_interim(r))
            break;
        if (++r->interims > INTERIMS_MAX || !relay_pass_interim(r)) {
            r->broken = "upstream sent too many interim answers";
            invalid_answer(r);
            return false;
        }
    }
    relay_take_answer(r);
    return false;
}

void relay_read_head(struct relay *r)
{
    for (;;) {
        struct io_result result = relay_receive(r, SIZE_MAX);

        if (result.kind == IO_AGAIN && (r->flags & RELAY_SEND_BROKEN) == 0)
            return;
        if (result.kind != IO_DONE) {
            relay_closed_early(r, &result);
            return;
        }
        if (!parse_heads(r))
            return;
        if ((r->flags & RELAY_SENT) != 0)
            relay_await(r, r->conf->read_timeout);
    }
}
