/* How many instances an app should have. Runs in: any. */
#include "apps/scale.h"

enum {
    PRESSED_MS = 1000,    /* so long it must be too much */
    QUEUE_MAX_US = 20000, /* a request that waits longer for its turn is one too many */
    EASY_SHARE = 2,       /* one less would do if each had half of what is enough */
};

static bool is_pressed(const struct scale_bounds *bounds, const struct scale_sample *sample,
                       bool has_news)
{
    uint64_t enough = (uint64_t)bounds->per_instance * (sample->ready > 0 ? sample->ready : 1);

    return sample->waiting > 0 || sample->active > enough ||
           (has_news && sample->queue_us > QUEUE_MAX_US);
}

static bool is_quiet(const struct scale_bounds *bounds, const struct scale_sample *sample)
{
    return sample->count > 1 &&
           sample->active * EASY_SHARE <= (uint64_t)bounds->per_instance * (sample->count - 1);
}

/* Since when `is_so`, which it may have been before. */
static bool lasts(bool is_so, uint64_t *since_ms, uint64_t now_ms, uint64_t long_ms)
{
    if (!is_so)
        *since_ms = 0;
    else if (*since_ms == 0)
        *since_ms = now_ms;
    return is_so && now_ms - *since_ms >= long_ms;
}

static bool may_sleep(const struct scale_bounds *bounds, const struct scale_sample *sample,
                      struct scale_memory *memory, bool has_news)
{
    if (has_news || sample->active > 0 || sample->waiting > 0 || !sample->is_watched ||
        sample->ready == 0 || memory->asked_ms == 0)
        memory->asked_ms = sample->now_ms;
    return bounds->idle_ms > 0 && sample->now_ms - memory->asked_ms >= bounds->idle_ms;
}

enum scale_verdict scale_decide(const struct scale_bounds *bounds,
                                const struct scale_sample *sample, struct scale_memory *memory)
{
    /* an average of how long requests waited says nothing while there are none */
    bool has_news = sample->requests != memory->requests;
    bool pressed = is_pressed(bounds, sample, has_news);
    bool grows;
    bool shrinks;

    memory->requests = sample->requests;
    if (may_sleep(bounds, sample, memory, has_news))
        return SCALE_SLEEP;
    grows = lasts(pressed, &memory->pressed_ms, sample->now_ms, PRESSED_MS);
    shrinks = lasts(!pressed && is_quiet(bounds, sample), &memory->quiet_ms, sample->now_ms,
                    bounds->quiet_ms);
    if (grows && sample->count < bounds->max && sample->ready == sample->count &&
        !sample->cpus_busy) {
        memory->pressed_ms = sample->now_ms;
        return SCALE_GROW;
    }
    if (shrinks && sample->count > bounds->min) {
        memory->quiet_ms = sample->now_ms;
        return SCALE_SHRINK;
    }
    return SCALE_STAY;
}
