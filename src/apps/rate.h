/* How many requests an instance answers, and how long they take, as balancers say from time to
 * time. Pure. Runs in: runner's loop. */
#pragma once

#include <stdint.h>

struct rate {
    uint64_t answered, busy_us; /* in all */
    double per_second;          /* of late; 0: nothing */
    double latency_ms;          /* ... the mean; 0: nothing was answered */
    uint64_t began_ms;          /* of the time that is being looked at */
    uint64_t answered_then, busy_us_then;
    uint64_t heard_ms;
};

/* So many more were answered, which took so long together. */
void rate_add(struct rate *rate, uint64_t answered, uint64_t busy_us, uint64_t now_ms);

/* Before per_second and latency_ms are shown. */
void rate_look(struct rate *rate, uint64_t now_ms);
