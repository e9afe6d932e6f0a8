/* Going into the background without leaving the caller in doubt: who started us waits until we
 * serve, or gets the error. Runs in: the process started by the user; the master. */
#pragma once

#include <stdbool.h>

struct background {
    int status_fd; /* where the one waiting is told; -1: nobody waits */
};

/* Forks twice and returns in the grandchild. The first process stays until background_report() and
 * exits with what is reported, or 1 if we die before. False: errno, still in the first process. */
bool background_enter(struct background *background);

/* Serving (0) or not; then standard input and output become /dev/null. Once; later calls do
 * nothing. */
void background_report(struct background *background, int exit_code);

/* Standard input and output become /dev/null. */
void background_silence(void);
