/* What apps have to do, counted by all loops and told to the master by the first one: at most so
 * often, but at once when an instance that is to leave has nothing left to do. Runs in: worker, any
 * thread; on_*: first loop. */
#include "balance/nudge_internal.h"
#include "balance/roster_table_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    REPORT_EVERY_MS = 250,
    ASK_AGAIN_MS = 1000,
    EWMA_SHARE = 8, /* a new sample counts for an eighth */
};

void roster_report_soon(struct roster_app *app, bool urgent)
{
    bool news = !atomic_exchange_explicit(&app->changed, true, memory_order_acq_rel);

    if (urgent)
        news = !atomic_exchange_explicit(&app->urgent, true, memory_order_acq_rel) || news;
    if (news)
        nudge_send(app->roster->nudge);
}

/* Once per need: again only if nothing has come of it for a while, as it may have been lost with a
 * runner that ended. */
void roster_report_wanted(struct roster_app *app)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t asked_ms = atomic_load_explicit(&app->asked_ms, memory_order_relaxed);

    if ((asked_ms != 0 && now_ms < asked_ms + ASK_AGAIN_MS) ||
        !atomic_compare_exchange_strong(&app->asked_ms, &asked_ms, now_ms))
        return;
    if (!atomic_exchange_explicit(&app->wanted, true, memory_order_acq_rel))
        nudge_send(app->roster->nudge);
}

/* ---- counting */

static void note_change(struct roster_app *app)
{
    if (!atomic_load_explicit(&app->changed, memory_order_relaxed))
        roster_report_soon(app, false);
}

/* Either we see that it leaves, or who reports it as idle sees us. */
bool app_instance_begin(struct app_instance *instance, bool first)
{
    atomic_fetch_add_explicit(&instance->active, 1, memory_order_seq_cst);
    if (!atomic_load_explicit(&instance->ready, memory_order_seq_cst)) {
        app_instance_end(instance);
        return false;
    }
    if (first)
        atomic_fetch_add_explicit(&instance->app->requests, 1, memory_order_relaxed);
    note_change(instance->app);
    return true;
}

void app_instance_end(struct app_instance *instance)
{
    unsigned before = atomic_fetch_sub_explicit(&instance->active, 1, memory_order_acq_rel);

    assert(before > 0);
    if (before == 1 && !atomic_load_explicit(&instance->ready, memory_order_relaxed))
        roster_report_soon(instance->app, true);
    else
        note_change(instance->app);
}

void app_instance_tunnel(struct app_instance *instance, int change)
{
    atomic_fetch_add_explicit(&instance->tunnels, (unsigned)change, memory_order_relaxed);
    note_change(instance->app);
}

static void note_queue(struct roster_app *app, uint64_t queue_us)
{
    int64_t before = atomic_load_explicit(&app->queue_ewma_us, memory_order_relaxed);
    int64_t sample = queue_us > INT32_MAX ? INT32_MAX : (int64_t)queue_us;

    /* Two loops at once may lose a sample: it is an average. */
    atomic_store_explicit(&app->queue_ewma_us, (unsigned)(before + (sample - before) / EWMA_SHARE),
                          memory_order_relaxed);
}

void app_instance_answered(struct app_instance *instance, const struct app_times *times)
{
    note_queue(instance->app, times->queue_us);
    atomic_fetch_add_explicit(&instance->answered, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&instance->busy_us, times->total_us, memory_order_relaxed);
}

bool roster_wait_begin(struct roster_app *app, unsigned limit)
{
    unsigned before = atomic_fetch_add_explicit(&app->waiting, 1, memory_order_acq_rel);

    if (before >= limit) {
        atomic_fetch_sub_explicit(&app->waiting, 1, memory_order_acq_rel);
        return false;
    }
    atomic_fetch_add_explicit(&app->holders, 1, memory_order_relaxed);
    if (roster_app_status(app) == APP_IDLE)
        roster_report_wanted(app);
    note_change(app);
    return true;
}

void roster_wait_end(struct roster_app *app)
{
    unsigned before = atomic_fetch_sub_explicit(&app->waiting, 1, memory_order_acq_rel);

    assert(before > 0);
    note_change(app);
    /* Last: from here on the app may be freed. */
    atomic_fetch_sub_explicit(&app->holders, 1, memory_order_release);
}

/* ---- telling */

static char *write_load(const struct roster_app *app, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);

    if (out == NULL)
        return NULL;
    fprintf(out, "%.*s %llu %u %u\n", SLICE_ARG(app->name),
            (unsigned long long)atomic_load_explicit(&app->requests, memory_order_relaxed),
            atomic_load_explicit(&app->waiting, memory_order_relaxed),
            atomic_load_explicit(&app->queue_ewma_us, memory_order_relaxed));
    for (size_t i = 0; i < app->instance_count; i++) {
        const struct app_instance *instance = app->instances[i];

        fprintf(out, "%u %u %llu %llu %u\n", instance->id,
                atomic_load_explicit(&instance->active, memory_order_seq_cst),
                (unsigned long long)atomic_load_explicit(&instance->answered, memory_order_relaxed),
                (unsigned long long)atomic_load_explicit(&instance->busy_us, memory_order_relaxed),
                atomic_load_explicit(&instance->tunnels, memory_order_relaxed));
    }
    return fclose(out) == 0 ? text : NULL;
}

/* False: it has to be said later. Whatever changes from here on is news again. */
static bool tell_load(struct roster *roster, struct roster_app *app)
{
    char *text;
    size_t len = 0;
    bool told;

    atomic_store_explicit(&app->changed, false, memory_order_seq_cst);
    atomic_store_explicit(&app->urgent, false, memory_order_seq_cst);
    text = write_load(app, &len);
    told = text != NULL &&
           roster->master.load(roster->master.data, app->version, slice_make(text, len));
    free(text);
    if (!told)
        atomic_store_explicit(&app->changed, true, memory_order_relaxed);
    return told;
}

static bool tell_wanted(struct roster *roster, struct roster_app *app)
{
    if (!atomic_exchange_explicit(&app->wanted, false, memory_order_acq_rel))
        return true;
    if (roster->master.wanted(roster->master.data, app->name))
        return true;
    atomic_store_explicit(&app->wanted, true, memory_order_relaxed);
    return false;
}

/* True: something is left for the next round. */
static bool tell_one(struct roster *roster, struct roster_app *app, bool round)
{
    bool changed = atomic_load_explicit(&app->changed, memory_order_acquire);
    bool urgent = atomic_load_explicit(&app->urgent, memory_order_acquire);
    bool left = !tell_wanted(roster, app);

    if (changed && (round || urgent))
        left = !tell_load(roster, app) || left;
    else
        left = left || changed;
    return left;
}

static void tell(struct roster *roster, bool round)
{
    bool left = false;

    pthread_mutex_lock(&roster->lock);
    for (size_t i = 0; i < ROSTER_BUCKETS; i++) {
        list_each(it, keep, &roster->buckets[i])
        {
            left = tell_one(roster, container_of(it, struct roster_app, link), round) || left;
        }
    }
    pthread_mutex_unlock(&roster->lock);
    if (round)
        roster->reported_ms = loop_now_ms(roster->home);
    if (left && !deadline_armed(&roster->next_report))
        deadline_arm(roster->home, &roster->next_report, REPORT_EVERY_MS);
}

static void on_round(struct deadline *deadline)
{
    tell(container_of(deadline, struct roster, next_report), true);
}

static void on_nudge(void *data)
{
    struct roster *roster = data;
    uint64_t now_ms = loop_now_ms(roster->home);

    if (roster->master.load == NULL)
        return;
    tell(roster,
         now_ms >= roster->reported_ms + REPORT_EVERY_MS && !deadline_armed(&roster->next_report));
}

bool roster_report_init(struct roster *roster)
{
    roster->next_report.on_expire = on_round;
    roster->nudge = nudge_new(roster->home, on_nudge, roster);
    return roster->nudge != NULL;
}

void roster_report_fini(struct roster *roster)
{
    nudge_free(roster->nudge);
    deadline_disarm(&roster->next_report);
}
