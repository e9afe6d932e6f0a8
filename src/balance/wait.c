/* Requests that wait for an instance of an app. Runs in: worker, loop thread of the pick; waking:
 * who changes the sources. */
#include "balance/wait.h"

#include "balance/balance_internal.h"
#include "balance/nudge_internal.h"
#include "balance/sources_internal.h"
#include "balance/wait_internal.h"
#include "base/arena.h"
#include "config/variable.h"
#include "event/loop.h"

#include <stdlib.h>

enum {
    /* An instance has closed its connection and is still said to be ready: if it has died, we hear
     * of it very soon. */
    NEWS_MS = 1000,
};

struct waiter {
    struct list link;        /* the sources'; their lock */
    struct sources *sources; /* NULL: they are gone (loop thread) */
    struct roster_app *app;  /* counted there as waiting */
    struct nudge *nudge;     /* owned */
};

/* ---- what there is to wait for */

/* One that has been told to leave may be listed for a moment more. */
static bool any_ready(const struct source *source)
{
    for (size_t i = 0; i < source->instance_count; i++) {
        if (atomic_load_explicit(&source->instances[i]->ready, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Is the app's part in this server's addresses still open? */
static bool may_come(const struct pick *pick, const struct source *source)
{
    if (source->app.app == NULL || source->addresses != NULL)
        return false;
    switch (roster_app_status(source->app.app)) {
    case APP_IDLE:
    case APP_STARTING:
        return true;
    case APP_ONLINE:
        return !any_ready(source) || pick->lost;
    case APP_UNKNOWN: /* the config that declares it is on its way to the runner */
        return source->server->kind == SERVER_APP_DECLARED;
    case APP_GONE:
    case APP_FAILED:
        break;
    }
    return false;
}

/* The sources' lock is held. */
static const struct source *hope(const struct pick *pick)
{
    const struct sources *sources = pick->upstream->sources;

    for (unsigned i = 0; i < sources->count; i++) {
        if (may_come(pick, &sources->list[i]))
            return &sources->list[i];
    }
    return NULL;
}

bool pick_hopes(const struct pick *pick)
{
    struct sources *sources = pick->upstream->sources;
    bool any;

    if (sources == NULL || !pick->upstream->has_apps)
        return false;
    pthread_mutex_lock(&sources->lock);
    any = hope(pick) != NULL;
    pthread_mutex_unlock(&sources->lock);
    return any;
}

bool pick_may_wait(const struct pick *pick, enum outcome outcome)
{
    struct pick asked = *pick;

    if (pick->peer->instance == NULL || (outcome != OUTCOME_REFUSED && outcome != OUTCOME_RESET))
        return false;
    asked.lost = true;
    return pick_hopes(&asked);
}

const char *pick_app_why(const struct pick *pick)
{
    const struct upstream *upstream = pick->upstream;
    char reason[256];
    struct slice text;

    for (const struct server *it = upstream->servers; it != NULL; it = it->next) {
        const struct source *source = source_of(upstream, it);
        enum app_status status;

        if (source == NULL || source->app.app == NULL || pick->subject == NULL)
            continue;
        status = roster_status(upstream->balance->roster, roster_app_name(source->app.app), reason,
                               sizeof reason);
        if (it->kind == SERVER_APP_MAYBE && status == APP_UNKNOWN)
            continue;
        text = arena_printf(pick->subject->arena, "app \"%.*s\" is %s%s%s",
                            SLICE_ARG(roster_app_name(source->app.app)), app_status_text(status),
                            reason[0] == '\0' ? "" : ": ", reason);
        return text.data;
    }
    return NULL;
}

/* ---- waiting */

static bool enqueue(struct pick *pick, const struct waiting *waiting, struct roster_app *app)
{
    struct waiter *waiter = calloc(1, sizeof(*waiter));

    if (waiter == NULL)
        return false;
    waiter->nudge = nudge_new(pick->loop, waiting->on_change, waiting->data);
    if (waiter->nudge == NULL) {
        free(waiter);
        return false;
    }
    waiter->sources = pick->upstream->sources;
    waiter->app = app;
    list_push_back(&waiter->sources->waiters, &waiter->link);
    pick->waiter = waiter;
    return true;
}

/* The sources' lock is held. */
static enum wait_result begin(struct pick *pick, const struct waiting *waiting, bool *briefly)
{
    const struct source *source = hope(pick);
    struct roster_app *app = source == NULL ? NULL : source->app.app;

    if (app == NULL || atomic_load_explicit(&pick->upstream->sources->changes,
                                            memory_order_relaxed) != pick->changes)
        return WAIT_NOT;
    if (!roster_wait_begin(app, waiting->limit))
        return WAIT_FULL;
    *briefly = roster_app_status(app) == APP_ONLINE && any_ready(source);
    if (enqueue(pick, waiting, app))
        return WAIT_BEGUN;
    roster_wait_end(app);
    return WAIT_NO_MEMORY;
}

enum wait_result pick_wait(struct pick *pick, const struct waiting *waiting, uint64_t *rest_ms)
{
    struct sources *sources = pick->upstream->sources;
    uint64_t now_us = clock_monotonic_us();
    uint64_t spent_ms;
    enum wait_result result;
    bool briefly = false;

    assert(pick->waiter == NULL);
    if (pick->wait_began_us == 0)
        pick->wait_began_us = now_us;
    spent_ms = (now_us - pick->wait_began_us) / 1000;
    if (spent_ms >= waiting->wait_ms)
        return WAIT_OVER;
    pthread_mutex_lock(&sources->lock);
    result = begin(pick, waiting, &briefly);
    pthread_mutex_unlock(&sources->lock);
    pick->wait_us = now_us;
    *rest_ms = waiting->wait_ms - spent_ms;
    if (briefly && *rest_ms > NEWS_MS)
        *rest_ms = NEWS_MS;
    return result;
}

void pick_wait_end(struct pick *pick)
{
    struct waiter *waiter = pick->waiter;

    if (waiter == NULL)
        return;
    pick->waiter = NULL;
    pick->waited_us += clock_monotonic_us() - pick->wait_us;
    if (waiter->sources != NULL) {
        pthread_mutex_lock(&waiter->sources->lock);
        if (list_linked(&waiter->link))
            list_remove(&waiter->link);
        pthread_mutex_unlock(&waiter->sources->lock);
    }
    roster_wait_end(waiter->app);
    nudge_free(waiter->nudge);
    free(waiter);
}

void sources_wake(struct sources *sources)
{
    struct list *link;

    while ((link = list_pop_front(&sources->waiters)) != NULL)
        nudge_send(container_of(link, struct waiter, link)->nudge);
}

void sources_leave(struct sources *sources)
{
    struct list *link;

    while ((link = list_pop_front(&sources->waiters)) != NULL)
        container_of(link, struct waiter, link)->sources = NULL;
}
