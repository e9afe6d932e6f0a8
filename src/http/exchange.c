#include "http/exchange.h"

#include "base/arena.h"
#include "config/snapshot.h"
#include "event/address.h"
#include "event/loop.h"
#include "http/body.h"
#include "http/chunk.h"
#include "http/conf.h"
#include "http/core_conf.h"
#include "http/features.h"
#include "http/http_loop.h"
#include "http/response.h"
#include "http/steps.h"

#include <assert.h>
#include <stdalign.h>
#include <stdio.h>
#include <unistd.h>

/* An exchange lives in the first block of its arena: sized so that an ordinary proxied request
 * needs no second one. */
enum {
    EXCHANGE_ARENA_BYTES = 13312 + 32, /* an odd number of cache lines from one to the next */
    EXCHANGES_KEPT_MAX = 1024, /* per loop: what a burst left behind beyond that goes back */
    REDIRECTS_MAX = 10,        /* nginx's bound on internal redirects */
};

/* What free exchanges are chained by: they are empty but for their arena. */
struct spare {
    struct arena *arena;
    struct exchange *next;
};

static size_t describe(const struct log_subject *subject, char *out, size_t out_bytes);

static struct arena *spare_arena(struct http_loop *http)
{
    struct spare *spare = (struct spare *)(void *)http->free_exchanges;

    if (spare == NULL)
        return arena_new(EXCHANGE_ARENA_BYTES);
    struct arena *arena = spare->arena;

    http->free_exchanges = spare->next;
    http->free_exchange_count--;
    arena_reset(arena);
    return arena;
}

struct exchange *exchange_new(struct http_loop *http, struct snapshot_user *user)
{
    struct arena *arena = spare_arena(http);

    if (arena == NULL)
        return NULL;
    struct exchange *x = arena_alloc(arena, sizeof *x);

    if (http->free_exchanges != NULL) { /* the next request's, while this one is read */
        fetch_memory(http->free_exchanges, EXCHANGE_HOT_BYTES);
        fetch_memory(http->free_exchanges + 1, CODEC_HOT_BYTES);
    }
    if (x == NULL) {
        arena_drop(arena);
        return NULL;
    }
    memset(x, 0, offsetof(struct exchange, response.headers));
    x->subject.arena = arena;
    x->loop = http->loop;
    x->http = http;
    x->user = snapshot_user_ref(user);
    x->conf = x->user->conf;
    x->subject.variables = x->user->snapshot->http_variables;
    x->subject.log = &x->log;
    x->log.describe = describe;
    x->client_fd = -1;
    x->start_ms = loop_now_ms(x->loop);
    x->start_wall_ms = loop_clock(x->loop)->wall_ms;
    x->request.content_length = -1;
    x->body.last = &x->body.first;
    x->body.temp_fd = -1;
    x->response.last = &x->response.first;
    x->response.content_length = -1;
    x->response.last_modified = -1;
    x->response.chunked_allowed = true;
    header_list_init(&x->response.headers, arena);
    header_list_init(&x->response.trailers, arena);
    return x;
}

void exchange_free(struct exchange *x)
{
    struct http_loop *http = x->http;
    struct arena *arena = x->subject.arena;
    struct snapshot_user *user = x->user;

    if (x->freed_flag != NULL)
        *x->freed_flag = true;
    chunk_release_all(x, x->body.first);
    chunk_release_all(x, x->response.first);
    if (x->body.temp_fd >= 0)
        close(x->body.temp_fd);
    arena_reset(arena); /* runs the drops: files, buffers, peers */
    snapshot_user_unref(user);
    if (http->free_exchange_count >= EXCHANGES_KEPT_MAX) {
        arena_drop(arena);
        return;
    }
    struct spare *spare = arena_alloc(arena, sizeof *spare);

    if (spare == NULL) {
        arena_drop(arena);
        return;
    }
    *spare = (struct spare){.arena = arena, .next = http->free_exchanges};
    http->free_exchanges = (struct exchange *)(void *)spare;
    http->free_exchange_count++;
}

void exchange_free_spares(struct http_loop *http)
{
    while (http->free_exchanges != NULL)
        arena_drop(spare_arena(http));
}

void exchange_start(struct exchange *x)
{
    http_count(&x->http->counters.requests, 1);
    x->step = STEP_SERVER;
    exchange_run(x);
}

static void enter_server_rewrite(struct exchange *x)
{
    x->step = STEP_SERVER_REWRITE;
    x->phase_index = 0;
    x->location = NULL;
    x->settings = x->server->settings;
    x->access_allowed = false;
    x->deny_status = 0;
    x->handler_data = NULL;
    x->doing = NULL;
    subject_flush_volatile(&x->subject);
}

static bool may_redirect(struct exchange *x)
{
    assert(!x->response.begun);
    if (++x->redirects <= REDIRECTS_MAX)
        return true;
    log_about(&x->log, LOG_LEVEL_ERROR, 0, "rewrite or internal redirection cycle");
    return false;
}

enum phase_verdict exchange_redirect(struct exchange *x, struct slice uri, struct slice args)
{
    if (!may_redirect(x)) {
        x->flags |= X_ERROR_PAGE;
        return exchange_fail(x, 500);
    }
    x->request.uri = uri;
    x->request.args = args;
    x->request.uri_plain = false;
    x->request.uri_moved = true;
    x->request.uri_detached = false;
    x->request.uri_changed = false;
    x->flags |= X_INTERNAL;
    x->flags &= ~(unsigned)X_NAMED;
    enter_server_rewrite(x);
    return PHASE_MOVED;
}

enum phase_verdict exchange_redirect_named(struct exchange *x, struct slice name)
{
    const struct map *named = x->server->named;
    const struct http_location *location = named == NULL ? NULL : map_get(named, name);

    if (location == NULL || !may_redirect(x)) {
        if (location == NULL)
            log_about(&x->log, LOG_LEVEL_ERROR, 0, "there is no location \"%.*s\" in this server",
                      SLICE_ARG(name));
        x->flags |= X_ERROR_PAGE;
        return exchange_fail(x, 500);
    }
    enter_server_rewrite(x);
    x->flags |= X_INTERNAL | X_NAMED;
    x->request.uri_changed = false;
    x->location = location;
    x->settings = location->settings;
    x->step = STEP_REWRITE;
    return PHASE_MOVED;
}

enum phase_verdict exchange_deny(struct exchange *x, int status)
{
    bool late = status == 401 && core_of(x)->auth_delay > 0;

    if (core_of(x)->satisfy == SATISFY_ANY || late) {
        if (x->deny_status == 0 || status == 401)
            x->deny_status = status;
        return PHASE_DENY;
    }
    return exchange_fail(x, status);
}

void exchange_resume(struct exchange *x)
{
    if (x->running) {
        x->again = true;
        return;
    }
    exchange_run(x);
}

void exchange_continue(struct exchange *x)
{
    exchange_resume(x);
}

void exchange_fail_now(struct exchange *x, int status)
{
    (void)exchange_fail(x, status);
    exchange_resume(x);
}

void exchange_move(struct exchange *x, struct slice uri, struct slice args)
{
    (void)exchange_redirect(x, uri, args);
    exchange_resume(x);
}

void exchange_move_named(struct exchange *x, struct slice name)
{
    (void)exchange_redirect_named(x, name);
    exchange_resume(x);
}

void exchange_sent(struct exchange *x)
{
    assert(x->response.begun);
    x->step = STEP_LOG;
    exchange_resume(x);
}

/* The handler's work ends before the response did. */
static void cancel_handler(struct exchange *x)
{
    void (*cancel)(struct exchange *) = x->on_abort;

    x->on_abort = NULL;
    if (cancel != NULL)
        cancel(x);
}

void exchange_abort(struct exchange *x, bool reset)
{
    const struct codec *codec = x->codec;

    cancel_handler(x);
    x->step = STEP_LOG;
    phase_log(x);
    codec->abort(x, reset);
}

void exchange_client_gone(struct exchange *x)
{
    x->flags |= X_CLIENT_GONE | X_CLOSE_AFTER;
    if (!x->response.begun) {
        x->response.status = 499;
        log_about(&x->log, LOG_LEVEL_INFO, 0, "client closed the connection");
    }
    exchange_abort(x, false);
}

/* Few features keep something for an exchange: a short list is found sooner than a table is zeroed.
 */
struct feature_slot {
    struct feature_slot *next;
    const struct feature *feature;
    alignas(max_align_t) char data[];
};

void *exchange_slot_used(const struct exchange *x, const struct feature *feature)
{
    for (struct feature_slot *slot = x->slots; slot != NULL; slot = slot->next) {
        if (slot->feature == feature)
            return slot->data;
    }
    return NULL;
}

void *exchange_slot(struct exchange *x, const struct feature *feature, size_t bytes)
{
    void *used = exchange_slot_used(x, feature);

    if (used != NULL)
        return used;
    struct feature_slot *slot = arena_zalloc(x->subject.arena, sizeof *slot + bytes);

    if (slot == NULL)
        return NULL;
    slot->next = x->slots;
    slot->feature = feature;
    x->slots = slot;
    return slot->data;
}

const struct address *exchange_local_address(struct exchange *x)
{
    if (x->local != NULL || x->client_fd < 0)
        return x->local;
    struct address *local = arena_zalloc(x->subject.arena, sizeof *local);

    if (local == NULL)
        return NULL;
    local->len = sizeof *local - offsetof(struct address, any);
    if (getsockname(x->client_fd, &local->any, &local->len) != 0)
        return NULL;
    x->local = local;
    return local;
}

/* A piece of a log line; nothing is written when there is no room. */
struct line {
    char *at;
    size_t room;
};

static void line_add(struct line *line, const char *label, struct slice text, const char *tail)
{
    int n = snprintf(line->at, line->room, "%s%.*s%s", label, SLICE_ARG(text), tail);

    if (n < 0 || (size_t)n >= line->room)
        n = line->room == 0 ? 0 : (int)line->room - 1;
    line->at += n;
    line->room -= (size_t)n;
}

/* " while doing, client: 1.2.3.4, server: x, request: "GET / HTTP/1.1", host: "h"" */
static size_t describe(const struct log_subject *subject, char *out, size_t out_bytes)
{
    struct exchange *x = container_of(subject, struct exchange, log);
    struct line line = {.at = out, .room = out_bytes};
    char client[ADDRESS_TEXT_BYTES];

    line_add(&line, " while ", slice_of(x->doing != NULL ? x->doing : step_doing(x->step)), "");
    if (x->subject.client != NULL) {
        size_t n = address_host_text(x->subject.client, client);

        line_add(&line, ", client: ", slice_make(client, n), "");
    }
    if (x->server != NULL)
        line_add(&line, ", server: ", x->server->name, "");
    if (x->request.line.len > 0)
        line_add(&line, ", request: \"", slice_head(x->request.line, 1024), "\"");
    if (x->upstream_text.len > 0)
        line_add(&line, ", upstream: \"", slice_head(x->upstream_text, 256), "\"");
    struct slice host = exchange_header(x, HEADER_HOST);

    if (host.len > 0)
        line_add(&line, ", host: \"", slice_head(host, 256), "\"");
    struct slice referer = exchange_header(x, HEADER_REFERER);

    if (referer.len > 0)
        line_add(&line, ", referrer: \"", slice_head(referer, 256), "\"");
    return out_bytes - line.room;
}
