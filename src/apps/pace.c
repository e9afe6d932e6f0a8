/* Apps at the pace of what is asked of them: asleep when nobody asks, more instances when many do.
 * Looked at every second. Runs in: runner's loop. */
#include "apps/apps_internal.h"
#include "apps/scale.h"
#include "base/log.h"

#include <unistd.h>

enum { BUSY_PERCENT = 90 };

static int cpu_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count < 1 ? 1 : (int)count;
}

bool app_has_pace(const struct app *app)
{
    int min;
    int max;

    return app->spec->idle_timeout_ms > 0 ||
           (app->spec->instances != NULL &&
            spec_instance_range(app->spec->instances, cpu_count(), &min, &max) && min < max);
}

/* Are the CPUs full of apps already? */
static bool cpus_are_busy(const struct apps *apps)
{
    double percent = 0;

    list_each(it, keep, (struct list *)&apps->apps)
    {
        const struct app *app = container_of(it, struct app, link);

        list_each(one, next, (struct list *)&app->instances)
        {
            const struct instance *instance = container_of(one, struct instance, link);

            percent += instance->pid > 0 ? instance->cpu_percent : 0;
        }
    }
    return percent >= BUSY_PERCENT * (double)cpu_count();
}

static struct scale_sample sample(const struct app *app)
{
    struct app_load load = follow_load(app);
    struct scale_sample sample = {.now_ms = loop_now_ms(app->apps->loop),
                                  .requests = load.requests,
                                  .active = load.active,
                                  .waiting = load.waiting,
                                  .queue_us = load.queue_us,
                                  .cpus_busy = cpus_are_busy(app->apps),
                                  .is_watched = !list_empty(&app->apps->followers)};

    list_each(it, keep, (struct list *)&app->instances)
    {
        const struct instance *instance = container_of(it, struct instance, link);

        sample.count += !instance->free_after;
        sample.ready += instance->state == STATE_ONLINE;
    }
    return sample;
}

static void say(const struct app *app, const char *what)
{
    log_write(app->apps->log, LOG_LEVEL_NOTICE, 0, "app %s: %s", app->name, what);
}

static void sleep_now(struct app *app)
{
    say(app, "nobody asks for it: stopped until somebody does");
    list_each(it, keep, &app->instances)
    {
        struct instance *instance = container_of(it, struct instance, link);

        app->idle = true; /* before each event: followers are told of it there */
        instance_event(instance, EVENT_STOP);
    }
}

static void grow(struct app *app)
{
    struct instance *instance = app_add(app);

    if (instance == NULL)
        return;
    say(app, "requests queue: one instance more");
    instance_event(instance, EVENT_START);
}

void app_pace(struct app *app)
{
    const struct app_spec *spec = app->spec;
    struct scale_bounds bounds = {.min = 1,
                                  .max = 1,
                                  .per_instance = (unsigned)spec->scale_up_at,
                                  .quiet_ms = spec->scale_down_after_ms,
                                  .idle_ms = spec->idle_timeout_ms};
    struct scale_sample now = sample(app);
    int min;
    int max;

    if (app->rollout != NULL || app->idle || now.count == 0)
        return;
    bounds.min = bounds.max = now.count;
    if (spec->instances != NULL && spec_instance_range(spec->instances, cpu_count(), &min, &max) &&
        min < max) {
        bounds.min = (unsigned)min;
        bounds.max = (unsigned)max;
    }
    switch (scale_decide(&bounds, &now, &app->scale)) {
    case SCALE_SLEEP:
        sleep_now(app);
        break;
    case SCALE_GROW:
        grow(app);
        break;
    case SCALE_SHRINK:
        say(app, "one instance less does");
        app_remove(app_highest(app));
        break;
    case SCALE_STAY:
        break;
    }
}
