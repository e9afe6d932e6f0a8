/* What processes use, from /proc. Runs in: master. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct usage {
    uint64_t rss_bytes;
    uint64_t cpu_us; /* since it was started */
};

/* False: there is no such process. */
bool usage_read(pid_t pid, struct usage *usage);

/* Signals a process, its group, and all that descend from it in groups of their own. */
void tree_signal(pid_t root, int number);

/* Kills what a process that has ended left behind: in its group, in its session, and wherever
 * `mark`
 * ("NAME=value") is in the environment of a child of ours, which orphans become. */
void tree_sweep(pid_t leader, const char *mark);
