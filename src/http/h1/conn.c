#include "http/h1/conn.h"
#include "policy/error_log.h"

#include "base/arena.h"
#include "event/socket.h"
#include "http/h1/conn_internal.h"
#include "http/h2/conn.h"
#include "http/response.h"
#include "http/steps.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DRAIN_PATIENCE_MS = 1000,
    LINGER_READS = 64, /* in one turn */
};

static void on_ready(struct io *io, unsigned events);
static void on_deadline(struct deadline *deadline);

/* Listeners of a config that has gone keep the one that had them last. */
const struct http_listen *h1_conn_listen(const struct h1_conn *conn)
{
    const struct http_listener *listener = conn->listener;

    return &listener->user->conf->listens[listener->index];
}

static const struct http_server *fallback_of(const struct h1_conn *conn)
{
    return h1_conn_listen(conn)->fallback;
}

const struct core_conf *h1_conn_core(const struct h1_conn *conn)
{
    return server_core(fallback_of(conn));
}

const struct log *h1_conn_log(const struct h1_conn *conn)
{
    return error_log_of(fallback_of(conn)->settings);
}

/* Makes what was closed in this turn free: nobody on the stack looks at it any more. */
static void reap(struct task *task)
{
    struct http_loop *http = container_of(task, struct http_loop, reap_conns);

    while (http->closed_conns != NULL) {
        struct h1_conn *conn = http->closed_conns;

        http->closed_conns = conn->next_free;
        conn->next_free = http->free_conns;
        http->free_conns = conn;
    }
}

static struct h1_conn *conn_new(struct http_loop *http)
{
    struct h1_conn *conn = http->free_conns;

    if (conn == NULL)
        return calloc(1, sizeof *conn);
    http->free_conns = conn->next_free;
    uint32_t epoch = conn->epoch;

    *conn = (struct h1_conn){.epoch = epoch + 1};
    return conn;
}

void h1_conn_free_spares(struct http_loop *http)
{
    reap(&http->reap_conns);
    for (struct h1_conn *conn = http->free_conns; conn != NULL;) {
        struct h1_conn *next = conn->next_free;

        free(conn);
        conn = next;
    }
    http->free_conns = NULL;
}

void h1_drop_input(struct h1_conn *conn)
{
    buf_unref(conn->in);
    conn->in = NULL;
}

void h1_conn_close(struct h1_conn *conn, bool reset)
{
    struct http_loop *http = conn->http;

    assert(conn->state != H1_CLOSED);
    assert(conn->stream == NULL);
    conn->state = H1_CLOSED;
    deadline_disarm(&conn->deadline);
    h1_leave_crowd(conn);
    if (conn->tls != NULL && !reset)
        tls_close_notify(conn->tls);
    tls_conn_free(conn->tls);
    conn->tls = NULL;
    loop_unwatch(&conn->io);
    if (reset)
        socket_close_reset(conn->io.fd);
    else
        close(conn->io.fd);
    h1_drop_input(conn);
    free(conn->proxy);
    conn->proxy = NULL;
    http_loop_remove(http, &conn->client);
    http_listener_unref(conn->listener);
    conn->next_free = http->closed_conns;
    http->closed_conns = conn;
    http->reap_conns.run = reap;
    loop_defer(http->loop, &http->reap_conns);
}

/* The socket, its place in the loop and the bytes received go to HTTP/2; what is left goes as if it
 * were closed. False: no memory. */
bool h1_conn_hand_over(struct h1_conn *conn)
{
    struct http_loop *http = conn->http;
    struct h2_handover handover = {
        .from = &conn->client,
        .listener = conn->listener,
        .in = conn->in,
        .proxy = conn->proxy,
        .tls = conn->tls,
        .peer = conn->peer,
        .id = conn->id,
        .start_ms = conn->start_ms,
        .fd = conn->io.fd,
    };

    assert(conn->stream == NULL);
    loop_unwatch(&conn->io);
    deadline_disarm(&conn->deadline);
    if (!h2_conn_take(&handover))
        return false;
    conn->state = H1_CLOSED;
    conn->in = NULL;
    conn->proxy = NULL;
    conn->tls = NULL;
    conn->next_free = http->closed_conns;
    http->closed_conns = conn;
    http->reap_conns.run = reap;
    loop_defer(http->loop, &http->reap_conns);
    return true;
}

/* Closing at once while unread bytes wait in the socket would make the kernel send RST, and the
 * client might never see the answer: shut down our side, read what comes, then close. */
void h1_conn_linger(struct h1_conn *conn)
{
    if (conn->linger_until_s == 0 || !transport_shutdown(&conn->io, conn->tls)) {
        h1_conn_close(conn, false);
        return;
    }
    tls_conn_free(conn->tls); /* what is thrown away need not be decrypted */
    conn->tls = NULL;
    h1_drop_input(conn);
    conn->state = H1_LINGER;
    deadline_arm(conn->http->loop, &conn->deadline, conn->linger_ms);
    if ((conn->io.ready & IO_READ) != 0)
        on_ready(&conn->io, IO_READ);
}

bool h1_conn_overdue(const struct h1_conn *conn)
{
    uint64_t age_ms = loop_now_ms(conn->http->loop) - conn->start_ms;

    return age_ms / 1000 >= conn->linger_until_s;
}

/* Who sends without end gets his turn like everybody: the rest is read after other events. */
static void on_linger_readable(struct h1_conn *conn)
{
    struct io_result got = {.kind = IO_AGAIN};

    for (int i = 0; i < LINGER_READS && (conn->io.ready & IO_READ) != 0; i++) {
        got = h1_fill(conn, BUF_BYTES);
        h1_drop_input(conn);
        if (got.kind == IO_END || got.kind == IO_FAILED)
            break;
    }
    if (got.kind == IO_END || got.kind == IO_FAILED || h1_conn_overdue(conn)) {
        h1_conn_close(conn, false);
        return;
    }
    deadline_arm(conn->http->loop, &conn->deadline,
                 (conn->io.ready & IO_READ) != 0 ? 1 : conn->linger_ms);
}

/* "v1" text or "v2" binary; nothing else is accepted on such a port. */
static void on_proxy_header(struct h1_conn *conn)
{
    struct io_result got = h1_fill(conn, BUF_BYTES);
    size_t used = 0;

    if (got.kind == IO_AGAIN)
        return;
    if (got.kind != IO_DONE || (conn->proxy = calloc(1, sizeof *conn->proxy)) == NULL) {
        h1_conn_close(conn, false);
        return;
    }
    struct slice in = slice_make(conn->in->data + conn->in->start, buf_used(conn->in));
    enum proxy_protocol_result result = parse_proxy_protocol(in, conn->proxy, &used);

    if (result == PROXY_PROTOCOL_MORE && in.len < PROXY_PROTOCOL_BYTES_MAX) {
        free(conn->proxy);
        conn->proxy = NULL;
        return;
    }
    if (result != PROXY_PROTOCOL_OK) {
        log_write(h1_conn_log(conn), LOG_LEVEL_ERROR, 0,
                  "broken PROXY header from a client: the connection is closed");
        h1_conn_close(conn, false);
        return;
    }
    struct slice tlvs = conn->proxy->tlvs;
    struct proxy_protocol *kept = realloc(conn->proxy, sizeof *kept + tlvs.len);

    if (kept == NULL) {
        h1_conn_close(conn, false);
        return;
    }
    memcpy(kept + 1, tlvs.data == NULL ? "" : tlvs.data, tlvs.len);
    kept->tlvs = slice_make((char *)(kept + 1), tlvs.len);
    conn->proxy = kept;
    conn->in->start += (uint32_t)used;
    if (h1_conn_listen(conn)->ssl) {
        conn->state = H1_HELLO;
        h1_on_hello(conn);
        return;
    }
    conn->state = H1_WAITING;
    h1_conn_next(conn);
}

static void wait_for_request(struct h1_conn *conn)
{
    bool first = conn->requests == 0;
    uint64_t wait_ms = first ? h1_conn_core(conn)->client_header_timeout : conn->idle_ms;

    assert(conn->stream == NULL);
    if (conn->http->draining) /* the answer did not announce the end: the next one will */
        wait_ms = conn->keep_ms > DRAIN_PATIENCE_MS ? conn->keep_ms : DRAIN_PATIENCE_MS;
    if (wait_ms == 0) {
        h1_conn_close(conn, false);
        return;
    }
    h1_drop_input(conn);
    conn->state = H1_WAITING;
    conn->client.keep_until_ms = loop_now_ms(conn->http->loop) + conn->keep_ms;
    http_loop_set_idle(conn->http, &conn->client, true);
    deadline_arm(conn->http->loop, &conn->deadline, wait_ms);
}

void h1_conn_next(struct h1_conn *conn)
{
    enum h1_read result;

    if (conn->parsing)
        return;
    conn->parsing = true;
    do {
        result = h1_read_request(conn);
    } while (result == H1_READ_STARTED && conn->state == H1_WAITING);
    conn->parsing = false;
    if (result == H1_READ_WAIT && conn->state == H1_WAITING)
        wait_for_request(conn);
}

/* The client's FIN or RST while its request is being answered. */
static void on_hangup(struct h1_conn *conn)
{
    struct exchange *x = conn->stream->x;

    x->flags |= X_CLIENT_FIN;
    if (!x->body.complete && body_is_read(x))
        return; /* the body's reader will find the end by itself */
    if ((x->flags & X_IGNORES_ABORT) != 0)
        return;
    if (x->on_abort != NULL)
        exchange_client_gone(x);
}

static void on_exchange_ready(struct h1_conn *conn, unsigned events)
{
    uint32_t epoch = conn->epoch;
    struct exchange *x = conn->stream->x;

    if ((events & IO_WRITE) != 0 && conn->stream->wire != NULL) {
        h1_flush(x);
        if (conn->epoch != epoch)
            return;
    }
    if ((events & (IO_READ | IO_HANGUP)) != 0 && body_is_read(x) && !x->body.complete) {
        h1_read_body(x);
        if (conn->epoch != epoch)
            return;
    }
    if ((events & (IO_HANGUP | IO_ERROR)) != 0)
        on_hangup(conn);
}

static void on_ready(struct io *io, unsigned events)
{
    struct h1_conn *conn = container_of(io, struct h1_conn, io);

    if (conn->tls != NULL)
        events = tls_on_events(conn->tls, events);
    switch ((enum h1_state)conn->state) {
    case H1_PROXY_HEADER:
        on_proxy_header(conn);
        break;
    case H1_HELLO:
        h1_on_hello(conn);
        break;
    case H1_HANDSHAKE:
        h1_on_handshake(conn);
        break;
    case H1_WAITING:
    case H1_HEAD:
        if ((events & (IO_READ | IO_HANGUP | IO_ERROR)) != 0)
            h1_conn_next(conn);
        break;
    case H1_EXCHANGE:
        on_exchange_ready(conn, events);
        break;
    case H1_DISCARD:
        if ((events & (IO_READ | IO_HANGUP | IO_ERROR)) != 0)
            h1_discard(conn->stream->x);
        break;
    case H1_TUNNEL:
        conn->stream->tunnel.on_ready(&conn->stream->tunnel, events);
        break;
    case H1_LINGER:
        on_linger_readable(conn);
        break;
    case H1_CLOSED:
    case H1_STATE_COUNT:
        break;
    }
}

static void on_send_deadline(struct h1_conn *conn)
{
    struct exchange *x = conn->stream->x;
    bool reset = core_of(x)->reset_timedout_connection;

    log_about(&x->log, LOG_LEVEL_INFO, 0, "client timed out: it takes no more of the response");
    x->flags |= X_TIMED_OUT;
    exchange_abort(x, reset);
}

/* A client that ends its head never is told so, unless the kernel is to forget it at once. */
static void on_head_deadline(struct h1_conn *conn, bool reset)
{
    struct exchange *x = conn->stream->x;

    log_about(&x->log, LOG_LEVEL_INFO, 0, "client timed out: its request does not come");
    x->flags |= X_TIMED_OUT;
    if (reset)
        x->flags |= X_RESET;
    h1_refuse(conn, 408);
}

static void on_exchange_deadline(struct h1_conn *conn)
{
    if (conn->stream->send_timed)
        on_send_deadline(conn);
    else
        h1_on_body_deadline(conn);
}

/* Either the client sends nothing, or it sent more than was to be read in one turn. */
static void on_discard_deadline(struct h1_conn *conn)
{
    bool more = (conn->io.ready & IO_READ) != 0;

    if (conn->state == H1_LINGER) {
        if (more)
            on_linger_readable(conn);
        else
            h1_conn_close(conn, false);
        return;
    }
    if (!more)
        conn->stream->x->flags |= X_CLOSE_AFTER;
    h1_discard(conn->stream->x);
}

static void on_deadline(struct deadline *deadline)
{
    struct h1_conn *conn = container_of(deadline, struct h1_conn, deadline);
    bool reset = h1_conn_core(conn)->reset_timedout_connection;

    switch ((enum h1_state)conn->state) {
    case H1_HEAD:
        on_head_deadline(conn, reset);
        break;
    case H1_EXCHANGE:
        on_exchange_deadline(conn);
        break;
    case H1_HANDSHAKE:
        h1_on_handshake_deadline(conn);
        break;
    case H1_PROXY_HEADER:
    case H1_HELLO:
    case H1_WAITING:
        h1_conn_close(conn, reset && conn->requests == 0);
        break;
    case H1_DISCARD:
    case H1_LINGER:
        on_discard_deadline(conn);
        break;
    case H1_TUNNEL:
    case H1_CLOSED:
    case H1_STATE_COUNT:
        break;
    }
}

void h1_hurry(struct h1_conn *conn)
{
    deadline_arm(conn->http->loop, &conn->deadline, DRAIN_PATIENCE_MS);
}

static void fetch(const struct io *io)
{
    fetch_memory(container_of(io, struct h1_conn, io), offsetof(struct h1_conn, peer));
}

static void close_idle(struct client_conn *client)
{
    h1_conn_close(container_of(client, struct h1_conn, client), false);
}

/* How long a connection that waits for a request is left to a client that may be about to send one:
 * closing it would cross with the request, and the client could not tell whether it was read. */
static uint64_t patience_ms(const struct h1_conn *conn, uint64_t now_ms)
{
    const struct client_conn *client = &conn->client;
    uint64_t idle_since_ms = client->keep_until_ms - conn->keep_ms;

    if (conn->requests == 0 || now_ms - idle_since_ms < DRAIN_PATIENCE_MS)
        return DRAIN_PATIENCE_MS;
    return client->keep_until_ms > now_ms ? client->keep_until_ms - now_ms : 0;
}

/* A request under way is answered with `Connection: close`; so is one whose bytes wait in the
 * socket, and the next one of a client that has asked a moment ago. Other idle connections can go
 * now. */
static void drain(struct client_conn *client)
{
    struct h1_conn *conn = container_of(client, struct h1_conn, client);
    uint64_t now_ms = loop_now_ms(conn->http->loop);
    char byte;

    if (conn->state == H1_HANDSHAKE)
        h1_hurry(conn);
    if ((conn->state != H1_WAITING && conn->state != H1_HELLO) ||
        (conn->requests == 0 && conn->in != NULL) ||
        socket_peek(conn->io.fd, &byte, 1).kind == IO_DONE)
        return;
    uint64_t wait_ms = patience_ms(conn, now_ms);

    if (wait_ms > 0)
        deadline_arm(conn->http->loop, &conn->deadline, wait_ms);
    else
        h1_conn_close(conn, false);
}

static void abort_conn(struct client_conn *client)
{
    struct h1_conn *conn = container_of(client, struct h1_conn, client);

    if (conn->state == H1_HEAD)
        h1_drop_head(conn);
    if (conn->stream != NULL)
        exchange_abort(conn->stream->x, false);
    else
        h1_conn_close(conn, false);
}

static const struct client_conn_ops conn_ops = {
    .close_idle = close_idle,
    .drain = drain,
    .abort = abort_conn,
};

void h1_conn_accept(struct http_listener *listener, int fd, const struct address *peer)
{
    struct http_loop *http = listener->http;
    struct h1_conn *conn = conn_new(http);

    if (conn == NULL) {
        close(fd);
        return;
    }
    conn->client.ops = &conn_ops;
    conn->io.fd = fd;
    conn->io.on_ready = on_ready;
    conn->deadline.on_expire = on_deadline;
    conn->http = http;
    conn->start_ms = loop_now_ms(http->loop);
    conn->peer = *peer;
    if (!http_loop_add(http, &conn->client) || !loop_watch(http->loop, &conn->io)) {
        if (list_linked(&conn->client.link))
            http_loop_remove(http, &conn->client);
        close(fd);
        conn->next_free = http->free_conns;
        http->free_conns = conn;
        return;
    }
    conn->io.fetch = fetch;
    conn->listener = listener;
    listener->connections++;
    conn->id = http->next_connection_id;
    http->next_connection_id += http->shared->loop_count;
    const struct http_listen *listen = h1_conn_listen(conn);

    if (listen->proxy_protocol || listen->ssl) {
        conn->state = listen->proxy_protocol ? H1_PROXY_HEADER : H1_HELLO;
        deadline_arm(http->loop, &conn->deadline, h1_conn_core(conn)->client_header_timeout);
        return;
    }
    wait_for_request(conn);
}

/* Takes the stream off its connection and gives the exchange back. */
static struct h1_conn *detach(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct h1_conn *conn = stream->conn;

    assert(conn->stream == stream);
    deadline_disarm(&stream->rate);
    chunk_release_all(x, stream->wire);
    buf_unref(stream->head_buf);
    conn->stream = NULL;
    conn->epoch++;
    conn->requests++;
    http_count(&conn->http->counters.writing, -1);
    exchange_free(x);
    return conn;
}

static uint32_t ms_of(uint64_t ms)
{
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* What the location that answered says about the time after its answer. */
static void remember_times(struct h1_conn *conn, const struct core_conf *core)
{
    uint64_t age_ms = loop_now_ms(conn->http->loop) - conn->start_ms;
    bool lingers = core->lingering_close != LINGERING_OFF;

    conn->idle_ms = ms_of(core->keepalive_timeout);
    conn->keep_ms = ms_of(core->keepalive_min_timeout);
    conn->linger_ms = ms_of(core->lingering_timeout);
    conn->linger_until_s = lingers ? ms_of((age_ms + core->lingering_time) / 1000 + 1) : 0;
}

/* Bytes that were not read when a connection is closed make the kernel send RST. */
static bool input_waits(const struct h1_conn *conn)
{
    return (conn->io.ready & IO_READ) != 0 || (conn->in != NULL && buf_used(conn->in) > 0);
}

void h1_conn_finish(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    bool body_left = !x->body.complete && body_declared(x);
    bool keep = stream->keep_alive && !body_left && (x->flags & X_CLOSE_AFTER) == 0;
    bool reset = (x->flags & X_RESET) != 0;
    bool linger = body_left || (x->flags & X_LINGER) != 0 ||
                  core_of(x)->lingering_close == LINGERING_ALWAYS;
    struct h1_conn *conn = detach(x);

    conn->state = H1_WAITING;
    if (keep)
        h1_conn_next(conn);
    else if (!reset && (linger || input_waits(conn)))
        h1_conn_linger(conn);
    else
        h1_conn_close(conn, reset);
}

/* The next request begins where this one's body ends: that must be found first. */
static void codec_done(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct h1_conn *conn = stream->conn;
    bool keep = stream->keep_alive && (x->flags & X_CLOSE_AFTER) == 0;

    remember_times(conn, core_of(x));
    if (!keep || x->body.complete || !body_declared(x)) {
        h1_conn_finish(x);
        return;
    }
    conn->epoch++; /* for who called out it is over, although its memory is still needed */
    conn->state = H1_DISCARD;
    x->freed_flag = NULL;
    x->body.on_data = NULL;
    x->body.discarding = true;
    h1_discard(x);
}

static void codec_abort(struct exchange *x, bool reset)
{
    struct h1_conn *conn = detach(x);

    conn->state = H1_WAITING;
    h1_conn_close(conn, reset);
}

const struct codec h1_codec = {
    .name = "HTTP/1.1",
    .send_head = h1_send_head,
    .flush = h1_flush,
    .send_interim = h1_send_interim,
    .read_body = h1_read_body,
    .upgrade = h1_upgrade,
    .done = codec_done,
    .abort = codec_abort,
};
