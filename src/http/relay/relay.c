/* The driver: from the client's request to a peer that answers it. Runs in: worker, loop thread. */
#include "balance/balance.h"
#include "balance/pool.h"
#include "balance/upstream.h"
#include "base/arena.h"
#include "base/buf.h"
#include "http/body.h"
#include "http/chunk.h"
#include "http/core_conf.h"
#include "http/relay/relay_internal.h"
#include "http/response.h"
#include "http/tunnel.h"
#include "tls/client.h"
#include "tls/conn.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void on_ready(struct io *io, unsigned events);
static void on_deadline(struct deadline *deadline);

/* ---- life */

void relay_fini(struct relay *r)
{
    struct exchange *x = r->x;

    deadline_disarm(&r->deadline);
    deadline_disarm(&r->pace);
    relay_out_clear(r);
    if (r->conn != NULL) {
        pool_close(r->conn);
        r->conn = NULL;
    }
    if ((r->flags & RELAY_PICKING) != 0) {
        r->flags &= ~(unsigned)RELAY_PICKING;
        pick_end(&r->pick);
    }
    if (r->try != NULL)
        relay_end_try(r, r->try->status);
    buf_unref(r->in);
    r->in = NULL;
    if (x->handler_data == r) {
        relay_leave_stream(r);
        x->on_abort = NULL;
        x->handler_data = NULL;
        x->doing = NULL;
        x->upstream_text = slice_make(NULL, 0);
    }
    r->state = RELAY_OVER;
}

/* The exchange's memory goes: nothing can be looked at in `x` but its arena. */
static void drop(void *data)
{
    struct relay *r = data;

    if (r->gone != NULL)
        *r->gone = true;
    r->gone = NULL;
    relay_fini(r);
    buf_unref(r->kept);
    buf_unref(r->head_buf);
    relay_spool_fini(r);
}

static void on_abort(struct exchange *x)
{
    struct relay *r = x->handler_data;

    if (r->hooks->on_end != NULL)
        r->hooks->on_end(r, false);
    relay_fini(r);
}

static void on_pace(struct deadline *deadline)
{
    struct relay *r = container_of(deadline, struct relay, pace);

    if (r->state == RELAY_ANSWERING)
        relay_read_body(r);
}

struct relay *relay_new(struct exchange *x, const struct relay_start *start)
{
    struct relay *r = arena_zalloc(x->subject.arena, sizeof *r);
    void *state = arena_alloc(x->subject.arena, start->codec->state_bytes);

    if (r == NULL || state == NULL || !arena_on_drop(x->subject.arena, drop, r)) {
        exchange_fail_now(x, 500);
        return NULL;
    }
    r->x = x;
    r->conf = start->conf;
    r->codec = start->codec;
    r->hooks = start->hooks;
    r->codec_state = state;
    r->feature_state = start->feature_state;
    r->deadline.on_expire = on_deadline;
    r->pace.on_expire = on_pace;
    r->out.last = &r->out.first;
    r->body_length = -1;
    r->spool.fd = -1;
    r->start_ms = loop_now_ms(x->loop);
    r->tries_left = r->conf->next_upstream_tries;
    r->any_limit = r->tries_left > 0;
    if (!r->conf->buffering)
        r->flags |= RELAY_UNBUFFERED;
    x->upstream_feature = start->feature;
    if (r->conf->ignore_client_abort)
        x->flags |= X_IGNORES_ABORT;
    x->handler_data = r;
    x->on_abort = on_abort;
    return r;
}

void relay_refuse(struct relay *r, int status)
{
    struct exchange *x = r->x;

    assert(!x->response.begun);
    relay_fini(r);
    exchange_fail_now(x, status);
}

struct buf *relay_head_room(struct relay *r, size_t bytes)
{
    buf_unref(r->head_buf);
    r->head_buf = buf_get_sized(loop_bufs(r->x->loop), bytes);
    return r->head_buf;
}

void relay_await(struct relay *r, uint64_t timeout_ms)
{
    deadline_arm(r->x->loop, &r->deadline, timeout_ms);
}

/* ---- the request's body decides when and how we begin */

static void start_picking(struct relay *r)
{
    if (!r->hooks->make_head(r)) {
        relay_refuse(r, 500);
        return;
    }
    r->state = RELAY_IDLE;
    r->flags |= RELAY_PICKING;
    pick_begin(&r->pick, r->upstream, &r->x->subject, r->x->loop);
    relay_connect(r);
}

static void on_gathered(struct exchange *x)
{
    struct relay *r = x->handler_data;
    uint64_t total;

    chunk_release_all(x, body_chunks(x, &total));
    r->body_length = r->conf->pass_request_body ? (int64_t)total : -1;
    start_picking(r);
}

/* The client's body was taken by somebody who did not keep it: it cannot be sent a second time. */
static bool body_was_consumed(const struct exchange *x)
{
    return x->body.started && x->body_gather == NULL;
}

void relay_begin(struct relay *r)
{
    struct exchange *x = r->x;
    bool passed = r->conf->pass_request_body;
    /* a backend that gets no body may be told the name of the file that has it */
    bool filed = core_of(x)->client_body_in_file_only != BODY_FILE_OFF;
    bool wanted = (passed || filed) && r->own_body.data == NULL;

    if (!wanted || body_was_consumed(x)) {
        r->body_length = r->own_body.data == NULL ? -1 : (int64_t)r->own_body.len;
        start_picking(r);
    } else if (x->body_gather == NULL && !body_expected(x)) {
        r->body_length = x->request.content_length;
        start_picking(r);
    } else if (r->conf->request_buffering || x->body_gather != NULL || !passed ||
               (r->needs_length && x->request.content_length < 0)) {
        r->state = RELAY_GATHERING;
        x->doing = "reading client request body";
        body_read_all(x, on_gathered);
    } else {
        r->flags |= RELAY_STREAMS;
        r->body_length = x->request.content_length;
        if (r->body_length < 0)
            r->flags |= RELAY_FRAMES;
        start_picking(r);
    }
}

/* ---- one peer after the other */

void relay_end_try(struct relay *r, unsigned status)
{
    struct relay_try *try = r->try;

    if (try == NULL)
        return;
    try->status = status;
    try->response_ms = (int64_t)(loop_now_ms(r->x->loop) - try->start_ms);
    if (r->conn != NULL)
        peer_state_count_bytes(r->conn->state, try->sent_bytes, try->received_bytes);
    r->try = NULL;
}

void relay_release_peer(struct relay *r, bool reuse, enum outcome outcome)
{
    struct peer_conn *conn = r->conn;

    assert(r->pick.peer != NULL);
    deadline_disarm(&r->deadline);
    r->conn = NULL;
    pick_report(&r->pick, outcome);
    if (reuse)
        pool_put(conn, &r->upstream->keepalive);
    else
        pool_close(conn);
}

/* Can the request still be sent whole? */
static bool can_repeat(const struct relay *r)
{
    return (r->flags & RELAY_STREAMS) == 0 || r->body_sent == 0;
}

/* Did the peer's kernel acknowledge none of what we sent? Then nobody has read it, whatever the
 * method. Asked only after a failure. */
static bool nobody_read_it(const struct relay *r)
{
    int unacked = 0;

    if ((r->flags & RELAY_BEGAN_SEND) == 0)
        return true;
    if (r->conn == NULL || r->conn->state->address.any.sa_family == AF_UNIX)
        return false;
    return ioctl(r->conn->io.fd, SIOCOUTQ, &unacked) == 0 &&
           (uint64_t)unacked >= r->try->sent_bytes;
}

bool relay_may_go_on(const struct relay *r, unsigned cause)
{
    const struct relay_conf *conf = r->conf;
    uint64_t spent_ms = loop_now_ms(r->x->loop) - r->start_ms;

    if (!method_is_idempotent(r->x->request.method) && !nobody_read_it(r))
        cause |= NEXT_NON_IDEMPOTENT;
    if ((conf->next_upstream & NEXT_OFF) != 0 || (conf->next_upstream & cause) != cause)
        return false;
    if (conf->next_upstream_timeout != 0 && spent_ms >= conf->next_upstream_timeout)
        return false;
    return can_repeat(r) && (!r->any_limit || r->tries_left > 0);
}

static bool begin_try(struct relay *r)
{
    struct slice text = slice_of(peer_text(r->pick.peer));

    r->x->upstream_text = arena_copy(relay_arena(r), text);
    r->try = tries_add(r->x, r->x->upstream_text, r->pick.tries == 1);
    r->try_start_us = clock_monotonic_us();
    if (r->any_limit)
        r->tries_left--;
    return r->try != NULL;
}

/* Source address of connections, from proxy_bind. False: it is none. */
static bool set_source(struct relay *r, struct connect_options *options, uint64_t *variant)
{
    struct slice text;

    if (r->conf->bind == NULL)
        return true;
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

static bool open_conn(struct relay *r)
{
    struct pool *pool = balance_pool(r->upstream->balance, r->x->loop);
    struct connect_options options = {.keepalive = r->conf->socket_keepalive};
    struct pool_target target = {.state = r->pick.peer->state,
                                 .must_live = !method_is_idempotent(r->x->request.method)};

    errno = EADDRNOTAVAIL;
    if (!set_source(r, &options, &target.variant))
        return false;
    if (r->tls != NULL) {
        struct slice client = slice_make((const char *)&r->tls, sizeof r->tls);

        target.variant = pool_variant(pool_variant(target.variant, client), r->tls_name);
    }
    if (may_use_kept(r))
        r->conn = pool_take(pool, &target);
    if (r->conn == NULL)
        r->conn = pool_open(pool, &target, &options);
    if (r->conn == NULL)
        return false;
    r->conn->user = r;
    r->conn->io.on_ready = on_ready;
    return true;
}

/* Nobody is left, or nobody was there to begin with. */
static void no_peer(struct relay *r, enum pick_result result)
{
    r->x->upstream_text = r->upstream->name;
    log_about(&r->x->log, LOG_LEVEL_ERROR, 0, "%s", pick_why(&r->pick, result));
    if (r->pick.tries == 0) {
        r->try = tries_add(r->x, r->upstream->name, true);
        relay_end_try(r, 502);
    }
    relay_refuse(r, 502);
}

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

/* False: `r` may be gone, or a connection is under way. */
static bool give_up_peer(struct relay *r, int os_error)
{
    const struct failure refused = {.outcome = OUTCOME_REFUSED,
                                    .cause = NEXT_ERROR,
                                    .status = 502,
                                    .os_error = os_error,
                                    .what = "connect() failed"};

    if (is_our_own_want(os_error)) {
        log_about(&r->x->log, LOG_LEVEL_CRIT, os_error, "no connection can be opened");
        relay_end_try(r, 500);
        relay_refuse(r, 500);
        return false;
    }
    relay_lost(r, &refused);
    return false;
}

/* Sessions are kept by peer and name: whoever else answers there must prove who it is anew. */
static bool begin_tls(struct relay *r)
{
    struct slice key = {0};
    struct tls_connect connect = {.loop = r->x->loop,
                                  .io = &r->conn->io,
                                  .client = r->tls,
                                  .name = r->tls_name.data,
                                  .send_name = r->tls_send_name};

    if (r->tls_reuse)
        key = arena_printf(relay_arena(r), "%s %.*s", peer_text(r->pick.peer),
                           SLICE_ARG(r->tls_name));
    connect.session_key = key;
    r->conn->tls = tls_connect(&connect);
    return r->conn->tls != NULL;
}

/* True: the request can be sent. False: it is under way, or `r` may be gone. */
static bool shake_hands(struct relay *r)
{
    struct failure failed = {.outcome = OUTCOME_REFUSED, .cause = NEXT_ERROR, .status = 502};
    char why[500];

    if (r->conn->tls == NULL && !begin_tls(r)) {
        give_up_peer(r, ENOMEM);
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

/* A connection that was idle has shaken hands before. */
static void go_on_connected(struct relay *r)
{
    bool fresh = r->tls != NULL && r->conn->tls == NULL;

    if (!r->conn->connected || fresh)
        wait_for_connection(r);
    if (r->conn->connected && (!fresh || shake_hands(r)))
        relay_ask(r);
}

void relay_connect(struct relay *r)
{
    enum pick_result result;

    r->x->doing = "connecting to upstream";
    result = pick_next(&r->pick);
    if (result != PICK_PEER) {
        no_peer(r, result);
        return;
    }
    if (!begin_try(r)) {
        relay_refuse(r, 500);
        return;
    }
    r->flags &= ~(unsigned)(RELAY_BEGAN_SEND | RELAY_FRESH_ONLY);
    if (!open_conn(r)) {
        give_up_peer(r, errno);
        return;
    }
    go_on_connected(r);
}

/* ---- failures */

static void log_failure(const struct relay *r, const struct failure *failure, bool go_on)
{
    log_about(&r->x->log, LOG_LEVEL_ERROR, failure->os_error, "%s%s",
              go_on ? "trying the next peer: " : "", failure->what);
}

/* A connection that was idle and turns out to be closed says nothing about the peer: the request is
 * sent again over a new one, if nobody can have acted on it. */
static bool is_stale(const struct relay *r, const struct failure *failure)
{
    return r->conn != NULL && r->conn->reused && r->received == 0 &&
           failure->outcome == OUTCOME_RESET && can_repeat(r) &&
           (method_is_idempotent(r->x->request.method) || nobody_read_it(r));
}

static void repeat_on_new(struct relay *r)
{
    deadline_disarm(&r->deadline);
    pool_close(r->conn);
    r->conn = NULL;
    r->flags |= RELAY_FRESH_ONLY;
    r->flags &= ~(unsigned)RELAY_BEGAN_SEND;
    r->try->sent_bytes = 0;
    r->x->doing = "connecting to upstream";
    if (!open_conn(r))
        give_up_peer(r, errno);
    else
        go_on_connected(r);
}

void relay_lost(struct relay *r, const struct failure *failure)
{
    bool go_on;

    assert(!r->x->response.begun);
    if (is_stale(r, failure)) {
        repeat_on_new(r);
        return;
    }
    go_on = relay_may_go_on(r, failure->cause) && pick_has_more(&r->pick);
    log_failure(r, failure, go_on);
    relay_end_try(r, (unsigned)failure->status);
    relay_release_peer(r, false, failure->outcome);
    buf_unref(r->in);
    r->in = NULL;
    if (go_on)
        relay_connect(r);
    else
        relay_refuse(r, failure->status);
}

void relay_break_off(struct relay *r, const char *why, int os_error)
{
    struct exchange *x = r->x;
    bool unframed = x->response.content_length < 0 && x->request.version < 11;

    log_about(&x->log, LOG_LEVEL_ERROR, os_error, "closing the client's connection: %s", why);
    if (r->hooks->on_end != NULL)
        r->hooks->on_end(r, false);
    if (r->try != NULL)
        relay_end_try(r, r->answer.status);
    relay_fini(r);
    if (relay_flush(r))
        exchange_abort(x, unframed);
}

/* ---- what the loop says */

static bool finish_connect(struct relay *r)
{
    int error = socket_error(r->conn->io.fd);

    if (error != 0) {
        give_up_peer(r, error);
        return false;
    }
    if ((r->conn->io.ready & IO_WRITE) == 0)
        return false;
    r->conn->connected = true;
    return true;
}

static void on_ready(struct io *io, unsigned events)
{
    struct peer_conn *conn = container_of(io, struct peer_conn, io);
    struct relay *r = conn->user;

    assert(r->conn == conn);
    if (conn->tls != NULL)
        events = tls_on_events(conn->tls, events);
    if (r->state == RELAY_CONNECTING) {
        if ((conn->connected || finish_connect(r)) && (r->tls == NULL || shake_hands(r)))
            relay_ask(r);
    } else if (r->state == RELAY_ASKING) {
        relay_ask_more(r);
    } else if (r->state == RELAY_HOLDING) {
        if ((events & IO_READ) != 0)
            relay_hold(r);
    } else if (r->state == RELAY_TUNNEL) {
        tunnel_run(r->tunnel);
    } else if (r->state == RELAY_ANSWERING && (events & IO_READ) != 0) {
        relay_read_body(r);
    }
}

static const struct failure connect_timeout = {.outcome = OUTCOME_CONNECT_TIMEOUT,
                                               .cause = NEXT_TIMEOUT,
                                               .status = 504,
                                               .os_error = ETIMEDOUT,
                                               .what = "upstream timed out"};
static const struct failure answer_timeout = {.outcome = OUTCOME_TIMEOUT,
                                              .cause = NEXT_TIMEOUT,
                                              .status = 504,
                                              .os_error = ETIMEDOUT,
                                              .what = "upstream timed out"};

static void on_deadline(struct deadline *deadline)
{
    struct relay *r = container_of(deadline, struct relay, deadline);

    switch (r->state) {
    case RELAY_CONNECTING:
        relay_lost(r, &connect_timeout);
        break;
    case RELAY_ASKING:
        relay_lost(r, &answer_timeout);
        break;
    case RELAY_HOLDING:
        relay_end_hold(r);
        break;
    case RELAY_ANSWERING:
        relay_break_off(r, "upstream timed out", ETIMEDOUT);
        break;
    default:
        break;
    }
}
