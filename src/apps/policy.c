/* Restart or not. Runs in: any. */
#include "apps/policy.h"

#include "apps/spec.h"

#include <stddef.h>

enum { BACKOFF_MAX_MS = 15000, BACKOFF_RESET_MS = 30000 };

static bool is_wanted(const struct policy_end *end)
{
    const struct codes *codes = &end->spec->stop_exit_codes;

    for (size_t i = 0; end->exit_code >= 0 && i < codes->count; i++) {
        if (codes->items[i] == end->exit_code)
            return true;
    }
    return !end->spec->autorestart;
}

/* As pm2: short lives count only while the app is young as a whole. */
static bool is_unstable(const struct policy_end *end)
{
    uint64_t min_ms = end->spec->min_uptime_ms;

    return end->now_ms - end->started_ms < min_ms &&
           end->now_ms - end->created_ms < min_ms * (uint64_t)end->spec->max_restarts;
}

static bool fails_too_often(const struct policy_end *end, struct policy_memory *memory)
{
    const struct app_spec *spec = end->spec;
    double elapsed = (double)(end->now_ms - memory->crashed_ms);

    if (spec->crash_window_ms == 0 || (end->exit_code == 0 && end->was_ready))
        return false;
    memory->crash_level -= elapsed * spec->max_restarts / (double)spec->crash_window_ms;
    if (memory->crash_level < 0 || memory->crashed_ms == 0)
        memory->crash_level = 0;
    memory->crash_level += 1;
    memory->crashed_ms = end->now_ms;
    return memory->crash_level > spec->max_restarts;
}

static uint64_t delay(const struct policy_end *end, struct policy_memory *memory)
{
    const struct app_spec *spec = end->spec;

    if (spec->backoff_ms == 0)
        return spec->restart_delay_ms;
    if (end->now_ms - end->started_ms > BACKOFF_RESET_MS)
        memory->backoff_ms = 0;
    memory->backoff_ms = memory->backoff_ms == 0 ? spec->backoff_ms
                                                 : memory->backoff_ms + memory->backoff_ms / 2;
    if (memory->backoff_ms > BACKOFF_MAX_MS)
        memory->backoff_ms = BACKOFF_MAX_MS;
    return memory->backoff_ms;
}

enum policy_verdict policy_decide(const struct policy_end *end, struct policy_memory *memory,
                                  uint64_t *delay_ms, const char **why)
{
    bool too_often;

    *delay_ms = 0;
    if (is_wanted(end))
        return POLICY_STOP;
    too_often = fails_too_often(end, memory);
    memory->unstable = is_unstable(end) ? memory->unstable + 1 : 0;
    if (memory->unstable >= (unsigned)end->spec->max_restarts && memory->unstable > 0) {
        *why = "too many unstable starts in a row (max_restarts, min_uptime)";
        return POLICY_GIVE_UP;
    }
    if (too_often) {
        *why = "it fails too often (max_restarts within crash_window)";
        return POLICY_GIVE_UP;
    }
    *delay_ms = delay(end, memory);
    return POLICY_RESTART;
}
