/* What happens when a process ends that nobody asked to: restart now, later, or give up.
 *
 * pm2's rules, and one of ours: an app that fails at a steady rate is given up too, however long it
 * lives each time. A level rises by one with each failure and falls by max_restarts per
 * crash_window; above max_restarts there is no point in going on. Pure. Runs in: any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct app_spec;

enum policy_verdict { POLICY_STOP, POLICY_RESTART, POLICY_GIVE_UP };

struct policy_end {
    const struct app_spec *spec;
    int exit_code; /* -1: by a signal */
    bool was_ready;
    uint64_t now_ms;
    uint64_t started_ms;
    uint64_t created_ms;
};

struct policy_memory {
    unsigned unstable;
    uint64_t backoff_ms;
    double crash_level;
    uint64_t crashed_ms;
};

/* `*delay_ms`: before the restart. `*why` is set with POLICY_GIVE_UP. */
enum policy_verdict policy_decide(const struct policy_end *end, struct policy_memory *memory,
                                  uint64_t *delay_ms, const char **why);
