/* Frames between a session and its socket. Runs in: worker, loop thread. */
#include "event/socket.h"
#include "http/mux/mux_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

enum {
    READS_MAX = 16,                   /* in one turn */
    TURN_BYTES_MAX = 2 * 1024 * 1024, /* sent in one turn */
    PING_EVERY_MS = 5 * 60 * 1000,    /* what servers of gRPC put up with */
    PING_ANSWER_MS = 10 * 1000,
};

/* ---- out */

static struct io_result send_parts(struct mux *mux, struct iovec *parts, int count)
{
    if ((mux->conn->io.ready & IO_WRITE) == 0)
        return (struct io_result){.kind = IO_AGAIN};
    return transport_send(&mux->conn->io, mux->conn->tls, parts, count, false);
}

/* True when nothing is left of it. `*failed`: the socket is gone. */
static bool send_backlog(struct mux *mux, bool *failed)
{
    while (mux->backlog != NULL) {
        struct buf *backlog = mux->backlog;
        struct iovec part = {backlog->data + backlog->start, buf_used(backlog)};
        struct io_result sent = send_parts(mux, &part, 1);

        *failed = sent.kind == IO_FAILED || sent.kind == IO_END;
        if (sent.kind != IO_DONE)
            return false;
        backlog->start += (uint32_t)sent.bytes;
        if (buf_used(backlog) > 0)
            continue;
        buf_unref(backlog);
        mux->backlog = NULL;
    }
    return true;
}

/* Frames one after the other; what nghttp2 gives is valid until it is asked again. False: the
 * session has failed. */
static bool gather(struct mux *mux, struct buf *buf, struct iovec *large)
{
    large->iov_len = 0;
    for (;;) {
        const uint8_t *data = NULL;
        ssize_t n = nghttp2_session_mem_send(mux->session, &data);

        if (n <= 0)
            return n == 0;
        if (buf_room(buf) < (size_t)n) {
            *large = (struct iovec){(void *)(uintptr_t)data, (size_t)n};
            return true;
        }
        memcpy(buf->data + buf->end, data, (size_t)n);
        buf->end += (uint32_t)n;
    }
}

static bool keep_rest(struct mux *mux, const struct iovec parts[2])
{
    size_t left = parts[0].iov_len + parts[1].iov_len;
    struct buf *rest = left == 0 ? NULL : buf_get_sized(loop_bufs(mux->loop), left);

    if (left > 0 && rest == NULL)
        return false;
    for (int i = 0; i < 2 && rest != NULL; i++) {
        if (parts[i].iov_len == 0)
            continue;
        memcpy(rest->data + rest->end, parts[i].iov_base, parts[i].iov_len);
        rest->end += (uint32_t)parts[i].iov_len;
    }
    mux->backlog = rest;
    return true;
}

static void advance(struct iovec parts[2], size_t bytes)
{
    for (int i = 0; i < 2; i++) {
        size_t n = parts[i].iov_len < bytes ? parts[i].iov_len : bytes;

        if (n == 0) /* an empty part has no address to go on from */
            continue;
        parts[i].iov_base = (char *)parts[i].iov_base + n;
        parts[i].iov_len -= n;
        bytes -= n;
    }
}

/* False: the socket is gone. */
static bool write_parts(struct mux *mux, struct iovec parts[2])
{
    while (parts[0].iov_len + parts[1].iov_len > 0) {
        int first = parts[0].iov_len > 0 ? 0 : 1;
        int count = first == 0 && parts[1].iov_len > 0 ? 2 : 1;
        struct io_result sent = send_parts(mux, parts + first, count);

        if (sent.kind == IO_FAILED || sent.kind == IO_END)
            return false;
        if (sent.kind == IO_AGAIN)
            break;
        advance(parts, sent.bytes);
    }
    return keep_rest(mux, parts);
}

/* False: nothing more can or need be sent now. */
static bool pump_once(struct mux *mux, size_t *bytes, bool *failed)
{
    struct buf *buf = buf_get(loop_bufs(mux->loop));
    struct iovec parts[2] = {{0}};
    size_t gathered;

    *failed = buf == NULL || !gather(mux, buf, &parts[1]);
    if (!*failed) {
        parts[0] = (struct iovec){buf->data, buf->end};
        gathered = parts[0].iov_len + parts[1].iov_len;
        *bytes += gathered;
        *failed = !write_parts(mux, parts);
        buf_unref(buf);
        return !*failed && gathered > 0;
    }
    buf_unref(buf);
    return false;
}

static void lost(struct mux *mux, const struct io_result *result, const char *what)
{
    struct mux_fault fault = {.kind = MUX_LOST, .what = what};

    if (result != NULL && result->kind == IO_FAILED)
        fault.os_error = result->error;
    mux_fail(mux, &fault);
}

void mux_pump(struct mux *mux)
{
    bool failed = false;
    size_t bytes = 0;

    do {
        if (!send_backlog(mux, &failed))
            break;
    } while (pump_once(mux, &bytes, &failed) && bytes < TURN_BYTES_MAX);
    if (!failed && bytes >= TURN_BYTES_MAX)
        deadline_arm(mux->loop, &mux->again, 1);
    if (!failed)
        return;
    if (mux->conn->tls == NULL)
        mux->conn->io.ready |= IO_READ; /* perhaps it has said why */
    mux->broken = true;
}

/* nghttp2 found the peer at fault and has sent GOAWAY: it reads no more. */
static bool is_dead(const struct mux *mux)
{
    return mux->stream_count > 0 && mux->backlog == NULL &&
           nghttp2_session_want_read(mux->session) == 0 &&
           nghttp2_session_want_write(mux->session) == 0;
}

static void fail_dead(struct mux *mux)
{
    struct mux_fault fault = {.kind = MUX_INVALID, .what = "upstream broke the rules of HTTP/2"};
    char text[100];

    if (mux->goaway != NULL) {
        snprintf(text, sizeof text, "%s: %s", fault.what, mux->goaway);
        fault.what = text;
    }
    mux_fail(mux, &fault);
}

static void run_pump(struct task *task)
{
    struct mux *mux = container_of(task, struct mux, pump);

    if (mux->state != MUX_OPEN)
        return;
    mux_pump(mux);
    mux_tell(mux);
    if (mux->state == MUX_OPEN && mux->broken)
        mux_read(mux);
    if (mux->state == MUX_OPEN && mux->broken)
        lost(mux, NULL, "upstream closed the connection");
    else if (mux->state == MUX_OPEN && is_dead(mux))
        fail_dead(mux);
}

void mux_pump_soon(struct mux *mux)
{
    if (mux->state != MUX_OPEN)
        return;
    mux->pump.run = run_pump;
    loop_defer(mux->loop, &mux->pump);
}

/* ---- in */

/* False: nothing more to read in this turn. */
static bool read_once(struct mux *mux)
{
    struct buf *buf = buf_get(loop_bufs(mux->loop));
    struct io_result got = {.kind = IO_FAILED, .error = ENOMEM};
    bool more = false;

    if (buf != NULL)
        got = transport_recv(&mux->conn->io, mux->conn->tls, buf->data, buf_room(buf));
    if (got.kind == IO_DONE) {
        deadline_disarm(&mux->quiet);
        mux->pinged = false;
        more = mux_feed(mux, slice_make(buf->data, got.bytes)) &&
               (mux->conn->io.ready & IO_READ) != 0;
    } else if (got.kind != IO_AGAIN) {
        lost(mux, &got, "upstream prematurely closed connection");
    }
    buf_unref(buf);
    return more;
}

void mux_read(struct mux *mux)
{
    int reads = 0;

    while (mux->state == MUX_OPEN && read_once(mux))
        if (++reads == READS_MAX)
            break;
    if (mux->state != MUX_OPEN)
        return;
    if (reads == READS_MAX)
        deadline_arm(mux->loop, &mux->again, 1);
    mux_pump_soon(mux);
}

void mux_on_again(struct deadline *deadline)
{
    struct mux *mux = container_of(deadline, struct mux, again);

    if (mux->state == MUX_OPEN && (mux->conn->io.ready & IO_READ) != 0)
        mux_read(mux);
    mux_pump_soon(mux);
}

/* The peer was asked something, and nothing has come: is it there at all? */
void mux_on_quiet(struct deadline *deadline)
{
    struct mux *mux = container_of(deadline, struct mux, quiet);
    uint64_t now_ms = loop_now_ms(mux->loop);

    if (mux->state != MUX_OPEN || mux->stream_count == 0)
        return;
    if (mux->pinged) {
        lost(mux, NULL, "upstream does not answer PING");
        return;
    }
    if (mux->pinged_ms != 0 && now_ms - mux->pinged_ms < PING_EVERY_MS)
        return;
    if (nghttp2_submit_ping(mux->session, NGHTTP2_FLAG_NONE, NULL) != 0)
        return;
    mux->pinged = true;
    mux->pinged_ms = now_ms;
    deadline_arm(mux->loop, &mux->quiet, PING_ANSWER_MS);
    mux_pump_soon(mux);
}

/* ---- the beginning */

static void open_session(struct mux *mux)
{
    static const struct mux_fault no_memory = {
        .kind = MUX_CONNECT, .os_error = ENOMEM, .what = "no connection can be opened"};

    if (!mux_begin_session(mux)) {
        mux_fail(mux, &no_memory);
        return;
    }
    mux->state = MUX_OPEN;
    list_each(it, keep, &mux->streams)
    {
        struct mux_stream *stream = container_of(it, struct mux_stream, link);

        stream->conn.connected = true;
        mux_note(stream, IO_WRITE);
    }
    mux_tell(mux);
    mux_pump_soon(mux);
    if (mux->state == MUX_OPEN && mux->conn->tls != NULL &&
        (mux->conn->io.ready & IO_READ) != 0) /* it came with the end of the handshake */
        deadline_arm(mux->loop, &mux->again, 1);
}

static void fail_handshake(struct mux *mux, const char *why)
{
    struct mux_fault fault = {.kind = MUX_TLS, .what = why};

    mux_fail(mux, &fault);
}

static void shake_hands(struct mux *mux)
{
    struct peer_conn *conn = mux->conn;
    enum tls_progress progress = tls_handshake(conn->tls);
    struct slice protocol;

    if (progress == TLS_MORE)
        return;
    if (progress == TLS_FAILED) {
        fail_handshake(mux, tls_why(conn->tls));
        return;
    }
    protocol = tls_conn_protocol(conn->tls);
    if (slice_eq(protocol, slice_of("h2")) || (protocol.len == 0 && mux->only_h2))
        open_session(mux);
    else
        mux_become_plain(mux);
}

void mux_connect(struct mux *mux)
{
    assert(mux->conn->connected);
    if (mux->tls.client == NULL) {
        open_session(mux);
        return;
    }
    mux->tls.io = &mux->conn->io;
    mux->conn->tls = tls_connect(&mux->tls);
    if (mux->conn->tls == NULL)
        fail_handshake(mux, "no memory");
    else
        shake_hands(mux);
}

static void on_connecting(struct mux *mux)
{
    int error = socket_error(mux->conn->io.fd);
    struct mux_fault fault = {.kind = MUX_CONNECT, .os_error = error, .what = "connect() failed"};

    if (error != 0) {
        mux_fail(mux, &fault);
    } else if ((mux->conn->io.ready & IO_WRITE) != 0) {
        mux->conn->connected = true;
        mux_connect(mux);
    }
}

void mux_on_ready(struct io *io, unsigned events)
{
    struct peer_conn *conn = container_of(io, struct peer_conn, io);
    struct mux *mux = conn->user;

    assert(mux->conn == conn);
    if (!conn->connected) {
        on_connecting(mux);
        return;
    }
    if (conn->tls != NULL)
        events = tls_on_events(conn->tls, events);
    if (mux->state == MUX_CONNECTING) {
        shake_hands(mux);
        return;
    }
    if ((events & (IO_READ | IO_HANGUP | IO_ERROR)) != 0)
        mux_read(mux);
    if (mux->state == MUX_OPEN && (events & IO_WRITE) != 0)
        mux_pump_soon(mux);
}
