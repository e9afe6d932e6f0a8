/* The request on its way to the peer: its head, and its body from memory, a file, or as the client
 * sends it. Runs in: worker, loop thread. */
#include "balance/pool.h"
#include "base/arena.h"
#include "base/buf.h"
#include "http/body.h"
#include "http/chunk.h"
#include "http/mux/mux.h"
#include "http/relay/h2_internal.h"
#include "http/relay/relay_internal.h"
#include "tls/transport.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    PARTS_MAX = 32,                /* pieces of memory handed to the kernel at once */
    STREAM_BYTES_MAX = 128 * 1024, /* of a streamed body that wait for the peer */
    KEEP_BYTES_MAX = 64 * 1024,    /* ... that were sent and are kept until the answer begins */
    SENDFILE_BYTES_MAX = 1 << 20,
};

static void on_body(struct exchange *x);

void relay_out_forget(struct relay *r)
{
    chunk_release_all(r->x, r->out.kept);
    r->out.kept = NULL;
    r->out.kept_last = &r->out.kept;
    r->out.kept_bytes = 0;
    r->out.keeps_none = true;
}

void relay_out_clear(struct relay *r)
{
    chunk_release_all(r->x, r->out.first);
    chunk_release_all(r->x, r->out.kept);
    r->out = (struct relay_out){.last = NULL};
    r->out.last = &r->out.first;
    r->out.kept_last = &r->out.kept;
}

bool relay_can_repeat(const struct relay *r)
{
    return (r->flags & RELAY_STREAMS) == 0 || r->body_sent == r->out.kept_bytes;
}

/* Of a body that goes by, if it is small: the peer may say that it did not look at it. */
static void keep(struct relay *r, const struct chunk *from, size_t bytes)
{
    struct chunk *copy = NULL;

    if ((r->flags & RELAY_STREAMS) == 0 || r->out.keeps_none)
        return;
    if (r->out.kept_bytes + bytes <= KEEP_BYTES_MAX)
        copy = chunk_memory(r->x, slice_head(from->bytes, bytes), NULL);
    if (copy != NULL && from->buf != NULL)
        copy->buf = buf_ref(from->buf);
    if (copy == NULL) {
        relay_out_forget(r);
        return;
    }
    *r->out.kept_last = copy;
    r->out.kept_last = &copy->next;
    r->out.kept_bytes += bytes;
}

/* What was kept goes to the front of the queue again. */
static void rewind_body(struct relay *r)
{
    if (r->out.kept == NULL)
        return;
    *r->out.kept_last = r->out.first;
    if (r->out.first == NULL)
        r->out.last = r->out.kept_last;
    r->out.first = r->out.kept;
    r->out.queued_bytes += r->out.kept_bytes;
    r->out.kept = NULL;
    r->out.kept_last = &r->out.kept;
    r->out.kept_bytes = 0;
}

static void put(struct relay *r, struct chunk *chunk)
{
    chunk->next = NULL;
    *r->out.last = chunk;
    r->out.last = &chunk->next;
    r->out.queued_bytes += chunk_size(chunk);
}

/* Into the last piece that waits. How many. */
static size_t append(struct relay *r, struct slice bytes)
{
    size_t n = r->out.first == NULL
                   ? 0
                   : chunk_append(container_of(r->out.last, struct chunk, next), bytes);

    r->out.queued_bytes += n;
    return n;
}

bool relay_out_copy(struct relay *r, struct slice bytes)
{
    bytes = slice_skip(bytes, append(r, bytes));
    if (bytes.len == 0)
        return true;
    struct buf *buf = buf_get_sized(loop_bufs(r->x->loop), bytes.len);
    struct chunk *chunk;

    if (buf == NULL)
        return false;
    memcpy(buf->data, bytes.data, bytes.len);
    buf->end = (uint32_t)bytes.len;
    chunk = chunk_memory(r->x, slice_make(buf->data, bytes.len), buf);
    if (chunk == NULL) {
        buf_unref(buf);
        return false;
    }
    put(r, chunk);
    return true;
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

    r->framer = r->codec;
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

/* Takes `bytes` off a range of a file, which is the front of the queue. */
static void advance_file(struct relay *r, struct chunk *chunk, size_t bytes)
{
    chunk->file_bytes -= bytes;
    r->body_sent += bytes;
    r->out.queued_bytes -= bytes;
    if (chunk->file_bytes > 0)
        return;
    r->out.first = chunk->next;
    if (r->out.first == NULL)
        r->out.last = &r->out.first;
    chunk_release(r->x, chunk);
}

static struct io_result send_file(struct relay *r, struct chunk *chunk)
{
    size_t bytes = chunk->file_bytes < SENDFILE_BYTES_MAX ? (size_t)chunk->file_bytes
                                                          : SENDFILE_BYTES_MAX;
    struct io_result result = transport_sendfile(&r->conn->io, r->conn->tls, chunk->fd,
                                                 &chunk->offset, bytes);

    if (result.kind == IO_DONE)
        advance_file(r, chunk, result.bytes);
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

/* Deadlines of the request; once the answer has begun, its own counts. */
static void await_sending(struct relay *r)
{
    if (r->state == RELAY_ASKING)
        relay_await(r, r->conf->send_timeout);
}

static void on_all_sent(struct relay *r)
{
    if (r->out.complete || (r->flags & RELAY_UPGRADE) != 0)
        r->flags |= RELAY_SENT;
    if (r->state != RELAY_ASKING)
        return;
    if (!r->out.complete) {
        deadline_disarm(&r->deadline); /* it is the client's turn, which has deadlines of its own */
        return;
    }
    r->x->doing = "reading response header from upstream";
    relay_await(r, r->conf->read_timeout);
}

/* ---- over a stream of a shared connection, which pulls what it has room for */

static ssize_t pull_file(struct relay *r, struct chunk *chunk, char *out, size_t max)
{
    size_t want = chunk->file_bytes < max ? (size_t)chunk->file_bytes : max;
    ssize_t got;

    do {
        got = pread(chunk->fd, out, want, chunk->offset);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        log_about(&r->x->log, LOG_LEVEL_ALERT, got < 0 ? errno : 0,
                  "cannot read the request's body from its file");
        return -1;
    }
    chunk->offset += got;
    advance_file(r, chunk, (size_t)got);
    return got;
}

static ssize_t pull_memory(struct relay *r, const struct chunk *chunk, char *out, size_t max)
{
    size_t n = chunk->bytes.len < max ? chunk->bytes.len : max;

    memcpy(out, chunk->bytes.data, n);
    keep(r, chunk, n);
    advance(r, n);
    return (ssize_t)n;
}

ssize_t relay_pull(void *user, char *out, size_t max, bool *last)
{
    struct relay *r = user;
    size_t bytes = 0;

    while (bytes < max && r->out.first != NULL) {
        struct chunk *chunk = r->out.first;
        ssize_t n = chunk->fd >= 0 ? pull_file(r, chunk, out + bytes, max - bytes)
                                   : pull_memory(r, chunk, out + bytes, max - bytes);

        if (n < 0)
            return -1;
        bytes += (size_t)n;
    }
    *last = r->out.first == NULL && r->out.complete;
    if (r->try != NULL)
        r->try->sent_bytes += bytes;
    return (ssize_t)bytes;
}

const struct header_list *relay_trailers(void *user)
{
    const struct relay *r = user;
    bool passed = r->conf->pass_request_headers && r->conf->pass_request_body;

    return passed && r->own_body.data == NULL ? r->x->body.trailers : NULL;
}

static bool send_by_stream(struct relay *r)
{
    struct mux_stream *stream = r->conn->stream;
    bool done = r->out.first == NULL && (!r->out.complete || mux_is_sent(stream));

    if (r->out.head.len > 0 && (r->flags & RELAY_UPGRADE) != 0) {
        if (!mux_knows_peer(stream)) { /* its settings must allow extended CONNECT first */
            await_sending(r);
            return true;
        }
        r->out.complete = false; /* the tunnel's bytes follow */
    }
    if (r->out.head.len > 0) {
        bool has_body = r->out.first != NULL || !r->out.complete || relay_trailers(r) != NULL;

        if (!h2_submit_head(r, r->out.head, has_body)) {
            r->flags |= RELAY_SEND_BROKEN;
            r->conn->io.ready |= IO_READ;
            return false;
        }
        r->try->sent_bytes += r->out.head.len;
        r->out.head = slice_make(NULL, 0);
        r->flags |= RELAY_BEGAN_SEND;
        done = false;
    }
    mux_resume(stream);
    if (done)
        on_all_sent(r);
    else
        await_sending(r);
    return true;
}

bool relay_send(struct relay *r)
{
    struct io *io = &r->conn->io;

    if (r->conn->stream != NULL)
        return send_by_stream(r);
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
            await_sending(r);
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
    if (x->response.begun) {
        relay_break_off(r, "the rest of the request does not come", 0);
        return;
    }
    x->flags |= X_CLOSE_AFTER | X_LINGER;
    relay_refuse(r, status == 0 ? 400 : status);
}

/* The answer may have begun already. `r` may be gone afterwards. */
static void out_of_memory(struct relay *r)
{
    if (r->x->response.begun)
        relay_break_off(r, "no memory for the request's body", 0);
    else
        relay_refuse(r, 500);
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
        out_of_memory(r);
        return;
    }
    if (!relay_send(r)) {
        if (r->state == RELAY_ASKING)
            relay_read_head(r);
        return;
    }
    if (r->out.queued_bytes < STREAM_BYTES_MAX && !x->body.complete)
        body_more(x); /* `r` may be gone */
}

/* Streams go both ways at once. */
static bool is_answered_meanwhile(const struct relay *r)
{
    return (r->state == RELAY_HOLDING || r->state == RELAY_ANSWERING) && relay_is_duplex(r);
}

static void on_body(struct exchange *x)
{
    struct relay *r = x->handler_data;

    if (r == NULL || (r->flags & RELAY_SEND_BROKEN) != 0)
        return;
    if (r->state == RELAY_ASKING || is_answered_meanwhile(r))
        push_stream(r);
}

bool relay_ask_on(struct relay *r)
{
    bool gone = false;
    bool *outer;

    if (!is_answered_meanwhile(r) || (r->flags & (RELAY_SENT | RELAY_SEND_BROKEN)) != 0)
        return true;
    outer = relay_guard(r, &gone);
    if ((r->flags & RELAY_STREAMS) != 0)
        push_stream(r);
    else
        (void)relay_send(r);
    return relay_unguard(r, &gone, outer) && r->conn != NULL;
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
    if ((r->flags & RELAY_STREAMS) == 0) /* of a stream it was kept, or we were not here */
        relay_out_clear(r);
    rewind_body(r);
    if (r->out.first != NULL && (r->flags & RELAY_FRAMES) != 0 && r->framer != r->codec) {
        log_about(&x->log, LOG_LEVEL_ERROR, 0,
                  "the body that waits is framed for %s, but this peer speaks %s", r->framer->name,
                  r->codec->name);
        relay_refuse(r, 502);
        return;
    }
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
