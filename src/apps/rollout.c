/* Replacing the instances of an app one after the other.
 *
 * Where two instances can run side by side (their sockets are shared, or each has its own) the new
 * one starts first and must become ready; then the old one leaves. If it does not, the rollout ends
 * there and the old ones stay. Where they cannot, the old one has to stop first.
 * Runs in: master's loop. */
#include "apps/apps_internal.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_BYTES = 8192 };

struct rollout {
    struct app *app;
    struct instance *fresh;   /* must become ready */
    struct instance *leaving; /* is on its way out */
    int *ids;                 /* owned: of those to be replaced, in order */
    size_t count, next;
    bool overlap;
    struct task step; /* goes on when the event that led here is done with */
    char why[WHY_BYTES];
};

bool app_overlaps(const struct app *app)
{
    return spec_is_cluster(app->spec) || spec_has_address(app->spec);
}

static struct instance *find(const struct app *app, int id)
{
    list_each(it, keep, &app->instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        if (instance->id == id)
            return instance;
    }
    return NULL;
}

static struct instance *predecessor(const struct rollout *rollout)
{
    list_each(it, keep, &rollout->app->instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        if (instance->id == rollout->fresh->id && instance != rollout->fresh)
            return instance;
    }
    return NULL;
}

/* Cut short: a new instance that has not proved itself goes, if there is an old one. */
void rollout_free(struct rollout *rollout)
{
    struct instance *fresh;
    bool extra;

    if (rollout == NULL)
        return;
    fresh = rollout->fresh;
    extra = fresh != NULL && predecessor(rollout) != NULL;
    operations_rollout_ended(rollout->app->apps, rollout, "it was cut short\n");
    rollout->app->rollout = NULL;
    rollout->app = NULL;
    if (fresh != NULL)
        fresh->trial = false;
    if (extra)
        app_remove(fresh);
    if (rollout->step.queued)
        return; /* the step frees it */
    free(rollout->ids);
    free(rollout);
}

static void finish(struct rollout *rollout, const char *why)
{
    struct apps *apps = rollout->app->apps;

    if (why != NULL)
        log_write(apps->log, LOG_LEVEL_ERROR, 0, "app %s: the change was given up",
                  rollout->app->name);
    operations_rollout_ended(apps, rollout, why);
    rollout_free(rollout);
    operations_check(apps);
}

/* The old one has a successor: it is no longer one of the app's instances. */
static void retire(struct rollout *rollout, struct instance *old)
{
    struct app *app = rollout->app;

    rollout->leaving = old;
    list_remove(&old->link);
    list_push_back(&app->retiring, &old->link);
    app_changed(app);
    app_remove(old);
}

static void begin_overlapping(struct rollout *rollout, struct instance *old)
{
    struct app *app = rollout->app;
    struct instance *fresh = instance_new(app, old->id, old->index);

    if (fresh == NULL) {
        finish(rollout, "no memory\n");
        return;
    }
    fresh->increment = old->increment;
    fresh->restarts = old->restarts + 1;
    fresh->created_wall_ms = old->created_wall_ms;
    fresh->trial = true;
    /* it stands in the list where the old one is */
    list_remove(&fresh->link);
    list_insert(&old->link, &fresh->link);
    rollout->fresh = fresh;
    instance_event(fresh, EVENT_START);
}

static void begin_next(struct rollout *rollout)
{
    struct instance *old = NULL;

    while (old == NULL && rollout->next < rollout->count)
        old = find(rollout->app, rollout->ids[rollout->next++]);
    if (old == NULL) {
        /* all are new: a socket that none of them asked for leads to nobody */
        if (rollout->count > 0)
            cluster_end_change(&rollout->app->cluster);
        finish(rollout, NULL);
        return;
    }
    if (rollout->overlap && old->state == STATE_ONLINE) {
        begin_overlapping(rollout, old);
        return;
    }
    rollout->fresh = old;
    instance_event(old, EVENT_RESTART);
}

static void give_up(struct rollout *rollout)
{
    struct instance *fresh = rollout->fresh;
    struct instance *old = predecessor(rollout);
    char *tail = report_tail(fresh, true);

    snprintf(rollout->why, sizeof rollout->why, "%s (%d): the new instance: %s\n%s%s",
             rollout->app->name, fresh->id, fresh->reason, tail == NULL ? "" : tail,
             old == NULL ? "" : "the old instances stay\n");
    free(tail);
    rollout->fresh = NULL;
    if (old != NULL)
        app_remove(fresh);
    finish(rollout, rollout->why);
}

static void go_on(struct rollout *rollout)
{
    struct instance *fresh = rollout->fresh;
    struct instance *old;

    if (fresh != NULL && fresh->state == STATE_ONLINE) {
        old = predecessor(rollout);
        fresh->trial = false;
        rollout->fresh = NULL;
        if (old != NULL) {
            retire(rollout, old);
            return;
        }
    }
    if (rollout->fresh != NULL)
        give_up(rollout);
    else if (rollout->leaving == NULL)
        begin_next(rollout);
}

static void on_step(struct task *task)
{
    struct rollout *rollout = container_of(task, struct rollout, step);

    if (rollout->app != NULL) {
        go_on(rollout);
        return;
    }
    free(rollout->ids);
    free(rollout);
}

static void step_later(struct rollout *rollout)
{
    loop_defer(rollout->app->apps->loop, &rollout->step);
}

void rollout_on_settled(struct rollout *rollout, struct instance *instance)
{
    if (instance == rollout->fresh && instance->state != STATE_STARTING &&
        instance->state != STATE_STOPPING)
        step_later(rollout);
}

void rollout_on_gone(struct rollout *rollout, const struct instance *instance)
{
    if (instance == rollout->leaving)
        rollout->leaving = NULL;
    else if (instance == rollout->fresh)
        rollout->fresh = NULL;
    else
        return;
    step_later(rollout);
}

struct rollout *rollout_start(struct app *app)
{
    struct rollout *rollout = calloc(1, sizeof *rollout);
    size_t count = app_count(app);

    assert(app->rollout == NULL);
    if (rollout == NULL)
        return NULL;
    rollout->ids = calloc(count + 1, sizeof *rollout->ids);
    if (rollout->ids == NULL) {
        free(rollout);
        return NULL;
    }
    rollout->app = app;
    rollout->overlap = app_overlaps(app);
    rollout->step.run = on_step;
    list_each(it, keep, &app->instances)
        rollout->ids[rollout->count++] = container_of(it, struct instance, link)->id;
    app->rollout = rollout;
    cluster_begin_change(&app->cluster);
    step_later(rollout);
    return rollout;
}
