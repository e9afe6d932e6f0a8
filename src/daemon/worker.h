/* The worker: one process that reads the network, one event loop per thread.
 *
 * It learns everything from the master's channel: what to serve (a bundle: manifest, record of the
 * config, sockets, logs), when to reopen logs, when to leave. When the channel ends, the master is
 * gone: it finishes what is running and leaves as well. Runs in: worker; with `master_process off`
 * a thread of the only process. */
#pragma once

#include <stdbool.h>

struct manifest;
struct run_options;

struct worker_start {
    const struct run_options *options; /* borrowed: as long as the worker runs */
    const struct manifest *manifest;   /* borrowed: limits, user, number of loops */
    int channel_fd;                    /* taken over */
    bool own_process; /* privileges are dropped, signals are taken; else both are the master's */
};

/* Returns when it has left: the exit code. */
int worker_run(const struct worker_start *start);
