/* The app runner of this user: where it lives, asking it, starting it when it is not there.
 * Runs in: the process the user started. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* PELAYAN_HOME; else /var/lib/pelayan for root and ~/.local/state/pelayan for others. Absolute;
 * valid until the end. NULL: message printed. */
const char *home_path(void);

enum home_wish {
    HOME_IF_RUNNING, /* no runner: nothing is asked */
    HOME_START,      /* no runner: one is started */
};

/* Sends {"command":"app","do":WHAT, ...request} and waits. 0: done; 1: refused, message printed to
 * standard error; 2: there is no runner (only with HOME_IF_RUNNING). `*result` (may be NULL) is the
 * caller's, NULL if there is none. `request` is taken over. */
int home_ask(const char *what, json_t *request, enum home_wish wish, json_t **result);

/* Asks the runner to end, and waits for it. 2: there is none. */
int home_kill(void);

/* This program takes over in the runner's process; the apps go on. 0: it has; 1: not, message
 * printed; 2: there is no runner. */
int home_update(void);

/* The environment of this process as an object. */
json_t *home_environment(void);
