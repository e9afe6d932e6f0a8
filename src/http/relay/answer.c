/* The head of an answer: what it asks us to do, and which of its fields go to the client.
 * Runs in: worker, loop thread. */
#include "balance/pool.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "http/core_conf.h"
#include "http/relay/relay_internal.h"
#include "http/response.h"
#include "http/uri.h"

#include <assert.h>

enum { HOLD_MS = 5 }; /* how long a head waits for the first byte of its body */

/* ---- fields */

static bool is_hidden(const struct relay_conf *conf, const struct header *field)
{
    if (field->id != HEADER_OTHER)
        return conf->hidden->ids[field->id] != 0;
    for (const struct name_list *name = conf->hidden->others; name != NULL; name = name->next)
        if (slice_eq_nocase(name->name, field->name))
            return true;
    return false;
}

static bool push(struct relay *r, const struct header *field)
{
    return header_list_push(&r->x->response.headers, field) != NULL;
}

static bool copy_modified(struct relay *r, const struct header *field)
{
    time_t when;

    if (!clock_parse_http_date(field->value, &when))
        return push(r, field);
    r->x->response.last_modified = when;
    return true;
}

static bool copy_rewritten(struct relay *r, const struct header *field)
{
    struct header copy = *field;
    enum rewrite rewrite = REWRITE_NONE;

    if (r->hooks->rewrite != NULL)
        rewrite = r->hooks->rewrite(r, field->id, &copy.value);
    if (rewrite == REWRITE_FAILED)
        return false;
    if (rewrite == REWRITE_DONE && field->id == HEADER_LOCATION) {
        r->x->response.location = copy.value; /* completed like a redirect of our own */
        return true;
    }
    return push(r, &copy);
}

/* Fields with a place of their own in the response. */
static bool copy_field(struct relay *r, const struct header *field)
{
    switch (field->id) {
    case HEADER_CONTENT_TYPE:
        r->x->response.content_type = field->value;
        return true;
    case HEADER_CONTENT_LENGTH:
        return true; /* what the framing says is set by set_length() */
    case HEADER_LAST_MODIFIED:
        return copy_modified(r, field);
    case HEADER_LOCATION:
    case HEADER_REFRESH:
    case HEADER_SET_COOKIE:
        return copy_rewritten(r, field);
    default:
        return push(r, field);
    }
}

/* Nearly always Connection is absent or one of two words: then the table alone knows what is
 * hop-by-hop. */
static void mark_hop_by_hop(struct header_list *fields)
{
    const struct header *connection = header_list_find(fields, HEADER_CONNECTION);

    if (connection == NULL || slice_eq_nocase(connection->value, slice_of("keep-alive")) ||
        slice_eq_nocase(connection->value, slice_of("close")))
        return;
    header_list_mark_hop_by_hop(fields);
}

static bool is_for_client(const struct relay *r, const struct header *field)
{
    if ((field->flags & (HEADER_NAME_INVALID | HEADER_HOP_BY_HOP)) != 0)
        return false;
    return (header_traits(field->id) & HEADER_HOP) == 0 && !is_hidden(r->conf, field);
}

bool relay_copy_fields(struct relay *r)
{
    uint32_t at = 0;
    const struct header *field;

    mark_hop_by_hop(r->answer.fields);
    while ((field = header_list_next(r->answer.fields, &at)) != NULL)
        if (is_for_client(r, field) && !copy_field(r, field))
            return false;
    return true;
}

/* A HEAD's answer says how long a GET's would be. */
static void set_length(struct relay *r)
{
    struct response *response = &r->x->response;
    const struct relay_answer *answer = &r->answer;

    response->content_length = -1;
    if (answer->body_kind == BODY_LENGTH || answer->has_length)
        response->content_length = (int64_t)answer->body_bytes;
}

/* ---- X-Accel-* */

static struct slice accel(const struct relay *r, enum header_id id, unsigned ignored)
{
    if ((r->conf->ignore_headers & ignored) != 0)
        return slice_make(NULL, 0);
    return header_list_value(r->answer.fields, id);
}

static void heed_accel(struct relay *r)
{
    struct exchange *x = r->x;
    struct slice buffering = accel(r, HEADER_X_ACCEL_BUFFERING, IGNORE_X_ACCEL_BUFFERING);
    struct slice charset = accel(r, HEADER_X_ACCEL_CHARSET, IGNORE_X_ACCEL_CHARSET);
    struct slice rate = accel(r, HEADER_X_ACCEL_LIMIT_RATE, IGNORE_X_ACCEL_LIMIT_RATE);
    uint64_t bytes;

    if (slice_eq_nocase(buffering, slice_of("no")))
        r->flags |= RELAY_UNBUFFERED;
    else if (slice_eq_nocase(buffering, slice_of("yes")))
        r->flags &= ~(unsigned)RELAY_UNBUFFERED;
    if (charset.len > 0)
        x->response.charset = charset;
    if (slice_eq_nocase(rate, slice_of("off")))
        rate = slice_of("0");
    if (rate.len > 0 && slice_to_u64(rate, &bytes)) {
        x->limit_rate = bytes;
        x->limit_rate_set = true;
    }
}

/* The body is of no interest: the connection can be used again if nothing of it is still to come.
 * `r` stays. */
static void dismiss_peer(struct relay *r)
{
    const struct relay_answer *answer = &r->answer;
    bool all_here = answer->body_kind == BODY_NONE
                        ? relay_unread(r) == 0
                        : answer->body_kind == BODY_LENGTH && relay_unread(r) == answer->body_bytes;
    bool reuse = answer->keep_alive && all_here && (r->flags & RELAY_SENT) != 0;

    relay_stop_asking(r);
    relay_end_try(r, answer->status);
    relay_release_peer(r, reuse, OUTCOME_OK);
}

/* What survives X-Accel-Redirect: facts about the representation that only the backend knows. */
static bool keep_for_redirect(struct relay *r)
{
    static const enum header_id kept[] = {HEADER_CONTENT_TYPE,  HEADER_CONTENT_DISPOSITION,
                                          HEADER_ACCEPT_RANGES, HEADER_SET_COOKIE,
                                          HEADER_CACHE_CONTROL, HEADER_EXPIRES};

    for (size_t i = 0; i < COUNT(kept); i++) {
        uint32_t at = 0;
        const struct header *field;

        while ((field = header_list_next_id(r->answer.fields, kept[i], &at)) != NULL)
            if (!is_hidden(r->conf, field) && !copy_field(r, field))
                return false;
    }
    return true;
}

static void become_get(struct exchange *x)
{
    if (x->request.method == METHOD_HEAD)
        return;
    x->request.method = METHOD_GET;
    x->request.method_name = slice_of("GET");
}

/* Where the backend sends the exchange to: "@name", or a path that may be escaped and have
 * arguments. */
static void redirect_inside(struct exchange *x, struct slice target)
{
    char *path = arena_bytes(x->subject.arena, target.len + 1);
    struct slice args = {0};
    size_t len = path == NULL ? 0 : uri_unescape_path(path, target, &args);
    struct slice uri = slice_make(path, len);

    if (target.len > 0 && target.data[0] == '@') {
        exchange_move_named(x, target);
    } else if (len == 0 || path[0] != '/' || uri_path_is_unsafe(uri)) {
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "unsafe URI \"%.*s\" in X-Accel-Redirect",
                  SLICE_ARG(target));
        exchange_fail_now(x, 404);
    } else {
        become_get(x);
        exchange_move(x, uri, args);
    }
}

/* True: the exchange has gone elsewhere, and `r` perhaps too. */
static bool redirected(struct relay *r)
{
    struct slice target = accel(r, HEADER_X_ACCEL_REDIRECT, IGNORE_X_ACCEL_REDIRECT);
    struct exchange *x = r->x;

    if (target.len == 0)
        return false;
    dismiss_peer(r);
    if (!keep_for_redirect(r)) {
        relay_refuse(r, 500);
        return true;
    }
    relay_fini(r);
    redirect_inside(x, target);
    return true;
}

/* ---- errors of the backend */

static const struct {
    unsigned status;
    unsigned cause;
    enum outcome outcome;
} next_statuses[] = {
    {500, NEXT_500, OUTCOME_STATUS}, {502, NEXT_502, OUTCOME_STATUS},
    {503, NEXT_503, OUTCOME_STATUS}, {504, NEXT_504, OUTCOME_STATUS},
    {403, NEXT_403, OUTCOME_NEXT},   {404, NEXT_404, OUTCOME_NEXT},
    {429, NEXT_429, OUTCOME_STATUS},
};

/* True: the next peer is asked instead; `r` may be gone. */
static bool passes_to_next(struct relay *r)
{
    struct failure failure = {.status = (int)r->answer.status};

    for (size_t i = 0; i < COUNT(next_statuses); i++) {
        if (next_statuses[i].status != r->answer.status)
            continue;
        failure.cause = next_statuses[i].cause;
        failure.outcome = next_statuses[i].outcome;
        failure.what = "upstream sent a status that is for the next peer";
        if (!relay_may_go_on(r, failure.cause) || !pick_has_more(&r->pick))
            return false;
        relay_lost(r, &failure);
        return true;
    }
    return false;
}

static bool has_error_page(const struct exchange *x, unsigned status)
{
    for (const struct error_page *page = core_of(x)->error_pages; page != NULL; page = page->next)
        if (page->status == (int)status)
            return true;
    return false;
}

/* True: error_page answers; `r` may be gone. */
static bool intercepted(struct relay *r)
{
    unsigned status = r->answer.status;
    uint32_t at = 0;
    const struct header *field;

    if (!r->conf->intercept_errors || status < 300 || !has_error_page(r->x, status))
        return false;
    while (status == 401 &&
           (field = header_list_next_id(r->answer.fields, HEADER_WWW_AUTHENTICATE, &at)) != NULL)
        if (!push(r, field))
            break;
    dismiss_peer(r);
    relay_refuse(r, (int)status);
    return true;
}

/* ---- */

bool relay_pass_interim(struct relay *r)
{
    struct exchange *x = r->x;
    struct header_list passed;
    uint32_t at = 0;
    const struct header *field;

    if (r->answer.status == 100 || x->request.version < 11)
        return true; /* our own client was told to go on by ourselves */
    if (r->answer.status == 103 && !core_passes_hints(x))
        return true;
    header_list_init(&passed, relay_arena(r));
    mark_hop_by_hop(r->answer.fields);
    while ((field = header_list_next(r->answer.fields, &at)) != NULL)
        if (is_for_client(r, field) && header_list_push(&passed, field) == NULL)
            return false;
    (void)x->codec->send_interim(x, (int)r->answer.status, &passed);
    return true;
}

static void set_rate(struct relay *r)
{
    struct slice text;
    size_t rate;

    if (r->conf->limit_rate != NULL && !template_is_zero(r->conf->limit_rate) &&
        template_eval(r->conf->limit_rate, &r->x->subject, &text) && conf_parse_bytes(text, &rate))
        r->rate = rate;
}

void relay_end_hold(struct relay *r)
{
    struct exchange *x = r->x;
    struct response *response = &x->response;

    deadline_disarm(&r->deadline);
    relay_out_forget(r);
    if (!relay_is_duplex(r))
        relay_stop_asking(r);
    set_rate(r);
    response->status = (int)r->answer.status;
    response->reason = r->answer.reason;
    response->of_peer = true;
    set_length(r);
    if (r->conf->force_ranges) {
        response->allow_ranges = true;
        response->single_range = true;
    }
    if (!relay_copy_fields(r)) {
        relay_refuse(r, 500);
        return;
    }
    r->state = RELAY_ANSWERING;
    x->doing = "reading upstream";
    if (!response_begin(x))
        return; /* `r` is gone */
    if (r->hooks->on_answer != NULL)
        r->hooks->on_answer(r);
    relay_read_body(r);
}

void relay_hold(struct relay *r)
{
    struct io_result result = relay_receive(r, SIZE_MAX);

    if (result.kind == IO_AGAIN) {
        if (r->state == RELAY_HOLDING)
            return;
        r->state = RELAY_HOLDING;
        if (!relay_is_duplex(r))
            socket_quickack(r->conn->io.fd);
        relay_await(r, HOLD_MS);
    } else if (result.kind == IO_DONE || (result.kind == IO_END && r->codec->ends_with_close(r))) {
        relay_end_hold(r);
    } else {
        relay_closed_early(r, &result);
    }
}

/* Many servers write head and body one after the other. While nothing went to the client another
 * peer can still answer, if this one dies in between; and both go out in one piece. */
static bool is_worth_holding(const struct relay *r)
{
    return (r->flags & RELAY_UNBUFFERED) == 0 && r->answer.body_kind != BODY_NONE &&
           relay_unread(r) == 0;
}

static void begin_response(struct relay *r)
{
    heed_accel(r);
    if (is_worth_holding(r))
        relay_hold(r);
    else
        relay_end_hold(r);
}

/* What is known of the answer from here on, for the log and the variables. */
static void note_answer(struct relay *r)
{
    struct tries *tries = r->x->upstream_state;

    tries->headers = r->answer.fields;
    tries->trailers = NULL;
    r->try->status = r->answer.status;
    r->try->header_ms = (int64_t)(loop_now_ms(r->x->loop) - r->try->start_ms);
    buf_unref(r->kept);
    r->kept = r->in == NULL ? NULL : buf_ref(r->in); /* the fields point into it */
}

void relay_take_answer(struct relay *r)
{
    static const struct failure uncalled = {.outcome = OUTCOME_INVALID,
                                            .cause = NEXT_INVALID_HEADER,
                                            .status = 502,
                                            .what = "upstream switched protocols unasked"};

    note_answer(r);
    if (r->answer.body_kind == BODY_TUNNEL) {
        if ((r->flags & RELAY_UPGRADE) == 0 || r->x->codec->upgrade == NULL)
            relay_lost(r, &uncalled);
        else
            relay_upgrade(r);
        return;
    }
    if (!passes_to_next(r) && !intercepted(r) && !redirected(r))
        begin_response(r);
}
