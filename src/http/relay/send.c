/* The request on its way to the peer: its head, and its body from memory, a file, or as the client
 * sends it. Runs in: worker, loop thread. */
#include "balance/pool.h"
#include "base/arena.h"
#include "base/buf.h"
#include "http/body.h"
#include "http/chunk.h"
#include "http/relay/relay_internal.h"
#include "tls/transport.h"

#include <assert.h>
#include <errno.h>

enum {
    PARTS_MAX = 32,                /* pieces of memory handed to the kernel at once */
    STREAM_BYTES_MAX = 128 * 1024, /* of a streamed body that wait for the peer */
    SENDFILE_BYTES_MAX = 1 << 20,
};

static void on_body(struct exchange *x);

void relay_out_clear(struct relay *r)
{
    chunk_release_all(r->x, r->out.first);
    r->out = (struct relay_out){.last = NULL};
    r->out.last = &r->out.first;
}

static void put(struct relay *r, struct chunk *chunk)
{
    chunk->next = NULL;
    *r->out.last = chunk;
    r->out.last = &chunk->next;
    r->out.queued_bytes += chunk_size(chunk);
}

/* Framing lives in the chunk itself: an upload of any length needs no more memory. */
static bool put_bytes(struct relay *r, const char *data, size_t len)
{
    struct chunk *chunk;

    if (len == 0)
        return true;
    chunk = chunk_memory(r->x, slice_make(NULL, 0), NULL);
    if (chunk == NULL)
        return false;
    assert(len <= sizeof chunk->inline_bytes);
    memcpy(chunk->inline_bytes, data, len);
    chunk->bytes = slice_make(chunk->inline_bytes, len);
    put(r, chunk);
    return true;
}

/* One piece of a body whose length nobody knows, or with NULL its end. */
static bool put_framed(struct relay *r, struct chunk *chunk)
{
    struct relay_frame frame;

    r->codec->frame(r, chunk == NULL ? 0 : chunk_size(chunk), &frame);
    if (!put_bytes(r, frame.head, frame.head_len))
        return false;
    if (chunk != NULL)
        put(r, chunk);
    return put_bytes(r, frame.tail, frame.tail_len);
}

/* Moves what the client has sent into the queue. */
static bool take_stream(struct relay *r)
{
    struct exchange *x = r->x;
    struct chunk *chunk;

    while ((chunk = body_take(x)) != NULL) {
        if ((r->flags & RELAY_FRAMES) == 0) {
            put(r, chunk);
        } else if (!put_framed(r, chunk)) {
            return false;
        }
    }
    if (!x->body.complete || r->out.complete)
        return true;
    r->out.complete = true;
    return (r->flags & RELAY_FRAMES) == 0 || put_framed(r, NULL);
}

/* Everything that is known already, for this attempt. */
static bool fill(struct relay *r)
{
    uint64_t total;
    struct chunk *chunk;

    r->out.head = r->head;
    if ((r->flags & RELAY_STREAMS) != 0)
        return true;
    r->out.complete = true;
    if (r->own_body.data != NULL) {
        chunk = r->own_body.len == 0 ? NULL : chunk_memory(r->x, r->own_body, NULL);
        if (chunk != NULL)
            put(r, chunk);
        return chunk != NULL || r->own_body.len == 0;
    }
    if (r->body_length <= 0)
        return true;
    chunk = body_chunks(r->x, &total);
    while (chunk != NULL) {
        struct chunk *next = chunk->next;

        put(r, chunk);
        chunk = next;
    }
    return total == (uint64_t)r->body_length;
}

/* ---- sending */

static int gather_parts(const struct relay *r, struct iovec *parts, size_t *bytes)
{
    int count = 0;

    *bytes = r->out.head.len;
    if (r->out.head.len > 0)
        parts[count++] = (struct iovec){(void *)(uintptr_t)r->out.head.data, r->out.head.len};
    for (const struct chunk *chunk = r->out.first;
         chunk != NULL && chunk->fd < 0 && count < PARTS_MAX; chunk = chunk->next) {
        parts[count++] = (struct iovec){(void *)(uintptr_t)chunk->bytes.data, chunk->bytes.len};
        *bytes += chunk->bytes.len;
    }
    return count;
}

/* Takes `bytes` off the front of the queue. */
static void advance(struct relay *r, size_t bytes)
{
    size_t of_head = bytes < r->out.head.len ? bytes : r->out.head.len;

    r->out.head = slice_skip(r->out.head, of_head);
    bytes -= of_head;
    r->body_sent += bytes;
    r->out.queued_bytes -= bytes;
    while (bytes > 0) {
        struct chunk *chunk = r->out.first;

        assert(chunk != NULL);
        if (bytes < chunk->bytes.len) {
            chunk->bytes = slice_skip(chunk->bytes, bytes);
            return;
        }
        bytes -= chunk->bytes.len;
        r->out.first = chunk->next;
        if (r->out.first == NULL)
            r->out.last = &r->out.first;
        chunk_release(r->x, chunk);
    }
}

static struct io_result send_file(struct relay *r, struct chunk *chunk)
{
    size_t bytes = chunk->file_bytes < SENDFILE_BYTES_MAX ? (size_t)chunk->file_bytes
                                                          : SENDFILE_BYTES_MAX;
    struct io_result result = transport_sendfile(&r->conn->io, r->conn->tls, chunk->fd,
                                                 &chunk->offset, bytes);

    if (result.kind != IO_DONE)
        return result;
    chunk->file_bytes -= result.bytes;
    r->body_sent += result.bytes;
    r->out.queued_bytes -= result.bytes;
    if (chunk->file_bytes == 0) {
        r->out.first = chunk->next;
        if (r->out.first == NULL)
            r->out.last = &r->out.first;
        chunk_release(r->x, chunk);
    }
    return result;
}

static struct io_result send_once(struct relay *r)
{
    struct iovec parts[PARTS_MAX];
    struct chunk *first = r->out.first;
    size_t bytes;

    if (r->out.head.len == 0 && first != NULL && first->fd >= 0)
        return send_file(r, first);
    parts[0] = (struct iovec){0}; /* gcc cannot see that there is something to send */
    int count = gather_parts(r, parts, &bytes);
    bool more = bytes < r->out.head.len + r->out.queued_bytes;
    struct io_result result = transport_send(&r->conn->io, r->conn->tls, parts, count, more);

    if (result.kind == IO_DONE)
        advance(r, result.bytes);
    return result;
}

static void on_all_sent(struct relay *r)
{
    if (!r->out.complete) {
        deadline_disarm(&r->deadline); /* it is the client's turn, which has deadlines of its own */
        return;
    }
    r->flags |= RELAY_SENT;
    r->x->doing = "reading response header from upstream";
    relay_await(r, r->conf->read_timeout);
}

bool relay_send(struct relay *r)
{
    struct io *io = &r->conn->io;

    while (r->out.head.len > 0 || r->out.first != NULL) {
        struct io_result result = {.kind = IO_AGAIN};

        if ((io->ready & IO_WRITE) != 0)
            result = send_once(r);
        if (result.kind == IO_DONE) {
            r->try->sent_bytes += result.bytes;
            r->flags |= RELAY_BEGAN_SEND;
            continue;
        }
        if (result.kind == IO_AGAIN) {
            io->ready &= ~(unsigned)IO_WRITE;
            relay_await(r, r->conf->send_timeout);
            return true;
        }
        r->flags |= RELAY_SEND_BROKEN;
        io->ready |= IO_READ; /* perhaps it has said why before it closed */
        return false;
    }
    on_all_sent(r);
    return true;
}

/* ---- the client's side of a streamed body */

static void fail_stream(struct relay *r)
{
    struct exchange *x = r->x;
    int status = x->body.fail_status;

    x->body.on_data = NULL;
    if (status == 499) {
        exchange_client_gone(x);
        return;
    }
    x->flags |= X_CLOSE_AFTER | X_LINGER;
    relay_refuse(r, status == 0 ? 400 : status);
}

/* Takes over what the client has sent and sends what the peer takes. `r` may be gone afterwards. */
static void push_stream(struct relay *r)
{
    struct exchange *x = r->x;

    if (x->body.failed) {
        fail_stream(r);
        return;
    }
    if (!take_stream(r)) {
        relay_refuse(r, 500);
        return;
    }
    if (!relay_send(r))
        relay_read_head(r);
    else if (r->out.queued_bytes < STREAM_BYTES_MAX && !x->body.complete)
        body_more(x); /* `r` may be gone */
}

static void on_body(struct exchange *x)
{
    struct relay *r = x->handler_data;

    if (r != NULL && r->state == RELAY_ASKING && (r->flags & RELAY_SEND_BROKEN) == 0)
        push_stream(r);
}

/* True: nothing has been answered yet, and the same peer is being asked. */
static bool read_answer(struct relay *r)
{
    unsigned attempt = r->attempts;
    bool gone = false;
    bool *outer = relay_guard(r, &gone);

    relay_read_head(r);
    return relay_unguard(r, &gone, outer) && r->state == RELAY_ASKING && r->attempts == attempt;
}

void relay_ask_more(struct relay *r)
{
    struct io *io = &r->conn->io;

    if ((io->ready & IO_READ) != 0 && !read_answer(r))
        return;
    if ((r->flags & (RELAY_SENT | RELAY_SEND_BROKEN)) != 0 || (io->ready & IO_WRITE) == 0)
        return;
    if ((r->flags & RELAY_STREAMS) != 0)
        push_stream(r);
    else if (!relay_send(r))
        relay_read_head(r);
}

void relay_leave_stream(struct relay *r)
{
    struct exchange *x = r->x;

    if ((r->flags & RELAY_STREAMS) == 0)
        return;
    x->body.on_data = NULL;
    if (!x->body.complete) /* what the client still sends is nobody's */
        x->flags |= X_CLOSE_AFTER | X_LINGER;
}

void relay_stop_asking(struct relay *r)
{
    if ((r->flags & RELAY_SENT) != 0)
        return;
    relay_out_clear(r);
    r->flags |= RELAY_SEND_BROKEN;
    relay_leave_stream(r);
}

void relay_ask(struct relay *r)
{
    struct exchange *x = r->x;
    struct relay_try *try = r->try;

    deadline_disarm(&r->deadline);
    r->state = RELAY_ASKING;
    r->flags &= ~(unsigned)(RELAY_SENT | RELAY_SEND_BROKEN | RELAY_PEER_CLOSED);
    r->attempts++;
    r->received = 0;
    r->body_sent = 0;
    r->interims = 0;
    r->codec->begin(r);
    tries_of(x)->headers = NULL; /* of the attempt before */
    tries_of(x)->trailers = NULL;
    try->connect_ms = (int64_t)(loop_now_ms(x->loop) - try->start_ms);
    x->doing = "sending request to upstream";
    if ((r->flags & RELAY_STREAMS) == 0) /* of a stream nothing was sent yet, or we were not here */
        relay_out_clear(r);
    if (!fill(r)) {
        relay_refuse(r, 500);
        return;
    }
    if (!relay_send(r)) {
        relay_read_head(r);
        return;
    }
    if ((r->conn->io.ready & IO_READ) != 0 && !read_answer(r))
        return;
    if ((r->flags & RELAY_STREAMS) == 0)
        return;
    if (x->body.started)
        push_stream(r);
    else
        body_stream(x, STREAM_BYTES_MAX, on_body);
}
