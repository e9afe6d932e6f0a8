/* The table of the system calls that a worker makes. Runs in: worker, before it has threads. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* By name, because architectures differ in what there is: an unknown name is left out. */
struct sandbox_call {
    const char *names; /* separated by blanks */
    const char *why;
};

extern const struct sandbox_call sandbox_calls[];
extern const size_t sandbox_call_count;

/* Whether this build has sanitizers. */
extern const bool sandbox_is_wide;

/* Only in a build with sanitizers: they watch threads, take their own stack traces and start a
 * process that looks for leaks. */
extern const struct sandbox_call sandbox_sanitizer_calls[];
extern const size_t sandbox_sanitizer_call_count;

/* Nothing a worker ever does by mistake: an attempt ends it at once. */
extern const struct sandbox_call sandbox_deadly_calls[];
extern const size_t sandbox_deadly_call_count;
