/* The app runner from inside: its life (runner.c) and its update in place (runner_upgrade.c).
 * Runs in: runner. */
#pragma once

#include "base/list.h"
#include "event/loop.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct apps;
struct control_request;
struct control_server;
struct diag;

/* From the wish for a new program to its execution. */
struct runner_upgrade {
    struct list asking;   /* requests that get the answer */
    char *program;        /* owned; NULL: nothing is wished */
    uint64_t wished_ms;   /* monotonic */
    struct deadline when; /* no check runs: to look again whether apps are at rest; else patience */
    pid_t check;          /* the new program's look at our state; 0: none */
    struct io check_end;  /* its pidfd */
    int check_output;     /* what it says, -1: none */
};

struct runner {
    char *home;    /* owned */
    char *program; /* owned: the path of this one, as it was at the start */
    struct loop *loop;
    struct apps *apps;
    struct control_server *control;
    struct io signals;
    struct list ending; /* requests that are answered at the end */
    char socket_path[PATH_MAX];
    int lock_fd; /* held as long as we live: one runner per home */
    bool ending_begun;
    struct runner_upgrade upgrade;
};

/* `program` executes itself here, if it understands our state; `request` (NULL: a signal) is
 * answered by it, or with the reason why not. */
void runner_upgrade_ask(struct runner *runner, const char *program,
                        struct control_request *request);
void runner_upgrade_fini(struct runner *runner, const char *why);

enum { RUNNER_STATE_VERSION = 1 };

/* The state that was handed over to this program, or NULL: message in `diag`. */
json_t *runner_upgrade_state(struct diag *diag);
/* Was this program started only to look at it? Asked once. */
bool runner_upgrade_is_check(void);
/* Looks, and says so on standard output if all is understood: the exit code. */
int runner_upgrade_check(const json_t *state, struct diag *diag);
/* After all was taken over: descriptors are ours alone, and those who asked are told. */
void runner_upgrade_done(const json_t *state);
/* Is this child the check? */
bool runner_upgrade_knows(const struct runner *runner, pid_t pid);
