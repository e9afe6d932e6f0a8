/* The driver: from the client's request to a peer that answers it. Runs in: worker, loop thread. */
#include "balance/pool.h"
#include "balance/upstream.h"
#include "balance/wait.h"
#include "base/arena.h"
#include "base/buf.h"
#include "http/body.h"
#include "http/chunk.h"
#include "http/core_conf.h"
#include "http/relay/relay_internal.h"
#include "http/response.h"

#include <assert.h>
#include <errno.h>

static void on_deadline(struct deadline *deadline);

/* ---- life */

void relay_fini(struct relay *r)
{
    struct exchange *x = r->x;

    deadline_disarm(&r->deadline);
    deadline_disarm(&r->pace);
    relay_out_clear(r);
    relay_close_conn(r, false);
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
    r->out.kept_last = &r->out.kept;
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
    assert(r->pick.peer != NULL);
    deadline_disarm(&r->deadline);
    pick_report(&r->pick, outcome);
    relay_close_conn(r, reuse);
}

bool relay_may_go_on(const struct relay *r, unsigned cause)
{
    const struct relay_conf *conf = r->conf;
    uint64_t spent_ms = loop_now_ms(r->x->loop) - r->start_ms;

    if (!method_is_idempotent(r->x->request.method) && !relay_nobody_read_it(r))
        cause |= NEXT_NON_IDEMPOTENT;
    if ((conf->next_upstream & NEXT_OFF) != 0 || (conf->next_upstream & cause) != cause)
        return false;
    if (conf->next_upstream_timeout != 0 && spent_ms >= conf->next_upstream_timeout)
        return false;
    return relay_can_repeat(r) && (!r->any_limit || r->tries_left > 0);
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

/* Nobody is left, or nobody was there to begin with. */
void relay_no_peer(struct relay *r, int status, const char *prefix)
{
    r->x->upstream_text = r->upstream->name;
    log_about(&r->x->log, LOG_LEVEL_ERROR, 0, "%s%s", prefix, pick_why(&r->pick));
    if (r->pick.tries == 0) {
        r->try = tries_add(r->x, r->upstream->name, true);
        relay_end_try(r, (unsigned)status);
    }
    relay_refuse(r, status);
}

void relay_connect(struct relay *r)
{
    enum pick_result result;

    r->x->doing = "connecting to upstream";
    while ((result = pick_next(&r->pick)) == PICK_WAIT) {
        if (relay_wait(r))
            return;
    }
    if (result != PICK_PEER) {
        relay_no_peer(r, 502, "");
        return;
    }
    if (!begin_try(r)) {
        relay_refuse(r, 500);
        return;
    }
    r->flags &= ~(unsigned)(RELAY_BEGAN_SEND | RELAY_FRESH_ONLY);
    if (!relay_open_conn(r)) {
        relay_give_up_peer(r, errno);
        return;
    }
    relay_go_on_connected(r);
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
    if (r->conn == NULL || r->received != 0 || failure->outcome != OUTCOME_RESET ||
        !relay_can_repeat(r))
        return false;
    if (r->conn->stream != NULL && (r->flags & RELAY_FRESH_ONLY) != 0)
        return false; /* once: a peer that refuses every stream is no better the third time */
    if (r->conn->stream != NULL && relay_nobody_read_it(r))
        return true;
    return r->conn->reused &&
           (method_is_idempotent(r->x->request.method) || relay_nobody_read_it(r));
}

static void repeat_on_new(struct relay *r)
{
    deadline_disarm(&r->deadline);
    relay_close_conn(r, false);
    r->flags |= RELAY_FRESH_ONLY;
    r->flags &= ~(unsigned)RELAY_BEGAN_SEND;
    r->try->sent_bytes = 0;
    r->x->doing = "connecting to upstream";
    if (!relay_open_conn(r))
        relay_give_up_peer(r, errno);
    else
        relay_go_on_connected(r);
}

void relay_lost(struct relay *r, const struct failure *failure)
{
    bool go_on;

    assert(!r->x->response.begun);
    if (is_stale(r, failure)) {
        repeat_on_new(r);
        return;
    }
    go_on = relay_may_go_on(r, failure->cause) &&
            (pick_has_more(&r->pick) || pick_may_wait(&r->pick, failure->outcome));
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
    case RELAY_WAITING:
        relay_wait_over(r);
        break;
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
