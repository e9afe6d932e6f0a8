/* A connection to the peer that was picked: a kept one, a new one, or a stream of a shared one.
 * Runs in: worker, loop thread. */
#include "balance/balance.h"
#include "balance/pool.h"
#include "balance/upstream.h"
#include "base/arena.h"
#include "http/body.h"
#include "http/http_loop.h"
#include "http/mux/mux.h"
#include "http/relay/relay_internal.h"
#include "http/tunnel.h"
#include "tls/client.h"
#include "tls/conn.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>

extern struct feature http_upstream_feature;

/* Kept by each loop. */
struct relay_loop {
    struct muxes *muxes; /* owned */
};

void relay_loop_end(void *slot)
{
    muxes_free(((struct relay_loop *)slot)->muxes);
}

static struct muxes *muxes_of(struct http_loop *http)
{
    struct relay_loop *slot = http_loop_slot(http, &http_upstream_feature, sizeof *slot);

    if (slot != NULL && slot->muxes == NULL)
        slot->muxes = muxes_new();
    return slot == NULL ? NULL : slot->muxes;
}

static void on_ready(struct io *io, unsigned events);

/* ---- what kind of connection */

/* Source address of connections, from proxy_bind. False: it is none. */
static bool set_source(struct relay *r, struct connect_options *options, uint64_t *variant)
{
    struct slice text;

    if (!template_eval(r->conf->bind, &r->x->subject, &text))
        return false;
    if (text.len == 0)
        return true;
    options->transparent = r->conf->bind_transparent;
    *variant = pool_variant(*variant, text);
    if (address_parse(text, 0, &options->source))
        return true;
    log_about(&r->x->log, LOG_LEVEL_ERROR, 0, "invalid local address \"%.*s\"", SLICE_ARG(text));
    return false;
}

/* A body that is not kept cannot be sent a second time: it goes over no connection that its peer
 * may be closing just now. */
static bool may_use_kept(const struct relay *r)
{
    bool body_goes_by = (r->flags & RELAY_STREAMS) != 0 && body_declared(r->x);

    return (r->flags & RELAY_FRESH_ONLY) == 0 && !body_goes_by;
}

/* Sessions are kept by peer and name: whoever else answers there must prove who it is anew. */
static struct tls_connect tls_wish(const struct relay *r)
{
    struct tls_connect wish = {.loop = r->x->loop,
                               .client = r->tls,
                               .name = r->tls_name.data,
                               .send_name = r->tls_send_name};

    if (r->tls_reuse)
        wish.session_key = arena_printf(relay_arena(r), "%s %.*s", peer_text(r->pick.peer),
                                        SLICE_ARG(r->tls_name));
    return wish;
}

static void on_plain(void *user, struct peer_conn *conn);

static const struct mux_ops mux_ops = {
    .pull = relay_pull, .trailers = relay_trailers, .plain = on_plain};

static struct peer_conn *open_stream(struct relay *r, struct muxes *muxes,
                                     const struct pool_target *target,
                                     const struct connect_options *options)
{
    struct tls_connect tls = r->tls == NULL ? (struct tls_connect){0} : tls_wish(r);
    struct mux_want want = {.loop = r->x->loop,
                            .pool = balance_pool(r->upstream->balance, r->x->loop),
                            .target = *target,
                            .options = options,
                            .limits = &r->upstream->keepalive,
                            .tls = r->tls == NULL ? NULL : &tls,
                            .only_h2 = r->h2 == RELAY_H2_ONLY || r->tls == NULL,
                            .avoid = (r->flags & RELAY_FRESH_ONLY) != 0 ? r->avoid : 0,
                            .arena = relay_arena(r),
                            .head_bytes_max = r->conf->buffer_size,
                            .ops = &mux_ops,
                            .user = r,
                            .on_ready = on_ready};
    struct peer_conn *conn = mux_open(muxes, &want);

    if (conn == NULL)
        return NULL;
    r->codec = &upstream_h2;
    r->avoid = mux_id(conn->stream);
    return conn;
}

/* The relay, and of its exchange what is written for every one; behind it lies the codec's part. */
static void fetch(const struct io *io)
{
    const struct peer_conn *conn = container_of(io, struct peer_conn, io);
    const char *x = conn->near;

    fetch_memory(x, EXCHANGE_HOT_BYTES);
    fetch_memory(x + sizeof(struct exchange), CODEC_HOT_BYTES);
    fetch_memory(conn->user, sizeof(struct relay));
}

static struct peer_conn *use_own(struct relay *r, struct peer_conn *conn)
{
    if (conn == NULL)
        return NULL;
    conn->user = r;
    conn->near = r->x;
    conn->io.on_ready = on_ready;
    conn->io.fetch = fetch;
    r->codec = &upstream_h1;
    return conn;
}

/* One that is kept. NULL: there is none, or it will not do. */
static struct peer_conn *take_own(struct relay *r, const struct pool_target *target)
{
    struct pool *pool = balance_pool(r->upstream->balance, r->x->loop);

    return may_use_kept(r) ? use_own(r, pool_take(pool, target)) : NULL;
}

/* A peer that chose HTTP/1.1: one that is kept, or another chance to choose. */
static struct peer_conn *open_either(struct relay *r, const struct pool_target *target,
                                     const struct connect_options *options)
{
    struct muxes *muxes = muxes_of(r->x->http);
    struct peer_conn *conn = NULL;

    errno = ENOMEM;
    if (muxes == NULL)
        return NULL;
    if (mux_is_plain(muxes, target))
        conn = take_own(r, target);
    return conn != NULL ? conn : open_stream(r, muxes, target, options);
}

/* None of those that are kept will do. */
static struct peer_conn *open_new(struct relay *r, struct pool_target *target)
{
    struct connect_options options = {.keepalive = r->conf->socket_keepalive,
                                      .rcvbuf = (int)r->conf->socket_rcvbuf,
                                      .sndbuf = (int)r->conf->socket_sndbuf};
    struct peer_conn *conn = NULL;

    if (r->conf->bind != NULL && !set_source(r, &options, &target->variant))
        return NULL;
    if (r->tls != NULL) {
        struct slice client = slice_make((const char *)&r->tls, sizeof r->tls);

        target->variant = pool_variant(pool_variant(target->variant, client), r->tls_name);
    }
    if (r->h2 != RELAY_H1)
        return open_either(r, target, &options);
    conn = take_own(r, target);
    if (conn == NULL)
        conn = use_own(r,
                       pool_open(balance_pool(r->upstream->balance, r->x->loop), target, &options));
    return conn;
}

bool relay_open_conn(struct relay *r)
{
    struct pool_target target = {.state = r->pick.peer->state,
                                 .must_live = !method_is_idempotent(r->x->request.method)};

    errno = EADDRNOTAVAIL;
    if (r->conf->bind == NULL && r->tls == NULL && r->h2 == RELAY_H1)
        r->conn = take_own(r, &target); /* all there is to know of the connection is its peer */
    if (r->conn == NULL)
        r->conn = open_new(r, &target);
    return r->conn != NULL;
}

void relay_close_conn(struct relay *r, bool reuse)
{
    struct peer_conn *conn = r->conn;

    r->conn = NULL;
    if (conn == NULL)
        return;
    if (conn->stream != NULL)
        mux_release(conn);
    else if (reuse)
        pool_put(conn, &r->upstream->keepalive);
    else
        pool_close(conn);
}

/* Did the peer's kernel acknowledge none of what we sent, or does the peer itself say so? Then
 * nobody has read it, whatever the method. Asked only after a failure. */
bool relay_nobody_read_it(const struct relay *r)
{
    int unacked = 0;

    if ((r->flags & RELAY_BEGAN_SEND) == 0)
        return true;
    if (r->conn != NULL && r->conn->stream != NULL)
        return mux_why(r->conn->stream)->unprocessed;
    if (r->conn == NULL || r->conn->state->address.any.sa_family == AF_UNIX)
        return false;
    return ioctl(r->conn->io.fd, SIOCOUTQ, &unacked) == 0 &&
           (uint64_t)unacked >= r->try->sent_bytes;
}

/* ---- getting connected */

static void wait_for_connection(struct relay *r)
{
    r->state = RELAY_CONNECTING;
    relay_await(r, r->conf->connect_timeout);
}

/* What we have run out of says nothing about the peer, and the next one could not be asked either.
 */
static bool is_our_own_want(int os_error)
{
    return os_error == EMFILE || os_error == ENFILE || os_error == ENOMEM || os_error == ENOBUFS;
}

void relay_give_up_peer(struct relay *r, int os_error)
{
    const struct failure refused = {.outcome = OUTCOME_REFUSED,
                                    .cause = NEXT_ERROR,
                                    .status = 502,
                                    .os_error = os_error,
                                    .what = "connect() failed"};

    if (!is_our_own_want(os_error)) {
        relay_lost(r, &refused);
        return;
    }
    log_about(&r->x->log, LOG_LEVEL_CRIT, os_error, "no connection can be opened");
    relay_end_try(r, 500);
    relay_refuse(r, 500);
}

static bool begin_tls(struct relay *r)
{
    struct tls_connect connect = tls_wish(r);

    connect.io = &r->conn->io;
    r->conn->tls = tls_connect(&connect);
    return r->conn->tls != NULL;
}

/* True: the request can be sent. False: it is under way, or `r` may be gone. */
static bool shake_hands(struct relay *r)
{
    struct failure failed = {.outcome = OUTCOME_REFUSED, .cause = NEXT_ERROR, .status = 502};
    char why[500];

    if (r->conn->tls == NULL && !begin_tls(r)) {
        relay_give_up_peer(r, ENOMEM);
        return false;
    }
    r->x->doing = "SSL handshaking to upstream";
    enum tls_progress progress = tls_handshake(r->conn->tls);

    if (progress == TLS_DONE)
        return true;
    if (progress == TLS_MORE)
        return false;
    snprintf(why, sizeof why, "%s", tls_why(r->conn->tls));
    failed.what = why;
    relay_lost(r, &failed);
    return false;
}

/* A connection that was idle has shaken hands before; a shared one does it by itself. */
void relay_go_on_connected(struct relay *r)
{
    bool fresh = r->tls != NULL && r->conn->tls == NULL && r->conn->stream == NULL;

    if (!r->conn->connected || fresh)
        wait_for_connection(r);
    if (r->conn->connected && (!fresh || shake_hands(r)))
        relay_ask(r);
}

static bool finish_connect(struct relay *r)
{
    int error = socket_error(r->conn->io.fd);

    if (error != 0) {
        relay_give_up_peer(r, error);
        return false;
    }
    if ((r->conn->io.ready & IO_WRITE) == 0)
        return false;
    r->conn->connected = true;
    return true;
}

/* Of a shared connection's stream: `r` may be gone afterwards. */
static void on_stream_connected(struct relay *r)
{
    const struct mux_fault *why = mux_why(r->conn->stream);

    if (why->kind == MUX_TLS)
        r->x->doing = "SSL handshaking to upstream";
    if (why->kind == MUX_CONNECT)
        relay_give_up_peer(r, why->os_error);
    else if (why->kind != MUX_FINE)
        relay_closed_early(r, NULL);
    else if (r->conn->connected)
        relay_ask(r);
}

/* The peer speaks HTTP/1.1 only. `r` may be gone afterwards. */
static void on_plain(void *user, struct peer_conn *conn)
{
    struct relay *r = user;

    assert(r->state == RELAY_CONNECTING);
    r->conn = conn;
    if (conn == NULL) {
        if (!relay_open_conn(r))
            relay_give_up_peer(r, errno);
        else
            relay_go_on_connected(r);
        return;
    }
    conn->user = r;
    conn->io.on_ready = on_ready;
    r->codec = &upstream_h1;
    relay_ask(r);
}

static void on_connecting(struct relay *r)
{
    struct peer_conn *conn = r->conn;

    if (conn->stream != NULL)
        on_stream_connected(r);
    else if ((conn->connected || finish_connect(r)) && (r->tls == NULL || shake_hands(r)))
        relay_ask(r);
}

static void on_ready(struct io *io, unsigned events)
{
    struct peer_conn *conn = container_of(io, struct peer_conn, io);
    struct relay *r = conn->user;

    assert(r->conn == conn);
    if (conn->tls != NULL)
        events = tls_on_events(conn->tls, events);
    if (r->state == RELAY_CONNECTING) {
        on_connecting(r);
    } else if (r->state == RELAY_ASKING) {
        relay_ask_more(r);
    } else if (r->state == RELAY_TUNNEL) {
        tunnel_run(r->tunnel);
    } else if (r->state == RELAY_HOLDING || r->state == RELAY_ANSWERING) {
        if ((events & IO_WRITE) != 0 && !relay_ask_on(r))
            return;
        if ((events & IO_READ) == 0)
            return;
        if (r->state == RELAY_HOLDING)
            relay_hold(r);
        else
            relay_read_body(r);
    }
}
