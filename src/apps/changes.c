/* What commands do to whole apps: start a new one, replace its instances, give it more or fewer.
 * Runs in: runner's loop. */
#include "apps/apps_internal.h"

#include <unistd.h>

/* `have`: of a range, what there is already is kept. */
static int fitting(const struct app_spec *spec, int have)
{
    int min = 1;
    int max = 1;

    if (spec->instances != NULL)
        spec_instance_range(spec->instances, (int)sysconf(_SC_NPROCESSORS_ONLN), &min, &max);
    return have < min ? min : have > max ? max : have;
}

int app_wanted_count(const struct app_spec *spec)
{
    return fitting(spec, 0);
}

bool app_fits(const struct app *app, const struct app_spec *spec)
{
    return app_living(app) == fitting(spec, app_living(app));
}

bool app_fit(struct operation *operation, struct app *app)
{
    return app_resize(operation, app, fitting(app->spec, app_living(app)));
}

struct app *app_start_new(struct apps *apps, struct operation *operation, struct app_spec *spec)
{
    struct app *app = app_new(apps, spec);
    int count = app_wanted_count(spec);

    if (app == NULL)
        return NULL;
    for (int i = 0; i < count; i++) {
        struct instance *instance = app_add(app);

        if (instance == NULL)
            return NULL;
        if (spec->autostart && !operation_add(operation, instance))
            return NULL;
    }
    app->idle = !spec->autostart;
    if (app->idle) {
        app_changed(app); /* else what is told first is that it starts */
        return app;
    }
    list_each(it, keep, &app->instances)
        instance_event(container_of(it, struct instance, link), EVENT_START);
    return app;
}

bool app_add_started(struct operation *operation, struct app *app)
{
    struct instance *instance = app_add(app);

    if (instance == NULL || !operation_add(operation, instance))
        return false;
    instance_event(instance, EVENT_START);
    return true;
}

bool app_replace(struct operation *operation, struct app *app, unsigned parallel)
{
    if (app->rollout != NULL)
        return false;
    if ((app_overlaps(app) || app_count(app) > 1) && rollout_start(app, parallel) != NULL)
        return operation_add_rollout(operation, app->rollout);
    list_each(it, keep, &app->instances)
    {
        if (!operation_add(operation, container_of(it, struct instance, link)))
            return false;
    }
    list_each(one, next, &app->instances)
        instance_event(container_of(one, struct instance, link), EVENT_RESTART);
    return true;
}

struct instance *app_highest(const struct app *app)
{
    struct instance *found = NULL;

    list_each(it, keep, &app->instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        if (!instance->free_after && (found == NULL || instance->index > found->index))
            found = instance;
    }
    return found;
}

int app_living(const struct app *app)
{
    int count = 0;

    list_each(it, keep, &app->instances)
        count += !container_of(it, struct instance, link)->free_after;
    return count;
}

bool app_resize(struct operation *operation, struct app *app, int count)
{
    bool good = true;

    while (good && app_living(app) < count)
        good = app_add_started(operation, app);
    while (app_living(app) > count && app_living(app) > 1)
        app_remove(app_highest(app));
    return good;
}
