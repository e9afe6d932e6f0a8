/* The life of an instance: what happens in which state is one table. Runs in: master's loop. */
#include "apps/apps_internal.h"
#include "apps/policy.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { TRY_AGAIN_MS = 1000 };

static void on_timer(struct deadline *deadline);

struct instance *instance_new(struct app *app, int id, int index)
{
    struct instance *instance = calloc(1, sizeof *instance);

    if (instance == NULL)
        return NULL;
    *instance = (struct instance){.app = app,
                                  .spec = spec_ref(app->spec),
                                  .id = id,
                                  .index = index,
                                  .process = {.fd = -1},
                                  .input = -1,
                                  .pressure = -1,
                                  .channel = {.io = {.fd = -1}},
                                  .timer = {.on_expire = on_timer}};
    instance->created_wall_ms = loop_clock(app->apps->loop)->wall_ms;
    instance->created_ms = loop_now_ms(app->apps->loop);
    list_push_back(&app->instances, &instance->link);
    return instance;
}

void instance_free(struct instance *instance)
{
    if (instance == NULL)
        return;
    if (instance->pid > 0) {
        process_kill(instance);
        while (waitpid(instance->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    process_forget(instance);
    deadline_disarm(&instance->timer);
    list_remove(&instance->link);
    operations_forget(instance->app->apps, instance);
    if (instance->app->rollout != NULL)
        rollout_on_gone(instance->app->rollout, instance);
    spec_unref(instance->spec);
    apps_drop_group(instance->app->apps, instance->group);
    free(instance->socket);
    free(instance);
}

static void say(const struct instance *instance, enum log_level level, const char *what)
{
    log_write(instance->app->apps->log, level, 0, "app %s (%d): %s", instance->app->name,
              instance->id, what);
}

/* Each start takes the app's newest spec. */
static void take_spec(struct instance *instance)
{
    struct app_spec *spec = spec_ref(instance->app->spec);

    spec_unref(instance->spec);
    instance->spec = spec;
}

static enum instance_state wait_for(struct instance *instance, uint64_t delay_ms)
{
    instance->delay_ms = delay_ms;
    deadline_arm(instance->app->apps->loop, &instance->timer, delay_ms);
    return STATE_WAITING;
}

static enum instance_state become_online(struct instance *instance)
{
    say(instance, LOG_LEVEL_INFO, "online");
    process_watch_life(instance);
    return STATE_ONLINE;
}

static uint64_t ready_timeout_ms(const struct instance *instance)
{
    return instance->trial ? instance->spec->trial_timeout_ms : instance->spec->listen_timeout_ms;
}

static enum instance_state start(struct instance *instance)
{
    struct loop *loop = instance->app->apps->loop;
    bool waits;

    if (instance->app->apps->stopping)
        return STATE_STOPPED;
    take_spec(instance);
    instance->app->idle = false;
    instance->runs++;
    instance->sampled_ms = 0;
    instance->rss_bytes = 0;
    instance->too_large = 0;
    instance->hung = 0;
    instance->outlived = false;
    instance->cpu_percent = 0;
    instance->started_ms = loop_now_ms(loop);
    instance->started_wall_ms = loop_clock(loop)->wall_ms;
    if (!process_start(instance)) {
        bool passing = errno == EAGAIN || errno == ENOMEM || errno == EMFILE;

        say(instance, LOG_LEVEL_ERROR, instance->reason);
        return passing && !instance->trial ? wait_for(instance, TRY_AGAIN_MS) : STATE_ERRORED;
    }
    /* a worker of a cluster that listens must do so too; one that never does is ready at once */
    waits = instance->spec->ready_kind != READY_SPAWNED ||
            (instance->trial && spec_is_cluster(instance->spec) &&
             cluster_listens(&instance->app->cluster));
    if (!waits)
        return become_online(instance);
    deadline_arm(loop, &instance->timer, ready_timeout_ms(instance));
    return STATE_STARTING;
}

/* Somebody wants it: what was held against it is forgotten. */
static enum instance_state start_fresh(struct instance *instance)
{
    instance->unstable = 0;
    instance->backoff_ms = 0;
    instance->crash_level = 0;
    instance->crashed_ms = 0;
    instance->created_ms = loop_now_ms(instance->app->apps->loop);
    instance->reason[0] = '\0';
    return start(instance);
}

static enum instance_state restart_fresh(struct instance *instance)
{
    instance->restarts++;
    return start_fresh(instance);
}

static void describe_end(struct instance *instance)
{
    if (instance->exit_signal > 0)
        snprintf(instance->reason, sizeof instance->reason, "ended by SIG%s",
                 sigabbrev_np(instance->exit_signal) == NULL ? "RT"
                                                             : sigabbrev_np(instance->exit_signal));
    else
        snprintf(instance->reason, sizeof instance->reason, "exited with code %d",
                 instance->exit_code);
}

static enum policy_verdict decide(struct instance *instance, const char **why)
{
    struct policy_end end = {.spec = instance->spec,
                             .exit_code = instance->exit_code,
                             .was_ready = instance->state == STATE_ONLINE,
                             .now_ms = loop_now_ms(instance->app->apps->loop),
                             .started_ms = instance->started_ms,
                             .created_ms = instance->created_ms};
    struct policy_memory memory = {.unstable = instance->unstable,
                                   .backoff_ms = instance->backoff_ms,
                                   .crash_level = instance->crash_level,
                                   .crashed_ms = instance->crashed_ms};
    enum policy_verdict verdict = policy_decide(&end, &memory, &instance->delay_ms, why);

    instance->unstable = memory.unstable;
    instance->backoff_ms = memory.backoff_ms;
    instance->crash_level = memory.crash_level;
    instance->crashed_ms = memory.crashed_ms;
    return verdict;
}

/* It ended by itself. */
static enum instance_state ended(struct instance *instance)
{
    char before[REASON_BYTES];
    const char *why = NULL;
    enum policy_verdict verdict = decide(instance, &why);

    instance->end_started_wall_ms = instance->started_wall_ms;
    instance->end_wall_ms = loop_clock(instance->app->apps->loop)->wall_ms;
    instance->end_peak_bytes = instance->peak_bytes;
    if (!instance->killed) /* else the reason is why we killed it */
        describe_end(instance);
    say(instance, LOG_LEVEL_NOTICE, instance->reason);
    if (instance->trial)
        return STATE_ERRORED;
    if (verdict == POLICY_STOP)
        return STATE_STOPPED;
    if (verdict == POLICY_GIVE_UP) {
        memcpy(before, instance->reason, sizeof before);
        snprintf(instance->reason, sizeof instance->reason, "%.90s: %s", before, why);
        say(instance, LOG_LEVEL_ERROR, why);
        return STATE_ERRORED;
    }
    instance->restarts++;
    if (instance->delay_ms > 0)
        return wait_for(instance, instance->delay_ms);
    return start(instance);
}

/* pm2's wait_ready goes on without the message; what was said to be the condition does not. */
static enum instance_state late(struct instance *instance)
{
    if (instance->spec->wait_ready && instance->spec->ready == NULL && !instance->trial) {
        say(instance, LOG_LEVEL_WARN, "did not say that it is ready in time, taken as online");
        return become_online(instance);
    }
    snprintf(instance->reason, sizeof instance->reason, "not ready within %llu ms",
             (unsigned long long)ready_timeout_ms(instance));
    process_kill(instance);
    return STATE_STARTING; /* its end follows */
}

static enum instance_state stop(struct instance *instance)
{
    ready_end(&instance->live);
    if (!follow_drain(instance))
        process_ask_to_stop(instance);
    return STATE_STOPPING;
}

static enum instance_state stop_and_again(struct instance *instance)
{
    instance->start_again = true;
    return stop(instance);
}

static enum instance_state again(struct instance *instance)
{
    instance->start_again = true;
    return STATE_STOPPING;
}

static enum instance_state not_again(struct instance *instance)
{
    instance->start_again = false;
    return STATE_STOPPING;
}

static enum instance_state lose_patience(struct instance *instance)
{
    if (instance->disconnecting || instance->draining) {
        instance->disconnecting = false;
        instance->draining = false;
        process_ask_to_stop(instance);
        return STATE_STOPPING;
    }
    say(instance, LOG_LEVEL_WARN, "does not stop, killing it");
    process_kill(instance);
    /* what cannot be killed now (it waits for a disk) is tried again */
    deadline_arm(instance->app->apps->loop, &instance->timer, TRY_AGAIN_MS);
    return STATE_STOPPING;
}

static enum instance_state has_stopped(struct instance *instance)
{
    bool wanted = instance->start_again;
    bool replaced = instance->replaced;

    instance->start_again = false;
    instance->replaced = false;
    if (wanted && replaced) {
        instance->restarts++;
        return start(instance);
    }
    instance->reason[0] = '\0';
    return wanted ? restart_fresh(instance) : STATE_STOPPED;
}

static enum instance_state rest(struct instance *instance)
{
    (void)instance;
    return STATE_STOPPED;
}

static enum instance_state (*const table[STATE_COUNT][EVENT_COUNT])(struct instance *) = {
    [STATE_STOPPED] = {[EVENT_START] = start_fresh, [EVENT_RESTART] = restart_fresh},
    [STATE_ERRORED] =
        {[EVENT_START] = start_fresh, [EVENT_RESTART] = restart_fresh, [EVENT_STOP] = rest},
    [STATE_WAITING] = {[EVENT_START] = start_fresh,
                       [EVENT_RESTART] = restart_fresh,
                       [EVENT_STOP] = rest,
                       [EVENT_DELAY] = start},
    [STATE_STARTING] = {[EVENT_READY] = become_online,
                        [EVENT_LATE] = late,
                        [EVENT_STOP] = stop,
                        [EVENT_RESTART] = stop_and_again,
                        [EVENT_EXIT] = ended},
    [STATE_ONLINE] = {[EVENT_STOP] = stop, [EVENT_RESTART] = stop_and_again, [EVENT_EXIT] = ended},
    [STATE_STOPPING] = {[EVENT_START] = again,
                        [EVENT_RESTART] = again,
                        [EVENT_STOP] = not_again,
                        [EVENT_PATIENCE] = lose_patience,
                        [EVENT_EXIT] = has_stopped},
};

static const struct {
    const char *name;                 /* pm2's word */
    enum instance_event when_expired; /* what the timer means */
} states[STATE_COUNT] = {
    [STATE_STOPPED] = {"stopped", EVENT_COUNT},
    [STATE_WAITING] = {"waiting restart", EVENT_DELAY},
    [STATE_STARTING] = {"launching", EVENT_LATE},
    [STATE_ONLINE] = {"online", EVENT_COUNT},
    [STATE_STOPPING] = {"stopping", EVENT_PATIENCE},
    [STATE_ERRORED] = {"errored", EVENT_COUNT},
};

const char *instance_state_name(enum instance_state state)
{
    return states[state].name;
}

bool instance_has_process(const struct instance *instance)
{
    return instance->pid > 0;
}

static void on_timer(struct deadline *deadline)
{
    struct instance *instance = container_of(deadline, struct instance, timer);

    assert(states[instance->state].when_expired != EVENT_COUNT);
    instance_event(instance, states[instance->state].when_expired);
}

void instance_event(struct instance *instance, enum instance_event event)
{
    enum instance_state (*action)(struct instance *) = table[instance->state][event];

    if (action == NULL)
        return;
    if (instance->free_after && (event == EVENT_START || event == EVENT_RESTART))
        return; /* it is on its way out */
    /* a stop that goes on keeps its deadline */
    if (instance->state != STATE_STOPPING || event == EVENT_PATIENCE || event == EVENT_EXIT)
        deadline_disarm(&instance->timer);
    instance->state = action(instance);
    assert((instance->pid > 0) ==
           (instance->state == STATE_STARTING || instance->state == STATE_ONLINE ||
            instance->state == STATE_STOPPING));
    app_settled(instance); /* may free `instance` */
}

void instance_replace(struct instance *instance, const char *why)
{
    struct app *app = instance->app;

    if (instance->state != STATE_ONLINE || app->rollout != NULL)
        return;
    snprintf(instance->reason, sizeof instance->reason, "%s", why);
    say(instance, LOG_LEVEL_NOTICE, why);
    /* if the successor does not become ready, this one stays, and goes first the next time */
    if (app_overlaps(app) && !instance->outlived) {
        instance->outlived = true;
        if (rollout_start_one(instance) != NULL)
            return;
    }
    instance->replaced = true;
    instance_event(instance, EVENT_RESTART);
}
