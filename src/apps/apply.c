/* Making the apps of one source (a balancer's configuration file) be as it says: what is new is
 * started, what has another description is replaced instance by instance, what is not named any
 * more is removed, and what is the same is left alone. Runs in: runner's loop. */
#include "apps/commands_internal.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wish {
    const struct ask *ask;
    const char *source;
    struct app_spec **specs; /* owned, one reference each */
    size_t count;
};

static bool is_of(const struct app *app, const char *source)
{
    return app->source != NULL && strcmp(app->source, source) == 0;
}

static bool is_wished(const struct wish *wish, const struct app *app)
{
    for (size_t i = 0; i < wish->count; i++) {
        if (strcmp(wish->specs[i]->name, app->name) == 0)
            return true;
    }
    return false;
}

/* The same but for how many there are? */
static bool differs_in_count_only(const struct app_spec *a, const struct app_spec *b)
{
    json_t *one = json_copy(a->source);
    json_t *other = json_copy(b->source);
    bool same;

    json_object_del(one, "instances");
    json_object_del(other, "instances");
    same = json_equal(one, other) == 1;
    json_decref(one);
    json_decref(other);
    return same;
}

static void start_errored(struct operation *operation, struct app *app)
{
    list_each(it, keep, &app->instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        if (instance->state != STATE_ERRORED || !operation_add(operation, instance))
            continue;
        instance_event(instance, EVENT_START);
    }
}

static void change(const struct wish *wish, struct operation *operation, struct app *app,
                   struct app_spec *spec)
{
    struct app_spec *before = spec_ref(app->spec);

    rollout_free(app->rollout); /* of a description that has been replaced meanwhile */
    if (json_equal(before->source, spec->source)) {
        start_errored(operation, app);
    } else if (app_living(app) > 0 && differs_in_count_only(before, spec)) {
        app_use_spec(app, spec);
        app_fit(operation, app);
    } else {
        log_write(app->apps->log, LOG_LEVEL_NOTICE, 0, "app %s: has another description",
                  app->name);
        app_use_spec(app, spec);
        app_replace(operation, app, ask_parallel(wish->ask));
        app_fit(operation, app);
    }
    spec_unref(before);
}

static void apply_one(const struct wish *wish, struct operation *operation, struct app_spec *spec)
{
    struct app *app = app_find(wish->ask->apps, spec->name);
    char text[512];

    if (app == NULL) {
        app = app_start_new(wish->ask->apps, operation, spec);
        if (app != NULL)
            app->source = strdup(wish->source);
        return;
    }
    if (is_of(app, wish->source)) {
        change(wish, operation, app, spec);
        return;
    }
    snprintf(text, sizeof text,
             "app \"%.128s\" is there already, from %.200s: delete it there, or rename one\n",
             app->name, app->source == NULL ? "the command line" : app->source);
    operation_fail(operation, text);
}

static void remove_app(struct operation *operation, struct app *app)
{
    struct instance *last = NULL;

    rollout_free(app->rollout);
    log_write(app->apps->log, LOG_LEVEL_NOTICE, 0, "app %s: %s does not name it any more",
              app->name, app->source);
    /* the app goes with its last instance: nothing of it is looked at afterwards */
    list_each(it, keep, &app->instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        operation_add_leaving(operation, instance);
        if (last != NULL)
            app_remove(last);
        last = instance;
    }
    if (last != NULL)
        app_remove(last);
}

static void remove_others(const struct wish *wish, struct operation *operation)
{
    list_each(it, keep, &wish->ask->apps->apps)
    {
        struct app *app = container_of(it, struct app, link);

        if (is_of(app, wish->source) && !is_wished(wish, app))
            remove_app(operation, app);
    }
}

/* All or none are understood. */
static bool parse(struct wish *wish, json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        wish->specs[i] = ask_spec(wish->ask, json_array_get(list, i));
        if (wish->specs[i] == NULL)
            return false;
        wish->count++;
    }
    return true;
}

static void apply(const struct wish *wish)
{
    const struct ask *ask = wish->ask;
    struct operation *operation = operation_new(ask->apps, GOAL_RUNNING, ask->answer, ask->context);

    if (operation == NULL) {
        ask_refuse(ask, "no memory");
        return;
    }
    remove_others(wish, operation);
    for (size_t i = 0; i < wish->count; i++)
        apply_one(wish, operation, wish->specs[i]);
    ask->apps->leave_if_empty = ask_flag(ask, "leave");
    operation_begin(operation);
}

void run_apply(struct ask *ask)
{
    json_t *list = json_object_get(ask->request, "apps");
    struct wish wish = {.ask = ask, .source = ask_text(ask, "source")};

    if (wish.source == NULL || !json_is_array(list) || ask->apps->stopping) {
        ask_refuse(ask, ask->apps->stopping ? "shutting down" : "no source, or no list of apps");
        return;
    }
    wish.specs = calloc(json_array_size(list) + 1, sizeof *wish.specs);
    if (wish.specs == NULL)
        ask_refuse(ask, "no memory");
    else if (parse(&wish, list))
        apply(&wish);
    for (size_t i = 0; i < wish.count; i++)
        spec_unref(wish.specs[i]);
    free(wish.specs);
    apps_leave_if_empty(ask->apps);
}
