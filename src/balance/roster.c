/* What is known of apps: told by the master, followed by upstreams. Runs in: worker, any thread. */
#include "balance/roster_internal.h"

#include "balance/app_notice_internal.h"
#include "balance/nudge_internal.h"
#include "balance/roster_table_internal.h"
#include "base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const status_texts[] = {
    [APP_UNKNOWN] = "not known to the runner",
    [APP_GONE] = "not there any more",
    [APP_IDLE] = "idle",
    [APP_STARTING] = "starting",
    [APP_ONLINE] = "online",
    [APP_FAILED] = "failed",
};

const char *app_status_text(enum app_status status)
{
    assert(status < COUNT(status_texts));
    return status_texts[status];
}

/* ---- the table */

static struct list *bucket_of(struct roster *roster, struct slice name)
{
    return &roster->buckets[slice_hash(name) % ROSTER_BUCKETS];
}

static struct roster_app *find(struct roster *roster, struct slice name)
{
    list_each(it, keep, bucket_of(roster, name))
    {
        struct roster_app *app = container_of(it, struct roster_app, link);

        if (slice_eq(app->name, name))
            return app;
    }
    return NULL;
}

/* The name stands behind the struct. */
static struct roster_app *get(struct roster *roster, struct slice name)
{
    struct roster_app *app = find(roster, name);
    char *copy;

    if (app != NULL)
        return app;
    app = calloc(1, sizeof(*app) + name.len);
    if (app == NULL)
        return NULL;
    copy = (char *)(app + 1);
    memcpy(copy, name.data, name.len);
    app->name = slice_make(copy, name.len);
    app->roster = roster;
    list_init(&app->followers);
    list_push_back(bucket_of(roster, name), &app->link);
    return app;
}

static void forget_instances(struct roster_app *app)
{
    for (size_t i = 0; i < app->instance_count; i++)
        app_instance_unref(app->instances[i]);
    free(app->instances);
    app->instances = NULL;
    app->instance_count = 0;
}

static void app_free(struct roster_app *app)
{
    list_remove(&app->link);
    forget_instances(app);
    assert(atomic_load_explicit(&app->holders, memory_order_acquire) == 0);
    free(app->reason);
    free(app);
}

/* Nobody asks for it, nothing runs on it, and there is nothing to say about it. */
static bool is_useless(const struct roster_app *app)
{
    enum app_status status = roster_app_status(app);

    return (status == APP_UNKNOWN || status == APP_GONE) && list_empty(&app->followers) &&
           app->instance_count == 0 &&
           atomic_load_explicit(&app->holders, memory_order_acquire) == 0;
}

static void drop_useless(struct roster *roster)
{
    for (size_t i = 0; i < ROSTER_BUCKETS; i++) {
        list_each(it, keep, &roster->buckets[i])
        {
            struct roster_app *app = container_of(it, struct roster_app, link);

            if (is_useless(app))
                app_free(app);
        }
    }
}

struct roster *roster_new(struct loop *home)
{
    struct roster *roster = calloc(1, sizeof(*roster));

    if (roster == NULL)
        return NULL;
    for (size_t i = 0; i < ROSTER_BUCKETS; i++)
        list_init(&roster->buckets[i]);
    pthread_mutex_init(&roster->lock, NULL);
    roster->home = home;
    if (!roster_report_init(roster)) {
        roster_free(roster);
        return NULL;
    }
    return roster;
}

void roster_free(struct roster *roster)
{
    if (roster == NULL)
        return;
    roster_report_fini(roster);
    for (size_t i = 0; i < ROSTER_BUCKETS; i++) {
        list_each(it, keep, &roster->buckets[i])
            app_free(container_of(it, struct roster_app, link));
    }
    pthread_mutex_destroy(&roster->lock);
    free(roster);
}

void roster_attach(struct roster *roster, const struct roster_master *master)
{
    roster->master = *master;
}

/* ---- instances */

struct app_instance *app_instance_ref(struct app_instance *instance)
{
    unsigned before = atomic_fetch_add_explicit(&instance->refs, 1, memory_order_relaxed);

    assert(before > 0);
    return instance;
}

void app_instance_unref(struct app_instance *instance)
{
    struct roster_app *app;

    if (instance == NULL || atomic_fetch_sub_explicit(&instance->refs, 1, memory_order_acq_rel) > 1)
        return;
    app = instance->app;
    free(instance);
    /* Last: from here on the app may be freed. */
    atomic_fetch_sub_explicit(&app->holders, 1, memory_order_release);
}

static struct app_instance *instance_new(struct roster_app *app, const struct app_line *line)
{
    struct app_instance *instance = calloc(1, sizeof(*instance));

    if (instance == NULL)
        return NULL;
    instance->app = app;
    instance->serial = ++app->roster->last_serial;
    instance->id = line->id;
    instance->address = line->address;
    atomic_init(&instance->refs, 1);
    atomic_fetch_add_explicit(&app->holders, 1, memory_order_relaxed);
    return instance;
}

/* The one that is listed already, with a reference, or a new one. NULL: no memory. */
static struct app_instance *instance_for(struct roster_app *app, const struct app_line *line)
{
    for (size_t i = 0; i < app->instance_count; i++) {
        struct app_instance *known = app->instances[i];

        if (known->id == line->id && address_equal(&known->address, &line->address))
            return app_instance_ref(known);
    }
    return instance_new(app, line);
}

/* ---- a notice */

static void set_ready(struct app_instance *instance, bool ready)
{
    atomic_store_explicit(&instance->ready, ready, memory_order_seq_cst);
}

static bool is_ready(const struct app_instance *instance)
{
    return atomic_load_explicit(&instance->ready, memory_order_relaxed);
}

/* NULL: no memory. */
static struct app_instance **make_list(struct roster_app *app, const struct app_notice *notice)
{
    struct app_instance **list = calloc(notice->instance_count + 1, sizeof(struct app_instance *));
    struct slice lines = notice->lines;
    struct app_line line;
    size_t count = 0;

    while (list != NULL && app_notice_next(&lines, &line)) {
        list[count] = instance_for(app, &line);
        if (list[count++] != NULL)
            continue;
        while (count > 0)
            app_instance_unref(list[--count]);
        free(list);
        return NULL;
    }
    return list;
}

/* Those that are not listed any more take no request from here on, in old peer sets either. */
static bool take_instances(struct roster_app *app, const struct app_notice *notice)
{
    struct app_instance **list = make_list(app, notice);
    struct slice lines = notice->lines;
    struct app_line line;

    if (list == NULL)
        return false;
    for (size_t i = 0; i < app->instance_count; i++)
        set_ready(app->instances[i], false);
    forget_instances(app);
    app->instances = list;
    app->instance_count = notice->instance_count;
    for (size_t i = 0; i < app->instance_count && app_notice_next(&lines, &line); i++)
        set_ready(list[i], line.ready);
    return true;
}

static void take_reason(struct roster_app *app, struct slice reason)
{
    free(app->reason);
    app->reason = reason.len == 0 ? NULL : slice_strdup(reason);
}

/* `list` has room for all instances. */
static size_t list_ready(const struct roster_app *app, struct app_instance **list)
{
    size_t count = 0;

    for (size_t i = 0; i < app->instance_count; i++) {
        if (is_ready(app->instances[i]))
            list[count++] = app->instances[i];
    }
    return count;
}

static void tell_followers(struct roster_app *app, struct app_instance **list)
{
    size_t count = list_ready(app, list);

    list_each(it, keep, &app->followers)
    {
        struct app_follower *follower = container_of(it, struct app_follower, link);

        follower->on_change(follower, list, count);
    }
}

/* Whoever waits for the last request of a leaving instance hears of it, even if there was none. */
static void look_for_drained(struct roster_app *app)
{
    for (size_t i = 0; i < app->instance_count; i++) {
        const struct app_instance *instance = app->instances[i];

        if (!is_ready(instance) &&
            atomic_load_explicit(&instance->active, memory_order_seq_cst) == 0)
            roster_report_soon(app, true);
    }
}

static bool apply(struct roster_app *app, const struct app_notice *notice)
{
    struct app_instance *ready[APP_INSTANCES_MAX];
    bool complete = take_instances(app, notice);

    atomic_store_explicit(&app->asked_ms, 0, memory_order_relaxed);
    take_reason(app, notice->reason);
    app->desired = notice->desired;
    atomic_store_explicit(&app->status, notice->status, memory_order_relaxed);
    tell_followers(app, ready);
    look_for_drained(app);
    if (notice->status == APP_IDLE && atomic_load_explicit(&app->waiting, memory_order_relaxed) > 0)
        roster_report_wanted(app);
    return complete;
}

void roster_take(struct roster *roster, uint64_t version, struct slice text)
{
    struct app_notice notice;
    const char *error = NULL;
    struct roster_app *app;

    if (!app_notice_parse(text, &notice, &error)) {
        log_write(&log_process, LOG_LEVEL_ALERT, 0, "the master tells of an app with %s: \"%.*s\"",
                  error, SLICE_ARG(slice_head(text, 100)));
        return;
    }
    pthread_mutex_lock(&roster->lock);
    app = get(roster, notice.name);
    if (app != NULL)
        app->version = version;
    if (app == NULL || !apply(app, &notice))
        log_write(&log_process, LOG_LEVEL_CRIT, 0, "no memory for the instances of app \"%.*s\"",
                  SLICE_ARG(notice.name));
    if (notice.status == APP_GONE)
        drop_useless(roster);
    pthread_mutex_unlock(&roster->lock);
}

/* ---- followers */

bool roster_follow(struct roster *roster, struct app_follower *follower, struct slice name)
{
    struct app_instance *ready[APP_INSTANCES_MAX];
    struct roster_app *app;

    pthread_mutex_lock(&roster->lock);
    app = get(roster, name);
    if (app != NULL) {
        follower->app = app;
        list_push_back(&app->followers, &follower->link);
        follower->on_change(follower, ready, list_ready(app, ready));
    }
    pthread_mutex_unlock(&roster->lock);
    return app != NULL;
}

void roster_unfollow(struct roster *roster, struct app_follower *follower)
{
    if (follower->app == NULL)
        return;
    pthread_mutex_lock(&roster->lock);
    list_remove(&follower->link);
    if (is_useless(follower->app))
        app_free(follower->app);
    follower->app = NULL;
    pthread_mutex_unlock(&roster->lock);
}

enum app_status roster_app_status(const struct roster_app *app)
{
    return atomic_load_explicit(&app->status, memory_order_relaxed);
}

struct slice roster_app_name(const struct roster_app *app)
{
    return app->name;
}

enum app_status roster_status(struct roster *roster, struct slice name, char *reason,
                              size_t reason_bytes)
{
    enum app_status status = APP_UNKNOWN;
    const struct roster_app *app;

    reason[0] = '\0';
    pthread_mutex_lock(&roster->lock);
    app = find(roster, name);
    if (app != NULL) {
        status = roster_app_status(app);
        snprintf(reason, reason_bytes, "%s", app->reason == NULL ? "" : app->reason);
    }
    pthread_mutex_unlock(&roster->lock);
    return status;
}
