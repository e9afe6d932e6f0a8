#include "http/h2/conn.h"

#include "event/socket.h"
#include "http/conf.h"
#include "http/h2/conn_internal.h"
#include "http/proxy_protocol.h"
#include "http/steps.h"
#include "policy/error_log.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    DRAIN_PATIENCE_MS = 500, /* for requests that were under way when GOAWAY was sent */
    LINGER_MS = 2000,
    READS_MAX = 16,        /* in one turn */
    ROOM_BYTES_MIN = 2048, /* less is not worth to read into */
};

const struct http_listen *h2_conn_listen(const struct h2_conn *conn)
{
    const struct http_listener *listener = conn->listener;

    return &listener->user->conf->listens[listener->index];
}

const struct core_conf *h2_conn_core(const struct h2_conn *conn)
{
    return server_core(h2_conn_listen(conn)->fallback);
}

const struct http2_conf *h2_conn_conf(const struct h2_conn *conn)
{
    return settings_at(h2_conn_listen(conn)->fallback->settings, http2_feature.index);
}

void h2_conn_log(const struct h2_conn *conn, enum log_level level, int error, const char *what)
{
    char client[ADDRESS_TEXT_BYTES];
    size_t len = address_host_text(&conn->peer, client);

    log_write(error_log_of(h2_conn_listen(conn)->fallback->settings), level, error,
              "*%llu %s while processing HTTP/2 connection, client: %.*s, server: %.*s",
              (unsigned long long)conn->id, what, (int)len, client,
              SLICE_ARG(h2_conn_listen(conn)->spec.text));
}

/* Everything of this turn that may still look at the connection has run. */
static void bury(struct task *task)
{
    free(container_of(task, struct h2_conn, bury));
}

static void conn_close(struct h2_conn *conn)
{
    assert(conn->state != H2_CLOSED);
    assert(list_empty(&conn->streams));
    conn->state = H2_CLOSED;
    deadline_disarm(&conn->deadline);
    deadline_disarm(&conn->head);
    deadline_disarm(&conn->again);
    if (conn->tls != NULL)
        tls_close_notify(conn->tls);
    tls_conn_free(conn->tls);
    loop_unwatch(&conn->io);
    close(conn->io.fd);
    nghttp2_session_del(conn->session);
    conn->session = NULL;
    buf_unref(conn->in);
    buf_unref(conn->backlog);
    free(conn->proxy);
    http_loop_remove(conn->http, &conn->client);
    http_listener_unref(conn->listener);
    loop_defer(conn->http->loop, &conn->bury);
}

/* The client may not have read our last bytes: closing while it still sends would destroy them. */
static void conn_linger(struct h2_conn *conn)
{
    if (conn->state != H2_OPEN)
        return;
    if (!transport_shutdown(&conn->io, conn->tls)) {
        conn_close(conn);
        return;
    }
    tls_conn_free(conn->tls); /* what is thrown away need not be decrypted */
    conn->tls = NULL;
    conn->state = H2_LINGER;
    deadline_disarm(&conn->head);
    deadline_arm(conn->http->loop, &conn->deadline, LINGER_MS);
    deadline_arm(conn->http->loop, &conn->again, 1); /* what is in the socket is not told again */
}

static void abort_streams(struct h2_conn *conn)
{
    while (!list_empty(&conn->streams)) {
        struct h2_stream *stream = container_of(conn->streams.next, struct h2_stream, link);

        if (stream->began)
            exchange_client_gone(stream->x);
        else
            h2_stream_free(stream);
    }
}

static void run_pump(struct task *task)
{
    struct h2_conn *conn = container_of(task, struct h2_conn, pump);

    if (conn->state == H2_OPEN) {
        h2_pump(conn);
        h2_conn_after_pump(conn);
    } else if (conn->state == H2_ORPHAN) {
        h2_look_after(conn);
        if (list_empty(&conn->streams) && conn->state == H2_ORPHAN)
            conn_close(conn);
    }
}

void h2_conn_fail(struct h2_conn *conn, uint32_t error_code)
{
    if (conn->state != H2_OPEN)
        return;
    conn->leaving = true;
    abort_streams(conn);
    if (nghttp2_session_terminate_session(conn->session, error_code) == 0)
        h2_pump(conn);
    conn_linger(conn);
}

/* Exchanges may still ask for the socket's addresses: it is closed with the last of them. */
static void become_orphan(struct h2_conn *conn)
{
    conn->state = H2_ORPHAN;
    conn->leaving = true;
    deadline_disarm(&conn->deadline);
    deadline_disarm(&conn->head);
    deadline_disarm(&conn->again);
    loop_unwatch(&conn->io);
}

void h2_conn_lost(struct h2_conn *conn)
{
    struct list kept;

    if (conn->state != H2_OPEN && conn->state != H2_LINGER)
        return;
    become_orphan(conn);
    list_init(&kept);
    list_each(it, keep, &conn->streams)
    {
        struct h2_stream *stream = container_of(it, struct h2_stream, link);

        if (!stream->began || !h2_ignores_end(stream))
            continue;
        list_remove(&stream->link);
        list_push_back(&kept, &stream->link);
    }
    abort_streams(conn);
    while (!list_empty(&kept)) {
        struct h2_stream *stream = container_of(list_pop_front(&kept), struct h2_stream, link);

        list_push_back(&conn->streams, &stream->link);
        stream->reset = true;
        if (!stream->gone)
            h2_on_reset(stream);
    }
    run_pump(&conn->pump);
}

void h2_conn_leave(struct h2_conn *conn, bool at_once)
{
    if (conn->state != H2_OPEN || conn->leaving)
        return;
    if (!at_once) { /* a first GOAWAY: what the client has sent meanwhile is still answered */
        nghttp2_submit_shutdown_notice(conn->session);
        deadline_arm(conn->http->loop, &conn->deadline, DRAIN_PATIENCE_MS);
        h2_pump_soon(conn);
        return;
    }
    conn->leaving = true;
    nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(conn->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
    h2_pump_soon(conn);
}

static void become_idle(struct h2_conn *conn)
{
    uint64_t wait_ms = conn->first_done ? conn->idle_ms : h2_conn_core(conn)->client_header_timeout;

    if (conn->in != NULL) {
        buf_unref(conn->in);
        conn->in = NULL;
    }
    if (list_linked(&conn->client.idle_link))
        return;
    conn->client.keep_until_ms = loop_now_ms(conn->http->loop);
    http_loop_set_idle(conn->http, &conn->client, true);
    if (conn->http->draining)
        wait_ms = DRAIN_PATIENCE_MS;
    deadline_arm(conn->http->loop, &conn->deadline, wait_ms);
}

void h2_conn_after_pump(struct h2_conn *conn)
{
    if (conn->state != H2_OPEN)
        return;
    bool silent = conn->backlog == NULL && nghttp2_session_want_write(conn->session) == 0;

    if (silent && nghttp2_session_want_read(conn->session) == 0) {
        abort_streams(conn); /* an error of the client's: GOAWAY is sent */
        conn_linger(conn);
        return;
    }
    if (!list_empty(&conn->streams))
        return;
    if (conn->leaving && silent)
        conn_linger(conn);
    else
        become_idle(conn);
}

/* Room to read into, behind what bodies refer to as long as that is worth it. */
static bool ensure_room(struct h2_conn *conn)
{
    struct buf *in = conn->in;

    if (in != NULL && in->refs == 1)
        in->start = in->end = 0;
    if (in != NULL && buf_room(in) >= ROOM_BYTES_MIN)
        return true;
    buf_unref(in);
    conn->in = buf_get(loop_bufs(conn->http->loop));
    return conn->in != NULL;
}

/* False: nothing more to read in this turn. */
static bool read_once(struct h2_conn *conn)
{
    if (!ensure_room(conn)) {
        h2_conn_fail(conn, NGHTTP2_INTERNAL_ERROR);
        return false;
    }
    struct buf *in = conn->in;
    size_t room = buf_room(in);
    struct io_result got = transport_recv(&conn->io, conn->tls, in->data + in->end, room);

    if (got.kind == IO_AGAIN)
        return false;
    if (got.kind != IO_DONE) {
        h2_conn_lost(conn);
        return false;
    }
    struct slice bytes = slice_make(in->data + in->end, got.bytes);

    in->end += (uint32_t)got.bytes;
    return h2_session_feed(conn, bytes) && (conn->io.ready & IO_READ) != 0;
}

static void watch_head(struct h2_conn *conn)
{
    if (!conn->head_open)
        deadline_disarm(&conn->head);
    else if (!deadline_armed(&conn->head))
        deadline_arm(conn->http->loop, &conn->head, h2_conn_core(conn)->client_header_timeout);
}

void h2_conn_read(struct h2_conn *conn)
{
    int reads = 0;

    while (conn->state == H2_OPEN && read_once(conn))
        if (++reads == READS_MAX)
            break;
    if (conn->state != H2_OPEN)
        return;
    if (conn->in != NULL && conn->in->refs == 1) {
        buf_unref(conn->in);
        conn->in = NULL;
    }
    watch_head(conn);
    if (reads == READS_MAX)
        deadline_arm(conn->http->loop, &conn->again, 1);
    h2_pump_soon(conn);
}

static void on_linger_readable(struct h2_conn *conn)
{
    char bytes[4096];
    struct io_result got = {.kind = IO_AGAIN};

    for (int i = 0; i < READS_MAX * 4; i++) {
        got = socket_recv(conn->io.fd, bytes, sizeof bytes);
        if (got.kind != IO_DONE)
            break;
    }
    if (got.kind == IO_END || got.kind == IO_FAILED)
        conn_close(conn);
    else if (got.kind == IO_DONE)
        deadline_arm(conn->http->loop, &conn->again, 1);
}

static void on_ready(struct io *io, unsigned events)
{
    struct h2_conn *conn = container_of(io, struct h2_conn, io);

    if (conn->tls != NULL)
        events = tls_on_events(conn->tls, events);
    if (conn->state == H2_LINGER) {
        on_linger_readable(conn);
        return;
    }
    if (conn->state == H2_OPEN && (events & IO_WRITE) != 0 && conn->backlog != NULL)
        h2_pump_soon(conn);
    if (conn->state == H2_OPEN && (events & (IO_READ | IO_HANGUP | IO_ERROR)) != 0)
        h2_conn_read(conn);
}

static void on_again(struct deadline *deadline)
{
    struct h2_conn *conn = container_of(deadline, struct h2_conn, again);

    if (conn->state == H2_LINGER) {
        on_linger_readable(conn);
        return;
    }
    if ((conn->io.ready & IO_READ) != 0)
        h2_conn_read(conn);
    if (conn->state == H2_OPEN)
        h2_pump_soon(conn);
}

/* Idle for long, or the patience of a drain is over. */
static void on_deadline(struct deadline *deadline)
{
    struct h2_conn *conn = container_of(deadline, struct h2_conn, deadline);

    if (conn->state == H2_LINGER) {
        conn_close(conn);
        return;
    }
    if (list_empty(&conn->streams) && (conn->backlog != NULL || conn->leaving)) {
        conn_close(conn); /* it does not even take GOAWAY */
        return;
    }
    h2_conn_leave(conn, true);
    if (list_empty(&conn->streams)) /* the pump will end it; if it cannot, this will */
        deadline_arm(conn->http->loop, &conn->deadline, LINGER_MS);
}

static void on_head_deadline(struct deadline *deadline)
{
    struct h2_conn *conn = container_of(deadline, struct h2_conn, head);

    h2_conn_log(conn, LOG_LEVEL_INFO, 0, "client timed out: its request does not come");
    h2_conn_fail(conn, NGHTTP2_NO_ERROR);
}

static void close_idle(struct client_conn *client)
{
    struct h2_conn *conn = container_of(client, struct h2_conn, client);

    if (conn->state == H2_OPEN && nghttp2_session_terminate_session(conn->session, 0) == 0)
        h2_pump(conn);
    if (conn->state != H2_CLOSED)
        conn_close(conn);
}

static void drain(struct client_conn *client)
{
    struct h2_conn *conn = container_of(client, struct h2_conn, client);

    h2_conn_leave(conn, conn->first_done && list_empty(&conn->streams));
}

static void abort_conn(struct client_conn *client)
{
    struct h2_conn *conn = container_of(client, struct h2_conn, client);

    abort_streams(conn);
    if (conn->state != H2_CLOSED)
        conn_close(conn);
}

static const struct client_conn_ops conn_ops = {
    .close_idle = close_idle,
    .drain = drain,
    .abort = abort_conn,
};

void h2_pump_soon(struct h2_conn *conn)
{
    if (conn->state == H2_OPEN || conn->state == H2_ORPHAN)
        loop_defer(conn->http->loop, &conn->pump);
}

static struct h2_conn *conn_new(const struct h2_handover *handover)
{
    struct h2_conn *conn = calloc(1, sizeof *conn);

    if (conn == NULL)
        return NULL;
    conn->client.ops = &conn_ops;
    conn->io.fd = handover->fd;
    conn->io.on_ready = on_ready;
    conn->deadline.on_expire = on_deadline;
    conn->head.on_expire = on_head_deadline;
    conn->again.on_expire = on_again;
    conn->pump.run = run_pump;
    conn->bury.run = bury;
    conn->http = handover->listener->http;
    conn->listener = handover->listener;
    conn->peer = handover->peer;
    conn->id = handover->id;
    conn->start_ms = handover->start_ms;
    uint64_t idle_ms = h2_conn_core(conn)->keepalive_timeout;

    conn->idle_ms = idle_ms < UINT32_MAX ? (uint32_t)idle_ms : UINT32_MAX;
    conn->score.ms = loop_now_ms(conn->http->loop);
    list_init(&conn->streams);
    list_init(&conn->news);
    list_init(&conn->touched);
    conn->session = h2_session_new(conn);
    if (conn->session == NULL) {
        free(conn);
        return NULL;
    }
    return conn;
}

static void take_first_bytes(struct h2_conn *conn, struct buf *in)
{
    h2_pump_soon(conn); /* our settings go out whatever comes */
    conn->in = in;
    if (in == NULL) {
        h2_conn_read(conn);
        return;
    }
    (void)buf_ref(in);
    if (h2_session_feed(conn, slice_make(in->data + in->start, buf_used(in))))
        watch_head(conn);
    buf_unref(in);
}

bool h2_conn_take(const struct h2_handover *handover)
{
    struct h2_conn *conn = conn_new(handover);

    if (conn == NULL)
        return false;
    if (!loop_watch(conn->http->loop, &conn->io)) {
        nghttp2_session_del(conn->session);
        free(conn);
        return false;
    }
    /* Trying is how to find out, before the loop announces anything; and TLS may hold bytes. */
    conn->io.ready = IO_WRITE | (handover->tls != NULL ? IO_READ : 0);
    http_loop_replace(conn->http, handover->from, &conn->client);
    conn->proxy = handover->proxy;
    conn->tls = handover->tls;
    if (conn->tls != NULL)
        tls_conn_move(conn->tls, &conn->io, conn);
    become_idle(conn);
    take_first_bytes(conn, handover->in);
    return true;
}
