/* How many loops, and which core each of them runs on. Runs in: any. */
#pragma once

#include "base/slice.h"

#include <sched.h>
#include <stdbool.h>

enum { CPU_MASK_MAX = 1024 }; /* bits in a cpu_set_t */

/* Cores this process may use, cut down to what its cgroup's quota pays for; at least 1. */
unsigned cpu_count_usable(void);

/* "0101": the rightmost digit is core 0, as nginx has it. False: other characters, too long or
 * empty. */
bool cpu_parse_mask(struct slice text, cpu_set_t *mask);

/* The one core that loop `index` gets with `worker_cpu_affinity auto`, out of `allowed`. */
void cpu_mask_auto(const cpu_set_t *allowed, unsigned index, cpu_set_t *mask);
