/* Loading a config in a throw-away child with the master's privileges: whatever the file does to
 * it, the master stays small and alive. Runs in: master. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <sys/types.h>

struct run_options;

struct validation {
    pid_t pid; /* who starts it reaps it */
    int fd;    /* readable when the verdict is there */
};

struct verdict {
    bool valid;
    struct slice
        text; /* diagnostics as diag_print() writes them, owned: may hold warnings when valid */
    int manifest_fd; /* owned; -1 unless valid */
    int record_fd;   /* owned; -1 unless valid */
};

/* False: errno. */
bool validation_start(struct validation *validation, const struct run_options *options);

/* Takes the verdict, waiting for it if need be, and closes the descriptor. A child that died
 * without one gives a verdict that says so. */
void validation_finish(struct validation *validation, struct verdict *verdict);
void verdict_free(struct verdict *verdict);
