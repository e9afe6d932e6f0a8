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

struct lane {                 /* one replacement at a time */
    struct instance *fresh;   /* must become ready */
    struct instance *leaving; /* is on its way out */
};

struct rollout {
    struct app *app;
    struct lane lanes[ROLLOUT_LANES_MAX];
    unsigned lane_count;
    int *ids; /* owned: of those to be replaced, in order */
    size_t count, next;
    bool overlap;
    bool all;         /* of the app's instances */
    struct task step; /* goes on when the event that led here is done with */
    char why[WHY_BYTES];
};

bool app_overlaps(const struct app *app)
{
    const struct app_spec *spec = app->spec;

    return spec_is_cluster(spec) || spec_has_address(spec) || spec->reuse_port ||
           spec->listen_fds.count > 0;
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

static struct instance *predecessor(const struct instance *fresh)
{
    list_each(it, keep, &fresh->app->instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        if (instance->id == fresh->id && instance != fresh)
            return instance;
    }
    return NULL;
}

/* A new instance that has not proved itself goes, if there is an old one. */
static void clear_lane(struct lane *lane)
{
    struct instance *fresh = lane->fresh;

    *lane = (struct lane){.fresh = NULL};
    if (fresh == NULL)
        return;
    fresh->trial = false;
    if (predecessor(fresh) != NULL)
        app_remove(fresh);
}

void rollout_free(struct rollout *rollout)
{
    if (rollout == NULL)
        return;
    operations_rollout_ended(rollout->app->apps, rollout, "it was cut short\n");
    rollout->app->rollout = NULL;
    rollout->app = NULL;
    for (unsigned i = 0; i < rollout->lane_count; i++)
        clear_lane(&rollout->lanes[i]);
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
static void retire(struct lane *lane, struct instance *old)
{
    struct app *app = old->app;

    lane->leaving = old;
    list_remove(&old->link);
    list_push_back(&app->retiring, &old->link);
    app_changed(app);
    app_remove(old);
}

/* False: no memory. */
static bool begin_overlapping(struct lane *lane, struct instance *old)
{
    struct instance *fresh = instance_new(old->app, old->id, old->index);

    if (fresh == NULL)
        return false;
    fresh->increment = old->increment;
    fresh->restarts = old->restarts + 1;
    fresh->created_wall_ms = old->created_wall_ms;
    fresh->trial = true;
    /* it stands in the list where the old one is */
    list_remove(&fresh->link);
    list_insert(&old->link, &fresh->link);
    lane->fresh = fresh;
    instance_event(fresh, EVENT_START);
    return true;
}

static bool is_busy(const struct rollout *rollout)
{
    for (unsigned i = 0; i < rollout->lane_count; i++) {
        if (rollout->lanes[i].fresh != NULL || rollout->lanes[i].leaving != NULL)
            return true;
    }
    return false;
}

/* False: the rollout has ended. */
static bool begin_next(struct rollout *rollout, struct lane *lane)
{
    struct instance *old = NULL;

    while (old == NULL && rollout->next < rollout->count)
        old = find(rollout->app, rollout->ids[rollout->next++]);
    if (old == NULL) {
        if (is_busy(rollout))
            return true;
        /* all are new: a socket that none of them asked for leads to nobody */
        if (rollout->all && rollout->count > 0)
            cluster_end_change(&rollout->app->cluster);
        finish(rollout, NULL);
        return false;
    }
    if (rollout->overlap && old->state == STATE_ONLINE) {
        if (begin_overlapping(lane, old))
            return true;
        finish(rollout, "no memory\n");
        return false;
    }
    lane->fresh = old;
    instance_event(old, EVENT_RESTART);
    return true;
}

/* What the old one was started with is what the app is again: the next change must see that it
 * was not made. */
static void give_up(struct rollout *rollout, struct lane *lane)
{
    struct instance *fresh = lane->fresh;
    struct instance *old = predecessor(fresh);
    char *tail = report_tail(fresh, true);

    snprintf(rollout->why, sizeof rollout->why, "%s (%d): the new instance: %s\n%s%s",
             rollout->app->name, fresh->id, fresh->reason, tail == NULL ? "" : tail,
             old == NULL ? "" : "the old instances stay\n");
    free(tail);
    lane->fresh = NULL;
    if (old != NULL) {
        app_use_spec(rollout->app, old->spec);
        app_remove(fresh);
    }
    finish(rollout, rollout->why);
}

/* False: the rollout has ended. */
static bool lane_go_on(struct rollout *rollout, struct lane *lane)
{
    struct instance *fresh = lane->fresh;
    struct instance *old;

    if (fresh != NULL && (fresh->state == STATE_STARTING || fresh->state == STATE_STOPPING))
        return true;
    if (fresh != NULL && fresh->state != STATE_ONLINE) {
        give_up(rollout, lane);
        return false;
    }
    if (fresh != NULL) {
        fresh->trial = false;
        lane->fresh = NULL;
        old = predecessor(fresh);
        if (old != NULL && !rollout->all) /* why the old one went is what people will ask about */
            memcpy(fresh->reason, old->reason, sizeof fresh->reason);
        if (old != NULL)
            retire(lane, old);
    }
    return lane->leaving != NULL || begin_next(rollout, lane);
}

static void go_on(struct rollout *rollout)
{
    for (unsigned i = 0; i < rollout->lane_count; i++) {
        if (!lane_go_on(rollout, &rollout->lanes[i]))
            return;
    }
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
    for (unsigned i = 0; i < rollout->lane_count; i++) {
        if (instance == rollout->lanes[i].fresh)
            step_later(rollout);
    }
}

void rollout_on_gone(struct rollout *rollout, const struct instance *instance)
{
    for (unsigned i = 0; i < rollout->lane_count; i++) {
        struct lane *lane = &rollout->lanes[i];

        if (instance != lane->leaving && instance != lane->fresh)
            continue;
        *lane = (struct lane){.fresh = NULL};
        step_later(rollout);
    }
}

static struct rollout *rollout_new(struct app *app, size_t count, unsigned parallel)
{
    struct rollout *rollout = calloc(1, sizeof *rollout);

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
    rollout->lane_count = parallel < 1                   ? 1
                          : parallel < ROLLOUT_LANES_MAX ? parallel
                                                         : ROLLOUT_LANES_MAX;
    rollout->step.run = on_step;
    app->rollout = rollout;
    step_later(rollout);
    return rollout;
}

struct rollout *rollout_start(struct app *app, unsigned parallel)
{
    struct rollout *rollout = rollout_new(app, app_count(app), parallel);

    if (rollout == NULL)
        return NULL;
    list_each(it, keep, &app->instances)
        rollout->ids[rollout->count++] = container_of(it, struct instance, link)->id;
    cluster_begin_change(&app->cluster);
    rollout->all = true;
    return rollout;
}

struct rollout *rollout_start_one(struct instance *instance)
{
    struct rollout *rollout = rollout_new(instance->app, 1, 1);

    if (rollout != NULL)
        rollout->ids[rollout->count++] = instance->id;
    return rollout;
}
