/* The system calls a worker may make.
 *
 * A filter in the kernel (seccomp) that stays for the life of the process and of its threads: what
 * is not in the table of sandbox_calls.c is refused, so that who takes over a worker cannot start a
 * program, trace another process or open a new way in. Runs in: worker, before it has threads. */
#pragma once

#include <stdbool.h>

struct diag;

enum sandbox_mode {
    SANDBOX_ON,  /* refused calls fail with EPERM and are told once; the worst end the worker */
    SANDBOX_LOG, /* nothing is refused: the kernel's audit log says what would have been */
    SANDBOX_OFF,
};

/* For good. `no_new_privs` must be set. A kernel without seccomp: a warning in `diag`, and true.
 * False: message in `diag`, the worker must not go on. */
bool sandbox_enter(enum sandbox_mode mode, struct diag *diag) __attribute__((warn_unused_result));
