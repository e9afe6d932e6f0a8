/* What the checks of `pelayan doctor` share. Runs in: the process the user started. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct manifest;
struct node;
struct run_options;
struct tree;

enum doctor_grade {
    DOCTOR_GOOD,
    DOCTOR_WARN, /* serving works, but not as well or not for long */
    DOCTOR_BAD,  /* something will not work */
};

struct finding {
    struct finding *next;
    enum doctor_grade grade;
    const char *area;
    const char *what; /* arena */
    const char *mend; /* arena; NULL: nothing to do */
};

struct doctor {
    const struct run_options *options;
    struct arena *arena;             /* owned */
    const struct manifest *manifest; /* owned; NULL: the configuration cannot be loaded */
    const struct tree *tree;         /* what could be parsed of it; borrowed */
    struct finding *first;
    struct finding **last;
    struct finding *newest;
    const char *area; /* of the check that runs */
    size_t area_count;
    size_t counts[DOCTOR_BAD + 1];
};

/* One sentence without a full stop. More than a screenful of one area is only counted. */
void doctor_find(struct doctor *doctor, enum doctor_grade grade, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What to do about what was found last. */
void doctor_mend(struct doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Calls `visit` for every directive, also inside blocks. */
void doctor_walk(struct doctor *doctor, void (*visit)(struct doctor *, const struct node *));

/* A number from a file of /proc; `fallback` where there is none. */
long doctor_number(const char *path, long fallback);

/* The running master by the pid file, or 0. */
long doctor_master(const struct doctor *doctor);

/* The checks. */
void doctor_descriptors(struct doctor *doctor);
void doctor_backlog(struct doctor *doctor);
void doctor_addresses(struct doctor *doctor);
void doctor_paths(struct doctor *doctor);
void doctor_certificates(struct doctor *doctor);
void doctor_disks(struct doctor *doctor);
void doctor_clock(struct doctor *doctor);
void doctor_names(struct doctor *doctor);
void doctor_processes(struct doctor *doctor);
