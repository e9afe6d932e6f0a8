/* Telling balancers where apps can be reached, and hearing how busy they are.
 *
 * What is told of an app is one line of JSON, with a version that grows with each change. A
 * balancer says with its reports which version it goes by, so that "nothing runs on it" is believed
 * only of one that knows that nothing new may run there. Runs in: runner's loop. */
#include "apps/apps_internal.h"
#include "base/log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GRACE_MS = 300,     /* for reports of who does not say which version it goes by */
    ACTIVES_MAX = 4096, /* more instances than that has no app */
};

struct active { /* on one instance */
    unsigned serial;
    unsigned requests;          /* under way, tunnels too */
    unsigned tunnels;           /* WebSockets among them */
    uint64_t answered, busy_us; /* in all, as the follower counts */
};

/* What one follower has said of one app. */
struct load {
    struct list link; /* in follower->loads */
    struct app *app;
    uint64_t version;
    struct app_load sum;
    struct active *actives; /* owned, by serial */
    size_t count;
};

struct follower {
    struct list link; /* in apps->followers */
    struct apps *apps;
    struct apps_listener listener;
    struct list loads;
    uint64_t since_ms;
};

/* ---- what is told */

bool spec_has_address(const struct app_spec *spec)
{
    return spec->socket || spec->balance;
}

/* One that all instances share belongs to the first of them. */
static bool write_address(const struct instance *instance, bool *shared, char *out, size_t bytes)
{
    *shared = !spec_has_address(instance->spec);
    if (instance->socket != NULL)
        return snprintf(out, bytes, "unix:%s", instance->socket) < (int)bytes;
    if (instance->port == 0)
        return false;
    return snprintf(out, bytes, "%s:%d", instance->six ? "[::1]" : "127.0.0.1", instance->port) <
           (int)bytes;
}

static void tell_instance(json_t *list, const struct instance *instance, bool *shared_is_told)
{
    char address[160];
    bool shared;

    if (instance->state != STATE_ONLINE && !instance->draining)
        return;
    if (!write_address(instance, &shared, address, sizeof address) || (shared && *shared_is_told))
        return;
    *shared_is_told = *shared_is_told || shared;
    json_array_append_new(list,
                          json_pack("{s:i, s:s, s:s}", "id", (int)instance->serial, "address",
                                    address, "state", instance->draining ? "draining" : "ready"));
}

static json_t *tell_instances(const struct app *app)
{
    json_t *list = json_array();
    bool shared_is_told = false;

    list_each(it, keep, (struct list *)&app->instances)
        tell_instance(list, container_of(it, struct instance, link), &shared_is_told);
    list_each(old, keep_old, (struct list *)&app->retiring)
        tell_instance(list, container_of(old, struct instance, link), &shared_is_told);
    return list;
}

struct census {
    unsigned living, ready, coming;
    struct instance *dead; /* the first one that has a reason */
};

static void count(struct instance *instance, struct census *census)
{
    census->living += !instance->free_after;
    census->ready += instance->state == STATE_ONLINE;
    census->coming += instance->state == STATE_STARTING || instance->state == STATE_WAITING ||
                      instance->start_again;
    /* what is being stopped has nothing to explain, whatever it died of before */
    if (census->dead == NULL && instance->reason[0] != '\0' && instance->state != STATE_STOPPING)
        census->dead = instance;
}

static const char *status_of(const struct app *app, const struct census *census, size_t reachable)
{
    if (census->ready > 0)
        return reachable > 0 ? "online" : "failed";
    if (census->coming > 0 || app->rollout != NULL)
        return "starting";
    return app->idle ? "idle" : "failed";
}

static const char *last_line(const char *lines)
{
    const char *last = strrchr(lines, '\n');

    if (last != NULL && last[1] == '\0') /* it ends a line */
        last = memrchr(lines, '\n', (size_t)(last - lines));
    return last == NULL ? lines : last + 1;
}

/* What the balancer's error log will say: what it died of, how large it was, its last word. */
static json_t *why_dead(struct instance *instance)
{
    char *tail = report_tail(instance, true);
    const char *last = tail == NULL ? "" : last_line(tail);
    json_t *text = json_sprintf("instance %d: %s%s%.*s%s", instance->id, instance->reason,
                                last[0] == '\0' ? "" : ": \"", (int)strcspn(last, "\n"), last,
                                last[0] == '\0' ? "" : "\"");

    if (instance->end_peak_bytes > 0 && text != NULL) {
        json_t *with_memory = json_sprintf("%s, with at most %.1f MB of memory",
                                           json_string_value(text),
                                           (double)instance->end_peak_bytes / 1048576);

        json_decref(text);
        text = with_memory;
    }
    free(tail);
    return text;
}

static json_t *reason_of(const struct census *census)
{
    if (census->ready > 0)
        return json_string(
            "it has no address of its own: start it with --balance, --socket or a --port");
    return census->dead == NULL ? json_string("it was stopped") : why_dead(census->dead);
}

static json_t *describe(const struct app *app)
{
    struct census census = {.living = 0};
    json_t *instances = tell_instances(app);
    const char *status;
    json_t *line;

    list_each(it, keep, (struct list *)&app->instances)
        count(container_of(it, struct instance, link), &census);
    status = status_of(app, &census, json_array_size(instances));
    line = json_pack("{s:s, s:s, s:i, s:o}", "app", app->name, "status", status, "desired",
                     (int)census.living, "instances", instances);
    if (strcmp(status, "failed") == 0)
        json_object_set_new(line, "reason", reason_of(&census));
    return line;
}

static char *as_line(json_t *object)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    size_t len = text == NULL ? 0 : strlen(text);
    char *line = text == NULL ? NULL : realloc(text, len + 2);

    if (line != NULL)
        memcpy(line + len, "\n", 2);
    json_decref(object);
    return line;
}

static void tell(const struct follower *follower, const char *line)
{
    if (line != NULL)
        follower->listener.tell(follower->listener.context, slice_of(line));
}

/* From now on a report with this version means that nothing new comes to who is draining. */
static void note_version(struct list *instances, uint64_t version)
{
    list_each(it, keep, instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        if (instance->draining && instance->drain_version == 0)
            instance->drain_version = version;
    }
}

static char *versioned(struct app *app, json_t *line)
{
    json_object_set_new(line, "version", json_integer((json_int_t)app->version));
    return as_line(line);
}

void follow_changed(struct app *app)
{
    struct apps *apps = app->apps;
    json_t *now;
    char *line;

    if (list_empty(&apps->followers)) { /* whoever comes is told all of it */
        json_decref(app->told);
        app->told = NULL;
        return;
    }
    now = describe(app);
    if (now == NULL || (app->told != NULL && json_equal(app->told, now))) {
        json_decref(now);
        return;
    }
    json_decref(app->told);
    app->told = json_copy(now); /* what is in it changes no more */
    app->version = ++apps->version;
    note_version(&app->instances, app->version);
    note_version(&app->retiring, app->version);
    line = versioned(app, now);
    list_each(it, keep, &apps->followers) tell(container_of(it, struct follower, link), line);
    free(line);
}

/* ---- draining */

static const struct load *find_load(const struct follower *follower, const struct app *app)
{
    list_each(it, keep, (struct list *)&follower->loads)
    {
        const struct load *load = container_of(it, struct load, link);

        if (load->app == app)
            return load;
    }
    return NULL;
}

static int by_serial(const void *a, const void *b)
{
    const struct active *x = a;
    const struct active *y = b;

    return x->serial < y->serial ? -1 : x->serial > y->serial;
}

/* NULL: the follower does not know it. */
static const struct active *find_active(const struct load *load, const struct instance *instance)
{
    struct active wanted = {.serial = instance->serial};

    if (load->count == 0)
        return NULL;
    return bsearch(&wanted, load->actives, load->count, sizeof wanted, by_serial);
}

static unsigned active_on(const struct load *load, const struct instance *instance)
{
    const struct active *active = find_active(load, instance);

    return active == NULL ? 0 : active->requests;
}

enum use { USE_NONE, USE_PERHAPS, USE_TUNNELS, USE_SURE };

/* May something run on it? Who has never reported the app does not balance it, or has had no
 * request for it so far. */
static enum use use_of(const struct instance *instance)
{
    enum use use = USE_NONE;

    list_each(it, keep, &instance->app->apps->followers)
    {
        const struct load *load = find_load(container_of(it, struct follower, link), instance->app);
        const struct active *active = load == NULL ? NULL : find_active(load, instance);

        if (active != NULL && active->requests > active->tunnels)
            return USE_SURE;
        if (active != NULL && active->tunnels > 0)
            use = USE_TUNNELS;
        else if (use == USE_NONE && (load == NULL || instance->drain_version == 0 ||
                                     load->version < instance->drain_version))
            use = USE_PERHAPS;
    }
    return use;
}

/* The timer of a draining instance is the end of its budget, or comes when nothing runs on it. */
static void set_timer(struct instance *instance)
{
    struct loop *loop = instance->app->apps->loop;
    uint64_t now_ms = loop_now_ms(loop);
    uint64_t end_ms = instance->drain_until_ms;
    enum use use = instance->drain_blind ? USE_SURE : use_of(instance);

    if (use == USE_SURE || use == USE_TUNNELS)
        instance->unused_ms = 0;
    else if (instance->unused_ms == 0)
        instance->unused_ms = now_ms;
    if (use == USE_PERHAPS && instance->unused_ms + GRACE_MS < end_ms)
        end_ms = instance->unused_ms + GRACE_MS;
    if (use == USE_TUNNELS && instance->tunnels_until_ms < end_ms)
        end_ms = instance->tunnels_until_ms;
    if (use == USE_NONE)
        end_ms = now_ms;
    deadline_arm(loop, &instance->timer, end_ms > now_ms ? end_ms - now_ms : 1);
}

bool follow_drain(struct instance *instance)
{
    struct apps *apps = instance->app->apps;

    if (apps->stopping || list_empty(&apps->followers) || !spec_has_address(instance->spec) ||
        instance->state != STATE_ONLINE)
        return false;
    instance->draining = true;
    instance->drain_version = 0;
    instance->drain_blind = false;
    instance->unused_ms = 0;
    instance->drain_until_ms = loop_now_ms(apps->loop) + instance->spec->drain_timeout_ms;
    instance->tunnels_until_ms = loop_now_ms(apps->loop) +
                                 instance->spec->drain_websocket_timeout_ms;
    set_timer(instance);
    return true;
}

static void set_timers(struct list *instances)
{
    list_each(it, keep, instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        if (instance->draining)
            set_timer(instance);
    }
}

void follow_end_drains(struct app *app)
{
    struct list *lists[] = {&app->instances, &app->retiring};

    for (size_t i = 0; i < COUNT(lists); i++) {
        list_each(it, keep, lists[i])
        {
            struct instance *instance = container_of(it, struct instance, link);

            if (instance->draining)
                instance_event(instance, EVENT_PATIENCE);
        }
    }
}

/* ---- what is heard */

static struct load *load_of(struct follower *follower, struct app *app)
{
    struct load *load = (struct load *)find_load(follower, app);

    if (load != NULL)
        return load;
    load = calloc(1, sizeof *load);
    if (load == NULL)
        return NULL;
    load->app = app;
    list_push_back(&follower->loads, &load->link);
    return load;
}

static void load_free(struct load *load)
{
    list_remove(&load->link);
    free(load->actives);
    free(load);
}

static uint64_t number_of(json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));

    return value > 0 ? (uint64_t)value : 0;
}

static uint64_t number_at(json_t *list, size_t index)
{
    json_int_t value = json_integer_value(json_array_get(list, index));

    return value > 0 ? (uint64_t)value : 0;
}

static void take_actives(struct load *load, json_t *line)
{
    json_t *object = json_object_get(line, "active");
    json_t *answered = json_object_get(line, "answered");
    json_t *tunnels = json_object_get(line, "tunnels");
    size_t room = json_object_size(object);
    const char *name;
    json_t *value;

    free(load->actives);
    load->count = 0;
    load->sum.active = 0;
    load->actives = room == 0 || room > ACTIVES_MAX ? NULL : calloc(room, sizeof *load->actives);
    if (load->actives == NULL)
        return;
    json_object_foreach(object, name, value)
    {
        json_int_t requests = json_integer_value(value);
        json_int_t open = json_integer_value(json_object_get(tunnels, name));
        json_t *pair = json_object_get(answered, name);

        if (requests < 0 || requests > INT_MAX)
            continue;
        load->actives[load->count++] = (struct active){
            .serial = (unsigned)strtoul(name, NULL, 10),
            .requests = (unsigned)requests,
            .tunnels = open > 0 && open <= requests ? (unsigned)open : 0,
            .answered = number_at(pair, 0),
            .busy_us = number_at(pair, 1)};
        load->sum.active += (uint64_t)requests;
    }
    qsort(load->actives, load->count, sizeof *load->actives, by_serial);
}

/* What has been answered since the follower's last report. Its counters fall when one of its
 * workers has gone. What it says first of an instance that is older than our acquaintance may have
 * been told to the program before us. */
static void count_answered(const struct follower *follower, struct list *instances,
                           const struct load *before, const struct load *load)
{
    list_each(it, keep, instances)
    {
        struct instance *instance = container_of(it, struct instance, link);
        const struct active *then = find_active(before, instance);
        const struct active *now = find_active(load, instance);
        uint64_t answered = then == NULL ? 0 : then->answered;
        uint64_t busy_us = then == NULL ? 0 : then->busy_us;

        if (now == NULL || (then == NULL && instance->started_ms <= follower->since_ms))
            continue;
        if (now->answered > answered && now->busy_us >= busy_us)
            rate_add(&instance->rate, now->answered - answered, now->busy_us - busy_us,
                     loop_now_ms(instance->app->apps->loop));
    }
}

static void hear_load(struct follower *follower, struct app *app, json_t *line)
{
    struct load *load = load_of(follower, app);
    struct load before;

    if (load == NULL)
        return;
    before = *load;
    load->actives = NULL;
    load->version = number_of(line, "version");
    load->sum.requests = number_of(line, "requests");
    load->sum.waiting = number_of(line, "waiting");
    load->sum.queue_us = number_of(line, "queue_us");
    take_actives(load, line);
    count_answered(follower, &app->instances, &before, load);
    count_answered(follower, &app->retiring, &before, load);
    free(before.actives);
    set_timers(&app->instances);
    set_timers(&app->retiring);
}

void follower_hear(struct follower *follower, json_t *line)
{
    const char *what = json_string_value(json_object_get(line, "do"));
    const char *name = json_string_value(json_object_get(line, "app"));
    struct app *app = name == NULL ? NULL : app_find(follower->apps, name);

    if (what == NULL || app == NULL)
        return;
    if (strcmp(what, "load") == 0)
        hear_load(follower, app, line);
    else if (strcmp(what, "wake") == 0)
        app_wake(app);
}

struct app_load follow_load(const struct app *app)
{
    struct app_load sum = {.requests = 0};

    list_each(it, keep, &app->apps->followers)
    {
        const struct load *load = find_load(container_of(it, struct follower, link), app);

        if (load == NULL)
            continue;
        sum.requests += load->sum.requests;
        sum.waiting += load->sum.waiting;
        sum.active += load->sum.active;
        if (sum.queue_us < load->sum.queue_us)
            sum.queue_us = load->sum.queue_us;
    }
    return sum;
}

/* ---- followers */

/* Whoever knew apps from before drops those that were not told. */
static void tell_end(const struct follower *follower, size_t told)
{
    char line[64];

    snprintf(line, sizeof line, "{\"apps\":%zu}\n", told);
    tell(follower, line);
}

struct follower *apps_follow(struct apps *apps, const struct apps_listener *listener)
{
    struct follower *follower = calloc(1, sizeof *follower);
    size_t told = 0;

    if (follower == NULL)
        return NULL;
    follower->apps = apps;
    follower->listener = *listener;
    follower->since_ms = loop_now_ms(apps->loop);
    list_init(&follower->loads);
    list_push_back(&apps->followers, &follower->link);
    list_each(it, keep, &apps->apps)
    {
        struct app *app = container_of(it, struct app, link);
        char *line = versioned(app, describe(app));

        tell(follower, line);
        free(line);
        told++;
    }
    tell_end(follower, told);
    return follower;
}

/* What was on its way through it may still be: then only the budget ends the waiting. */
static void leave(struct load *load)
{
    struct list *lists[] = {&load->app->instances, &load->app->retiring};

    for (size_t i = 0; i < COUNT(lists); i++) {
        list_each(it, keep, lists[i])
        {
            struct instance *instance = container_of(it, struct instance, link);

            if (instance->draining && active_on(load, instance) > 0)
                instance->drain_blind = true;
        }
    }
}

void apps_unfollow(struct follower *follower)
{
    list_remove(&follower->link);
    list_each(it, keep, &follower->loads)
    {
        struct load *load = container_of(it, struct load, link);
        struct app *app = load->app;

        leave(load);
        load_free(load);
        set_timers(&app->instances);
        set_timers(&app->retiring);
    }
    free(follower);
}

void follow_gone(struct app *app)
{
    char *line = as_line(json_pack("{s:s, s:s, s:i, s:[], s:I}", "app", app->name, "status", "gone",
                                   "desired", 0, "instances", "version",
                                   (json_int_t)++app->apps->version));

    list_each(it, keep, &app->apps->followers)
    {
        struct follower *follower = container_of(it, struct follower, link);
        struct load *load = (struct load *)find_load(follower, app);

        if (load != NULL)
            load_free(load);
        tell(follower, line);
    }
    free(line);
}

void followers_end(struct apps *apps)
{
    list_each(it, keep, &apps->followers)
    {
        struct follower *follower = container_of(it, struct follower, link);
        struct apps_listener listener = follower->listener;

        apps_unfollow(follower);
        listener.ended(listener.context);
    }
}
