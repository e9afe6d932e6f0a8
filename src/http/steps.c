#include "http/steps.h"
#include "policy/error_log.h"

#include "http/auth_delay.h"
#include "http/body.h"
#include "http/conf.h"
#include "http/core_conf.h"
#include "http/features.h"
#include "http/http_loop.h"
#include "http/response.h"
#include "http/router.h"

#include <assert.h>

static enum verdict step_server(struct exchange *x);
static enum verdict step_phase(struct exchange *x);
static enum verdict step_location(struct exchange *x);
static enum verdict step_rewrite(struct exchange *x);
static enum verdict step_access(struct exchange *x);
static enum verdict step_content(struct exchange *x);
static enum verdict step_respond(struct exchange *x);
static enum verdict step_fail(struct exchange *x);
static enum verdict step_log(struct exchange *x);
static enum verdict step_done(struct exchange *x);

#define TO(step) (1u << STEP_##step)
/* Any phase may answer, or send the exchange to another location. */
#define ASIDE (TO(RESPOND) | TO(FAIL) | TO(SERVER_REWRITE) | TO(REWRITE) | TO(LOG))

static const struct {
    const char *doing;
    enum verdict (*run)(struct exchange *x);
    unsigned to; /* the steps it may go to */
} steps[STEP_COUNT] = {
    [STEP_SERVER] = {"choosing the server", step_server, TO(POST_READ) | ASIDE},
    [STEP_POST_READ] = {"reading client request", step_phase, TO(SERVER_REWRITE) | ASIDE},
    [STEP_SERVER_REWRITE] = {"rewriting in the server", step_phase, TO(LOCATION) | ASIDE},
    [STEP_LOCATION] = {"choosing the location", step_location, TO(REWRITE) | ASIDE},
    [STEP_REWRITE] = {"rewriting in the location", step_rewrite,
                      TO(LOCATION) | TO(PREACCESS) | ASIDE},
    [STEP_PREACCESS] = {"checking limits", step_phase, TO(ACCESS) | ASIDE},
    [STEP_ACCESS] = {"checking access", step_access, TO(PRECONTENT) | ASIDE},
    [STEP_PRECONTENT] = {"preparing the content", step_phase, TO(CONTENT) | ASIDE},
    [STEP_CONTENT] = {"making the response", step_content, ASIDE},
    [STEP_RESPOND] = {"sending response to client", step_respond, TO(LOG)},
    [STEP_FAIL] = {"sending response to client", step_fail, ASIDE},
    [STEP_LOG] = {"logging request", step_log, TO(DONE)},
    [STEP_DONE] = {"ending the exchange", step_done, 0},
};

const char *step_doing(enum step step)
{
    assert(step < STEP_COUNT);
    return steps[step].doing;
}

/* Steps that are nothing but their handlers. */
#define HANDLERS_ONLY                                                                              \
    (TO(POST_READ) | TO(SERVER_REWRITE) | TO(REWRITE) | TO(PREACCESS) | TO(ACCESS) | TO(PRECONTENT))

/* Of these, nearly all configs leave some without any: then the next one follows at once. */
static enum step skip_idle(const struct exchange *x)
{
    enum step step = x->step;

    while ((HANDLERS_ONLY >> step & 1) != 0 && x->conf->rows->phase[step].count == 0)
        step++;
    return step;
}

/* The only caller of steps. A step names the next one in x->step and returns GO_ON; or it has
 * arranged that exchange_resume() will be called, and returns WAIT; or the exchange is gone. */
void exchange_run(struct exchange *x)
{
    bool freed = false;

    assert(!x->running);
    x->running = true;
    x->freed_flag = &freed;
    for (;;) {
        enum step from = skip_idle(x);

        x->step = from;
        x->again = false;
        enum verdict verdict = steps[from].run(x);
        if (freed || verdict == ENDED)
            return;
        if (verdict == WAIT && !x->again)
            break;
        assert(x->step == from || (steps[from].to & (1u << x->step)) != 0);
    }
    x->running = false;
    x->freed_flag = NULL;
}

static void enter(struct exchange *x, enum step step)
{
    x->step = step;
    x->phase_index = 0;
}

/* Continues with what a handler said. `*over`: the phase has ended for this exchange. */
static enum verdict heed(struct exchange *x, enum phase_verdict said, bool *over)
{
    *over = true;
    switch (said) {
    case PHASE_WAIT:
        return WAIT;
    case PHASE_RESPONDS:
        if (x->step < STEP_RESPOND)
            enter(x, STEP_RESPOND);
        return GO_ON;
    case PHASE_MOVED:
        return GO_ON;
    case PHASE_PASS:
    case PHASE_ALLOW:
    case PHASE_DENY:
        break;
    }
    *over = false;
    x->phase_index++;
    return GO_ON;
}

/* Runs the handlers of the present phase from x->phase_index on. */
static enum verdict run_handlers(struct exchange *x, bool *over)
{
    struct feature_row row = x->conf->rows->phase[x->step];

    while (x->phase_index < row.count) {
        bool *freed = x->freed_flag;
        enum phase_verdict said = row.features[x->phase_index]->run(x);

        if (*freed) {
            *over = true;
            return ENDED;
        }
        enum verdict verdict = heed(x, said, over);
        if (*over)
            return verdict;
    }
    *over = false;
    return GO_ON;
}

static enum verdict step_phase(struct exchange *x)
{
    bool over;
    enum verdict verdict = run_handlers(x, &over);

    if (!over)
        enter(x, x->step + 1);
    return verdict;
}

static bool body_too_large(const struct exchange *x)
{
    size_t max = core_of(x)->client_max_body_size;

    return max != 0 && x->request.content_length > 0 && (uint64_t)x->request.content_length > max;
}

static enum verdict fail(struct exchange *x, int status)
{
    bool over;

    return heed(x, exchange_fail(x, status), &over);
}

static enum verdict step_server(struct exchange *x)
{
    if (x->server == NULL)
        router_choose_server(x);
    x->settings = x->server->settings;
    x->log.log = error_log_of(x->settings);
    if (x->subject.undecided > 0) {
        log_about(&x->log, LOG_LEVEL_ALERT, 0, "matching host \"%.*s\" gave up at a limit",
                  SLICE_ARG(x->request.host));
        return fail(x, 500);
    }
    enter(x, STEP_POST_READ);
    return GO_ON;
}

static enum verdict step_location(struct exchange *x)
{
    enum route_result result = router_choose_location(x);

    if (result == ROUTE_ADD_SLASH)
        return fail(x, 301);
    if (result == ROUTE_INTERNAL_ONLY)
        return fail(x, 404);
    if (result == ROUTE_GAVE_UP)
        return fail(x, 500);
    x->log.log = error_log_of(x->settings);
    if (body_too_large(x) && !x->body.started) {
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "client intended to send too large body: %lld bytes",
                  (long long)x->request.content_length);
        body_forsake(x);
        return fail(x, 413);
    }
    enter(x, STEP_REWRITE);
    return GO_ON;
}

static enum verdict step_rewrite(struct exchange *x)
{
    bool over;
    enum verdict verdict = run_handlers(x, &over);

    if (over)
        return verdict;
    if (!x->request.uri_changed) {
        enter(x, STEP_PREACCESS);
        return GO_ON;
    }
    x->request.uri_changed = false;
    x->flags &= ~(unsigned)X_NAMED;
    if (++x->redirects > 10) {
        log_about(&x->log, LOG_LEVEL_ERROR, 0,
                  "rewrite or internal redirection cycle while processing \"%.*s\"",
                  SLICE_ARG(x->request.uri));
        x->flags |= X_ERROR_PAGE;
        return fail(x, 500);
    }
    x->settings = x->server->settings;
    x->location = NULL;
    enter(x, STEP_LOCATION);
    return GO_ON;
}

/* `satisfy any`: one handler that allows is enough, the rest is not asked. With `auth_delay` a
 * refusal stands in deny_status too, until its time has come. */
static enum verdict step_access(struct exchange *x)
{
    struct feature_row row = x->conf->rows->phase[STEP_ACCESS];
    bool any = core_of(x)->satisfy == SATISFY_ANY;

    while (x->phase_index < row.count && (any || x->deny_status == 0)) {
        bool *freed = x->freed_flag;
        bool over;
        enum phase_verdict said = row.features[x->phase_index]->run(x);

        if (*freed)
            return ENDED;
        enum verdict verdict = heed(x, said, &over);
        if (over)
            return verdict;
        if (said == PHASE_ALLOW && any) {
            x->access_allowed = true;
            break;
        }
    }
    if (x->deny_status != 0 && !x->access_allowed) {
        if (x->deny_status == 401 && auth_delay_holds(x))
            return WAIT;
        if (x->deny_status == 403)
            log_about(&x->log, LOG_LEVEL_ERROR, 0, "access forbidden by rule");
        return fail(x, x->deny_status);
    }
    x->deny_status = 0;
    enter(x, STEP_PRECONTENT);
    return GO_ON;
}

static enum verdict step_content(struct exchange *x)
{
    const struct http_location *location = x->location;
    bool over;

    if (location != NULL && location->content.start != NULL) {
        bool *freed = x->freed_flag;

        enter(x, STEP_RESPOND);
        location->content.start(x, location->content.data);
        if (*freed)
            return ENDED;
        return x->step == STEP_RESPOND ? WAIT : GO_ON;
    }
    enum verdict verdict = run_handlers(x, &over);

    if (over)
        return verdict;
    if (x->request.uri.len > 0 && x->request.uri.data[x->request.uri.len - 1] == '/') {
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "directory index of \"%.*s\" is forbidden",
                  SLICE_ARG(x->request.uri));
        return fail(x, 403);
    }
    return fail(x, 404);
}

void exchange_refuse(struct exchange *x, int status)
{
    http_count(&x->http->counters.requests, 1);
    (void)exchange_fail(x, status);
    exchange_run(x);
}

/* The response is being made and sent by others: who resumes here only wants what it began to be
 * carried on. */
static enum verdict step_respond(struct exchange *x)
{
    (void)x;
    return WAIT;
}

static enum verdict step_fail(struct exchange *x)
{
    bool *freed = x->freed_flag;

    enter(x, STEP_RESPOND);
    error_page_answer(x, x->fail_status);
    if (*freed)
        return ENDED;
    return x->step == STEP_RESPOND ? WAIT : GO_ON;
}

void phase_log(struct exchange *x)
{
    if (x->logged)
        return;
    x->logged = true;
    if (x->settings == NULL && x->server != NULL)
        x->settings = x->server->settings;
    if (x->settings == NULL)
        return;
    struct feature_row row = x->conf->rows->log;

    for (size_t i = 0; i < row.count; i++)
        row.features[i]->on_log(x);
}

static enum verdict step_log(struct exchange *x)
{
    phase_log(x);
    enter(x, STEP_DONE);
    return GO_ON;
}

static enum verdict step_done(struct exchange *x)
{
    x->codec->done(x); /* frees `x` */
    return ENDED;
}
