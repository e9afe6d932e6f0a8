/* The set of apps, and what an app does by itself: its schedule, its limits, its watched files.
 * Runs in: master's loop. */
#include "apps/apps_internal.h"
#include "apps/usage.h"
#include "base/diag.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SAMPLE_EVERY_MS = 1000,
    TIDY_AFTER_MS = 100,
    LARGE_SAMPLES = 2,
    MARK_PERCENT = 125, /* of max_memory_restart: growing too fast to wait for the next look */
    INDEXES_MAX = 4096, /* more instances than an app can have */
    SCHEDULE_MAX_MS = 3600 * 1000,
    SCHEDULE_LATE_S = 30
};

static void on_sampling(struct deadline *deadline);
static void on_tidying(struct deadline *deadline);
static void on_memory_high(struct pressure *pressure, int watch);

static bool make_folder(const char *home, const char *name)
{
    char *path = NULL;
    bool good;

    if (asprintf(&path, "%s%s%s", home, name[0] == '\0' ? "" : "/", name) < 0)
        return false;
    good = mkdir(path, 0700) == 0 || errno == EEXIST;
    free(path);
    return good;
}

struct apps *apps_new(struct loop *loop, const char *home, const struct log *log,
                      const struct apps_observer *observer)
{
    static const char *const folders[] = {"", "logs", "pids", "run"};
    struct apps *apps = calloc(1, sizeof *apps);

    if (apps == NULL)
        return NULL;
    *apps = (struct apps){.loop = loop,
                          .log = log,
                          .observer = *observer,
                          .sampling = {.on_expire = on_sampling},
                          .tidying = {.on_expire = on_tidying}};
    list_init(&apps->apps);
    list_init(&apps->operations);
    list_init(&apps->followers);
    apps->next_port = (unsigned)getpid() * 31; /* runners side by side begin at different ones */
    sinks_init(&apps->sinks, loop, log);
    groups_init(&apps->groups);
    apps->pressure = (struct pressure){.loop = loop, .io = {.fd = -1}, .on_high = on_memory_high};
    apps->home = strdup(home);
    for (size_t i = 0; apps->home != NULL && i < COUNT(folders); i++) {
        if (make_folder(home, folders[i]))
            continue;
        apps_free(apps);
        return NULL;
    }
    /* what leaves its parent comes to us, and can be ended with its app */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (apps->home != NULL)
        return apps;
    apps_free(apps);
    return NULL;
}

void apps_free(struct apps *apps)
{
    if (apps == NULL)
        return;
    apps->stopping = true;
    list_each(it, keep, &apps->apps) app_free(container_of(it, struct app, link));
    followers_end(apps);
    operations_check(apps);
    assert(list_empty(&apps->operations));
    deadline_disarm(&apps->sampling);
    deadline_disarm(&apps->tidying);
    sinks_fini(&apps->sinks);
    pressure_fini(&apps->pressure);
    groups_fini(&apps->groups);
    free(apps->home);
    free(apps);
}

struct app *app_find(const struct apps *apps, const char *name)
{
    list_each(it, keep, &apps->apps)
    {
        struct app *app = container_of(it, struct app, link);

        if (strcmp(app->name, name) == 0)
            return app;
    }
    return NULL;
}

static void on_schedule(struct deadline *deadline);

struct app *app_new(struct apps *apps, struct app_spec *spec)
{
    struct app *app = calloc(1, sizeof *app);

    if (app == NULL)
        return NULL;
    *app = (struct app){.apps = apps, .schedule = {.on_expire = on_schedule}};
    list_init(&app->instances);
    list_init(&app->retiring);
    cluster_init(&app->cluster);
    list_push_back(&apps->apps, &app->link);
    app->name = strdup(spec->name);
    if (app->name == NULL) {
        app_free(app);
        return NULL;
    }
    app_use_spec(app, spec);
    return app;
}

void app_free(struct app *app)
{
    follow_gone(app);
    rollout_free(app->rollout);
    app->rollout = NULL;
    list_each(it, keep, &app->instances) instance_free(container_of(it, struct instance, link));
    list_each(old, keep_old, &app->retiring)
        instance_free(container_of(old, struct instance, link));
    watch_free(app->watch);
    deadline_disarm(&app->schedule);
    cluster_fini(&app->cluster);
    list_remove(&app->link);
    spec_unref(app->spec);
    json_decref(app->told);
    free(app->source);
    free(app->name);
    free(app);
}

/* ---- what an app does by itself */

static void arm_schedule(struct app *app)
{
    time_t now = (time_t)(loop_clock(app->apps->loop)->wall_ms / 1000);
    time_t next = cron_next(&app->cron, now);
    uint64_t wait_ms = SCHEDULE_MAX_MS;

    app->due = next;
    if (next == 0)
        return;
    /* looked at every hour at least: the clock may have been set */
    if ((uint64_t)(next - now) * 1000 < wait_ms)
        wait_ms = (uint64_t)next * 1000 - loop_clock(app->apps->loop)->wall_ms;
    deadline_arm(app->apps->loop, &app->schedule, wait_ms);
}

/* Not a time later, if `due` is over just now. */
void app_due_at(struct app *app, time_t due)
{
    uint64_t now_ms = loop_clock(app->apps->loop)->wall_ms;

    if (due == 0 || due >= app->due || app->due == 0)
        return;
    app->due = due;
    deadline_arm(app->apps->loop, &app->schedule,
                 (uint64_t)due * 1000 > now_ms ? (uint64_t)due * 1000 - now_ms : 0);
}

static void restart_all(struct app *app, const char *why)
{
    log_write(app->apps->log, LOG_LEVEL_NOTICE, 0, "app %s: restarting: %s", app->name, why);
    if (app_overlaps(app) && app->rollout == NULL && rollout_start(app, 1) != NULL)
        return;
    list_each(it, keep, &app->instances)
        instance_event(container_of(it, struct instance, link), EVENT_RESTART);
}

/* What still runs is left alone: two of a job at once are rarely meant. */
static void start_job(struct app *app)
{
    list_each(it, keep, &app->instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        if (instance->pid > 0)
            log_write(app->apps->log, LOG_LEVEL_WARN, 0,
                      "app %s (%d): still runs at its next time, which is left out", app->name,
                      instance->id);
        else
            instance_event(instance, EVENT_START);
    }
}

/* A little late is in time: the machine was busy, or the runner was being updated. */
static void on_schedule(struct deadline *deadline)
{
    struct app *app = container_of(deadline, struct app, schedule);
    time_t now = (time_t)(loop_clock(app->apps->loop)->wall_ms / 1000);
    bool due = app->due != 0 && now >= app->due && now - app->due <= SCHEDULE_LATE_S;

    arm_schedule(app);
    if (due && app->spec->is_job)
        start_job(app);
    else if (due)
        restart_all(app, "cron_restart");
}

static void on_files_changed(void *context)
{
    struct app *app = context;

    restart_all(app, "files changed");
}

static void watch_files(struct app *app)
{
    struct diag diag;

    watch_free(app->watch);
    app->watch = NULL;
    if (!app->spec->watch.on)
        return;
    diag_init(&diag);
    app->watch = watch_new(app->apps->loop, app->spec, on_files_changed, app, &diag);
    for (const struct diag_entry *entry = diag.first; entry != NULL; entry = entry->next)
        log_write(app->apps->log, LOG_LEVEL_WARN, 0, "app %s: %s", app->name, entry->message);
    diag_fini(&diag);
}

/* Every second. */
static bool is_looked_at(const struct app *app)
{
    return app->spec->max_memory_bytes > 0 || app_has_pace(app);
}

void app_use_spec(struct app *app, struct app_spec *spec)
{
    spec_ref(spec);
    spec_unref(app->spec);
    app->spec = spec;
    deadline_disarm(&app->schedule);
    if (spec->cron != NULL && cron_parse(spec->cron, &app->cron))
        arm_schedule(app);
    watch_files(app);
    if (is_looked_at(app) && !deadline_armed(&app->apps->sampling))
        deadline_arm(app->apps->loop, &app->apps->sampling, SAMPLE_EVERY_MS);
}

/* Followers hear of an app that is gone, and of a new one. */
void app_rename(struct app *app, const char *name)
{
    char *copy = strcmp(app->name, name) == 0 ? NULL : strdup(name);

    if (copy == NULL)
        return;
    log_write(app->apps->log, LOG_LEVEL_NOTICE, 0, "app %s is called %s from now on", app->name,
              name);
    follow_gone(app);
    free(app->name);
    app->name = copy;
    json_decref(app->told);
    app->told = NULL;
    app_changed(app);
}

static void sample(struct instance *instance)
{
    uint64_t now_ms = loop_now_ms(instance->app->apps->loop);
    uint64_t since_ms = instance->sampled_ms;
    uint64_t cpu_us = instance->sampled_cpu_us;
    struct usage usage;

    if (since_ms == 0) {
        since_ms = instance->started_ms;
        cpu_us = 0;
    }
    if (instance->pid == 0 || (now_ms - since_ms < 200 && instance->rss_bytes != 0) ||
        !usage_read(instance->pid, &usage))
        return;
    instance->rss_bytes = usage.rss_bytes;
    if (instance->group != NULL) /* of all its processes, where that is known */
        group_memory(&instance->app->apps->groups, instance->group, &instance->rss_bytes);
    if (now_ms > since_ms && usage.cpu_us >= cpu_us)
        instance->cpu_percent = (double)(usage.cpu_us - cpu_us) / 10.0 /
                                (double)(now_ms - since_ms);
    instance->sampled_ms = now_ms;
    instance->sampled_cpu_us = usage.cpu_us;
}

/* One large sample may be a peak that is over: several in a row are its size. */
static bool is_too_large(struct instance *instance)
{
    uint64_t max_bytes = instance->spec->max_memory_bytes;

    if (max_bytes == 0 || instance->state != STATE_ONLINE || instance->rss_bytes <= max_bytes)
        instance->too_large = 0;
    else
        instance->too_large++;
    return instance->too_large >= LARGE_SAMPLES;
}

static void replace_large(struct instance *instance)
{
    char why[REASON_BYTES];

    instance->too_large = 0;
    snprintf(why, sizeof why, "uses %llu MB, more than max_memory_restart: replacing it",
             (unsigned long long)(instance->rss_bytes >> 20));
    instance_replace(instance, why);
}

/* Replaced one at a time: the others go on. */
static void relieve(struct app *app)
{
    list_each(it, keep, &app->instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        if (!is_too_large(instance) || app->rollout != NULL)
            continue;
        replace_large(instance);
        return; /* the list is another one now, perhaps */
    }
}

void app_watch_memory(struct instance *instance)
{
    struct apps *apps = instance->app->apps;
    uint64_t max_bytes = instance->spec->max_memory_bytes;
    char *events = NULL;

    if (max_bytes > 0)
        events = group_mark_memory(&apps->groups, instance->group, max_bytes / 100 * MARK_PERCENT);
    instance->pressure = pressure_add(&apps->pressure, events);
    free(events);
}

static struct instance *find_watched(const struct apps *apps, int watch)
{
    list_each(it, keep, (struct list *)&apps->apps)
    {
        struct app *app = container_of(it, struct app, link);

        list_each(one, next, &app->instances)
        {
            struct instance *instance = container_of(one, struct instance, link);

            if (instance->pressure == watch)
                return instance;
        }
    }
    return NULL;
}

/* Caches count at the kernel's mark, but not here: then it has taken them back, and all is well. */
static void on_memory_high(struct pressure *pressure, int watch)
{
    struct apps *apps = container_of(pressure, struct apps, pressure);
    struct instance *instance = find_watched(apps, watch);
    uint64_t bytes;

    if (instance == NULL || instance->state != STATE_ONLINE || instance->app->rollout != NULL ||
        !group_memory(&apps->groups, instance->group, &bytes) ||
        bytes <= instance->spec->max_memory_bytes)
        return;
    instance->rss_bytes = bytes;
    replace_large(instance);
}

void apps_sample(struct apps *apps)
{
    list_each(it, keep, &apps->apps)
    {
        struct app *app = container_of(it, struct app, link);

        list_each(one, next, &app->instances) sample(container_of(one, struct instance, link));
    }
}

static void on_sampling(struct deadline *deadline)
{
    struct apps *apps = container_of(deadline, struct apps, sampling);
    bool needed = false;

    apps_sample(apps);
    list_each(it, keep, &apps->apps)
    {
        struct app *app = container_of(it, struct app, link);

        needed = needed || is_looked_at(app);
        relieve(app);
        app_pace(app);
    }
    if (needed)
        deadline_arm(apps->loop, &apps->sampling, SAMPLE_EVERY_MS);
}

static void on_tidying(struct deadline *deadline)
{
    struct apps *apps = container_of(deadline, struct apps, tidying);

    if (!groups_tidy(&apps->groups))
        deadline_arm(apps->loop, &apps->tidying, TIDY_AFTER_MS);
}

/* Its processes have been killed, but take a moment to be gone. */
void apps_drop_group(struct apps *apps, char *group)
{
    if (group == NULL)
        return;
    group_drop(&apps->groups, group);
    if (!deadline_armed(&apps->tidying))
        deadline_arm(apps->loop, &apps->tidying, TIDY_AFTER_MS);
}

/* ---- instances */

size_t app_count(const struct app *app)
{
    size_t count = 0;

    list_each(it, keep, &app->instances) count++;
    return count;
}

static bool id_is_used(const struct apps *apps, int id)
{
    list_each(it, keep, &apps->apps)
    {
        const struct app *app = container_of(it, struct app, link);

        list_each(one, next, &app->instances)
        {
            if (container_of(one, struct instance, link)->id == id)
                return true;
        }
    }
    return false;
}

/* Numbers are not used again while the list is not empty, as scripts remember them. */
int apps_next_id(struct apps *apps)
{
    if (list_empty(&apps->apps))
        apps->next_id = 0;
    while (id_is_used(apps, apps->next_id))
        apps->next_id++;
    return apps->next_id++;
}

/* The lowest that no instance has. */
static int free_index(const struct app *app)
{
    bool used[INDEXES_MAX] = {false};
    int index = 0;

    list_each(it, keep, &app->instances)
    {
        int taken = container_of(it, struct instance, link)->index;

        if (taken < INDEXES_MAX)
            used[taken] = true;
    }
    while (index < INDEXES_MAX && used[index])
        index++;
    return index;
}

struct instance *app_add(struct app *app)
{
    int index = free_index(app);
    struct instance *instance = instance_new(app, apps_next_id(app->apps), index);

    if (instance != NULL)
        instance->increment = index;
    return instance;
}

void app_changed(struct app *app)
{
    const struct apps_observer *observer = &app->apps->observer;

    if (observer->on_change != NULL)
        observer->on_change(observer->context, app->name);
    follow_changed(app);
}

void app_wake(struct app *app)
{
    if (!app->idle || app->apps->stopping)
        return;
    app->idle = false;
    log_write(app->apps->log, LOG_LEVEL_NOTICE, 0, "app %s: somebody asks for it", app->name);
    list_each(it, keep, &app->instances)
        instance_event(container_of(it, struct instance, link), EVENT_START);
}

static void tell_if_idle(struct apps *apps)
{
    if (apps->stopping && apps_idle(apps) && apps->observer.on_idle != NULL)
        apps->observer.on_idle(apps->observer.context);
}

void apps_leave_if_empty(struct apps *apps)
{
    if (apps->may_leave && apps->leave_if_empty && list_empty(&apps->apps))
        apps_stop_all(apps);
}

void apps_may_leave(struct apps *apps)
{
    apps->may_leave = true;
}

static void free_if_empty(struct app *app)
{
    struct apps *apps = app->apps;

    if (!list_empty(&app->instances) || !list_empty(&app->retiring) || app->rollout != NULL)
        return;
    app_free(app);
    apps_leave_if_empty(apps);
}

static bool app_has_process(const struct app *app)
{
    const struct list *lists[] = {&app->instances, &app->retiring};

    for (size_t i = 0; i < COUNT(lists); i++) {
        list_each(it, keep, (struct list *)lists[i])
        {
            if (container_of(it, struct instance, link)->pid > 0)
                return true;
        }
    }
    return false;
}

void app_settled(struct instance *instance)
{
    struct app *app = instance->app;
    struct apps *apps = app->apps;

    if (app->rollout != NULL)
        rollout_on_settled(app->rollout, instance);
    /* nobody is there to accept: who connects must be refused, not left to wait; while it waits for
     * a restart, clients do */
    if (!app_has_process(app) && instance->state != STATE_WAITING)
        cluster_fini(&app->cluster);
    if (instance->free_after && instance->pid == 0) {
        instance_free(instance);
        app_changed(app);
        free_if_empty(app);
    } else {
        app_changed(app);
    }
    operations_check(apps);
    tell_if_idle(apps);
}

void app_remove(struct instance *instance)
{
    struct app *app = instance->app;

    instance->free_after = true;
    instance->start_again = false;
    if (instance->pid > 0) {
        instance_event(instance, EVENT_STOP);
        return;
    }
    instance_free(instance);
    app_changed(app);
    free_if_empty(app);
}

bool apps_idle(const struct apps *apps)
{
    list_each(it, keep, &apps->apps)
    {
        if (app_has_process(container_of(it, struct app, link)))
            return false;
    }
    return true;
}

void apps_stop_all(struct apps *apps)
{
    apps->stopping = true;
    list_each(it, keep, &apps->apps)
    {
        struct app *app = container_of(it, struct app, link);

        rollout_free(app->rollout);
        app->rollout = NULL;
        deadline_disarm(&app->schedule);
        watch_free(app->watch);
        app->watch = NULL;
        list_each(one, next, &app->instances)
            instance_event(container_of(one, struct instance, link), EVENT_STOP);
        follow_end_drains(app);
    }
    tell_if_idle(apps);
}

void apps_reopen_logs(struct apps *apps)
{
    sinks_reopen(&apps->sinks);
}

bool apps_know_pid(const struct apps *apps, pid_t pid)
{
    list_each(it, keep, &apps->apps)
    {
        const struct app *app = container_of(it, struct app, link);
        const struct list *lists[] = {&app->instances, &app->retiring};

        for (size_t i = 0; i < COUNT(lists); i++) {
            list_each(one, next, (struct list *)lists[i])
            {
                const struct instance *instance = container_of(one, struct instance, link);

                if (instance->pid == pid || instance->probe.pid == pid || instance->live.pid == pid)
                    return true;
            }
        }
    }
    return sinks_know_pid(&apps->sinks, pid);
}
