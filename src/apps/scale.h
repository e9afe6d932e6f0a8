/* How many instances an app should have, and whether it may sleep: from what balancers say of it.
 *
 * More of them when requests queue or each has too many at a time, one a second, unless the CPUs
 * are busy already: then more would only share them. Fewer when for a while one less would have
 * done. Pure. Runs in: any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct scale_bounds {
    unsigned min, max;
    unsigned per_instance; /* requests at a time that are enough for one */
    uint64_t quiet_ms;     /* before one goes */
    uint64_t idle_ms;      /* before all go; 0: never */
};

struct scale_sample {
    uint64_t now_ms;
    unsigned count; /* that are wanted now */
    unsigned ready;
    uint64_t requests; /* in all, so far */
    uint64_t active, waiting;
    uint64_t queue_us;
    bool cpus_busy;
    bool is_watched; /* somebody would have told us of requests */
};

/* Zeroed at first. */
struct scale_memory {
    uint64_t requests;
    uint64_t pressed_ms; /* since when it is too much; 0: it is not */
    uint64_t quiet_ms;   /* since when one less would do; 0: it would not */
    uint64_t asked_ms;   /* when somebody last wanted something */
};

enum scale_verdict { SCALE_STAY, SCALE_GROW, SCALE_SHRINK, SCALE_SLEEP };

enum scale_verdict scale_decide(const struct scale_bounds *bounds,
                                const struct scale_sample *sample, struct scale_memory *memory);
