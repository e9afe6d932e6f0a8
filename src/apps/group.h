/* A control group (cgroup v2) for each process tree: all of it can be ended at once, measured and
 * limited, whatever it forks and whatever sessions it makes. One that was killed is not used
 * again: Linux kills at once what is born into it later.
 *
 *   <the runner's own group>/pelayan-PID/NAME-ID-NUMBER
 *
 * Where no group can be made (not writable, no cgroup v2) apps run without them; only limits that
 * were asked for are then an error. Runs in: runner. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct diag;

struct groups {
    char *base;             /* owned: the folder of all; NULL: groups cannot be made */
    char **leaving;         /* owned: names of groups whose last processes are still ending */
    unsigned leaving_count; /* of them */
    unsigned next;          /* NUMBER of the next one */
    bool memory, pids, cpu; /* controllers that limit and measure here */
};

struct group_limits {
    uint64_t memory_bytes; /* 0: none */
    int processes;         /* 0: so many that only a mistake has more, where that can be said */
    int cpu_percent;       /* of one CPU; 0: none */
};

/* Finds out what can be done here; a program that took over in this process finds its groups. */
void groups_init(struct groups *groups);
void groups_fini(struct groups *groups); /* removes what is empty */

/* The group of process 0::PATH (a line of /proc/PID/cgroup) below the mount point that mountinfo
 * tells; malloc'ed. NULL: there is none. */
char *group_folder(const char *mountinfo, const char *membership);

/* A new one; its name is malloc'ed. NULL: none can be made, which is no error. */
char *group_new(struct groups *groups, const char *app, int id);
/* Removes it, now or when its last process has gone. `name` is taken over; NULL is fine. */
void group_drop(struct groups *groups, char *name);

/* False: message in `diag`. */
bool group_limit(const struct groups *groups, const char *name, const struct group_limits *limits,
                 struct diag *diag);

/* Tries again with those that were busy. True: none is left. */
bool groups_tidy(struct groups *groups);

/* For spawn(); -1: errno. */
int group_open(const struct groups *groups, const char *name);

/* Does anything live in it? */
bool group_is_populated(const struct groups *groups, const char *name);

/* SIGKILL to everything in it. False: the kernel cannot (before 5.14). */
bool group_kill(const struct groups *groups, const char *name);

/* Above so much the kernel slows the tree down and takes back what it can; its memory.events, whose
 * path is malloc'ed, change then. NULL: there is no such thing here. */
char *group_mark_memory(const struct groups *groups, const char *name, uint64_t bytes);

/* Memory of the tree that cannot be dropped. False: not measured here. */
bool group_memory(const struct groups *groups, const char *name, uint64_t *bytes);
/* How many of it the kernel has killed for lack of memory. */
uint64_t group_oom_kills(const struct groups *groups, const char *name);
