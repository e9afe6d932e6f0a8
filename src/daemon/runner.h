/* The app runner by itself: a master without a worker, one per PELAYAN_HOME.
 * Runs in: the daemon that the first command starts, or with --no-daemon the user's own process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct runner_start {
    const char *home;    /* absolute; made if it is not there */
    bool ends_with_apps; /* a balancer starts it for its own apps: see apps_may_leave() */
    int ready_fd;        /* gets one byte when commands are heard; -1: nobody waits */
};

/* Until it is told to end: the exit code. Another one for the same home: 1, message on stderr. */
int runner_run(const struct runner_start *start);

/* The socket it listens on. False: the name is too long for a socket. */
bool runner_socket_path(const char *home, char *out, size_t out_bytes);

/* Was this program executed by a runner that hands over its apps? Then runner_resume() goes on with
 * them, or only looks whether it could; the exit code. */
bool runner_is_resumed(void);
int runner_resume(void);
