/* TLS on an HTTP/1 connection: what comes before its first request.
 * Runs in: worker, loop thread. */
#include "base/arena.h"
#include "event/socket.h"
#include "http/conf.h"
#include "http/features/http2.h"
#include "http/features/ssl.h"
#include "http/h1/conn_internal.h"
#include "http/router.h"
#include "http/steps.h"
#include "tls/crowd.h"
#include "tls/server.h"
#include "tls/settings.h"

#include <assert.h>
#include <stddef.h>
#include <sys/socket.h>

/* The listen whose names count: another one may share the socket of this one's wildcard. */
static const struct http_listen *named_listen(const struct h1_conn *conn)
{
    const struct http_listen *listen = h1_conn_listen(conn);
    struct address local = {.len = sizeof local - offsetof(struct address, any)};

    if (listen->narrower_count == 0 || getsockname(conn->io.fd, &local.any, &local.len) != 0)
        return listen;
    return listen_narrowed(listen, &local);
}

static const struct tls_server *choose_server(void *owner, struct slice name)
{
    struct h1_conn *conn = owner;
    const struct http_listen *listen = named_listen(conn);
    const struct http_server *server = name.len == 0 ? listen->fallback
                                                     : server_table_find(listen, name, NULL);

    conn->offers_h2 = http2_wanted(listen, server);
    return ssl_server_of(server, listen->fallback);
}

static struct slice offer_protocols(void *owner)
{
    static const struct slice with_h2 = SLICE("\x02h2\x08http/1.1\x08http/1.0\x08http/0.9");
    static const struct slice without = SLICE("\x08http/1.1\x08http/1.0\x08http/0.9");
    const struct h1_conn *conn = owner;

    return conn->offers_h2 ? with_h2 : without;
}

/* Variables speak about exchanges: this one is never run. */
static struct exchange *borrow_exchange(struct h1_conn *conn)
{
    struct exchange *x = exchange_new(conn->http, conn->listener->user);
    struct h1_stream *stream = x == NULL ? NULL : arena_zalloc(x->subject.arena, sizeof *stream);

    if (stream == NULL) {
        if (x != NULL)
            exchange_free(x);
        return NULL;
    }
    h1_request_init(&stream->request, x->subject.arena);
    stream->conn = conn;
    stream->x = x;
    x->codec = &h1_codec;
    x->stream = stream;
    x->request.headers = &stream->request.headers;
    x->listen = h1_conn_listen(conn);
    x->server = x->listen->fallback;
    x->settings = x->server->settings;
    x->tls = conn->tls;
    x->client_fd = conn->io.fd;
    x->subject.client = &conn->peer;
    x->proxy_protocol = conn->proxy;
    x->log.log = h1_conn_log(conn);
    x->connection_id = conn->id;
    x->connection_start_ms = conn->start_ms;
    return x;
}

static bool fill_template(void *owner, const struct template *template, char *out, size_t out_bytes)
{
    struct exchange *x = borrow_exchange(owner);
    struct slice text = {0};

    if (x == NULL)
        return false;
    bool ok = template_eval(template, &x->subject, &text) && text.len < out_bytes &&
              memchr(text.data == NULL ? "" : text.data, '\0', text.len) == NULL;

    if (ok && text.len > 0)
        memcpy(out, text.data, text.len);
    if (ok)
        out[text.len] = '\0';
    exchange_free(x);
    return ok;
}

static void resume(void *owner)
{
    h1_on_handshake(owner);
}

static const struct tls_choice choice = {
    .server = choose_server,
    .text = fill_template,
    .alpn = offer_protocols,
    .resume = resume,
};

/* Whoever is behind a proxy that says so. */
static const struct address *client_of(const struct h1_conn *conn)
{
    bool told = conn->proxy != NULL && conn->proxy->source.len > 0;

    return told ? &conn->proxy->source : &conn->peer;
}

static void log_failure(struct h1_conn *conn, enum log_level level, const char *why)
{
    char text[ADDRESS_TEXT_BYTES];
    size_t len = address_host_text(&conn->peer, text);

    log_write(h1_conn_log(conn), level, 0, "%s while SSL handshaking, client: %.*s, server: %.*s",
              why, (int)len, text, SLICE_ARG(h1_conn_listen(conn)->spec.text));
}

static void count_failure(struct h1_conn *conn, enum tls_failure why)
{
    http_count(&conn->http->counters.handshakes_failed[why], 1);
}

void h1_leave_crowd(struct h1_conn *conn)
{
    if (conn->crowded)
        crowd_leave(client_of(conn));
    conn->crowded = false;
}

static bool enter_crowd(struct h1_conn *conn)
{
    const struct http_server *fallback = h1_conn_listen(conn)->fallback;
    unsigned max = (unsigned)ssl_settings_of(fallback)->handshake_limit;
    char text[ADDRESS_TEXT_BYTES];

    conn->crowded = crowd_enter(client_of(conn), max);
    if (conn->crowded)
        return true;
    count_failure(conn, TLS_FAILURE_LIMIT);
    size_t len = address_host_text(client_of(conn), text);

    log_write(h1_conn_log(conn), LOG_LEVEL_WARN, 0,
              "more than %u TLS handshakes at once: the connection is closed, client: %.*s, "
              "server: %.*s",
              max, (int)len, text, SLICE_ARG(h1_conn_listen(conn)->spec.text));
    return false;
}

static void count_handshake(struct h1_conn *conn)
{
    struct http_counters *counters = &conn->http->counters;

    http_count(&counters->handshakes, 1);
    if (tls_conn_is_resumed(conn->tls))
        http_count(&counters->handshakes_resumed, 1);
    if (tls_conn_is_early(conn->tls))
        http_count(&counters->handshakes_early, 1);
}

void h1_on_handshake(struct h1_conn *conn)
{
    assert(conn->state == H1_HANDSHAKE);
    switch (tls_handshake(conn->tls)) {
    case TLS_MORE:
    case TLS_NEEDS_KEY:
        return;
    case TLS_DONE:
        h1_leave_crowd(conn);
        conn->state = H1_WAITING;
        count_handshake(conn);
        if (!slice_eq(tls_conn_protocol(conn->tls), slice_of("h2")))
            h1_conn_next(conn);
        else if (!h1_conn_hand_over(conn))
            h1_conn_close(conn, false);
        return;
    case TLS_FAILED:
        count_failure(conn, tls_failure(conn->tls));
        log_failure(conn,
                    tls_failure(conn->tls) == TLS_FAILURE_OURS ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
                    tls_why(conn->tls));
        h1_conn_close(conn, false);
        return;
    }
}

void h1_on_handshake_deadline(struct h1_conn *conn)
{
    count_failure(conn, TLS_FAILURE_TIMEOUT);
    log_failure(conn, LOG_LEVEL_INFO, "client timed out");
    h1_conn_close(conn, h1_conn_core(conn)->reset_timedout_connection);
}

static void begin_handshake(struct h1_conn *conn)
{
    const struct http_server *fallback = named_listen(conn)->fallback;
    struct tls_accept accept = {
        .loop = conn->http->loop,
        .io = &conn->io,
        .fallback = ssl_server_of(fallback, fallback),
        .choice = &choice,
        .owner = conn,
        .keys = conn->http->shared->keys,
        .early = conn->in,
    };

    conn->tls = accept.fallback == NULL ? NULL : tls_accept(&accept);
    if (conn->tls == NULL) {
        log_write(h1_conn_log(conn), LOG_LEVEL_CRIT, 0, "no memory for a TLS connection");
        h1_conn_close(conn, false);
        return;
    }
    conn->in = NULL;
    conn->state = H1_HANDSHAKE;
    if (conn->http->draining)
        h1_hurry(conn);
    h1_on_handshake(conn);
}

/* The first byte tells TLS from a plain request, which is read to be told so (497). */
void h1_on_hello(struct h1_conn *conn)
{
    if (conn->in == NULL || buf_used(conn->in) == 0) {
        struct io_result got = h1_fill(conn, BUF_BYTES);

        if (got.kind == IO_AGAIN) {
            h1_drop_input(conn);
            return;
        }
        if (got.kind != IO_DONE) {
            h1_conn_close(conn, false);
            return;
        }
    }
    if (tls_is_hello((unsigned char)conn->in->data[conn->in->start])) {
        if (enter_crowd(conn))
            begin_handshake(conn);
        else
            h1_conn_close(conn, true);
        return;
    }
    conn->state = H1_WAITING;
    h1_conn_next(conn);
}
