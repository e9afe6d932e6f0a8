/* The worker from inside. Runs in: worker; every field belongs to the first loop's thread unless it
 * says otherwise. */
#pragma once

#include "base/diag.h"
#include "config/snapshot.h"
#include "daemon/channel.h"
#include "daemon/fd_table.h"
#include "daemon/manifest.h"
#include "daemon/parts.h"
#include "event/loop.h"
#include "event/offload.h"
#include "http/server.h"

#include <pthread.h>

struct log;
struct run_options;
struct worker;

/* One loop and the letters between it and the first loop; each letter is in flight at most once. */
struct worker_loop {
    struct worker *worker;
    struct loop *loop;      /* owned */
    struct http_loop *http; /* owned */
    pthread_t thread;
    bool has_thread;                     /* the first one runs in the worker's own thread */
    bool used;                           /* answer to `use`: the loop took the snapshot */
    struct mail use, drain, stop, flush; /* to the loop */
    struct mail use_done, drain_done, empty, flush_done; /* to the first loop */
};

/* What the master sent for one generation, and what was made of it. */
struct worker_bundle {
    struct worker *worker;
    uint64_t generation;
    struct manifest *manifest;    /* owned */
    struct snapshot *snapshot;    /* one reference; NULL until built */
    struct shared_fd **listeners; /* owned, [manifest->listener_count] */
    int *log_fds;                 /* owned, [manifest->logs.count]: -1 once given to the table */
    int record_fd;                /* owned */
    int *loop_fds;                /* owned, [loop][spec] */
    size_t spec_count;
    char *error; /* owned: why it could not be built */
};

struct worker {
    const struct run_options *options; /* borrowed */
    struct worker_loop *loops;         /* owned, [loop_count] */
    unsigned loop_count;
    struct http_shared shared;
    struct io channel;
    struct parts parts;      /* of what the master says of an app */
    struct io signals;       /* fd -1: the master takes them */
    struct deadline give_up; /* worker_shutdown_timeout */
    struct fd_table listeners;
    struct fd_table logs; /* used by any thread that drops a snapshot */
    int *incoming;        /* owned: descriptors received for what comes next */
    size_t incoming_count;
    size_t incoming_capacity;
    int *new_logs; /* owned: descriptors that take the place of the current bundle's logs */
    size_t new_log_count;
    uint64_t new_logs_generation;
    unsigned flushing;              /* loops that have not written what their logs hold back */
    struct worker_bundle *current;  /* in use on every loop; NULL: none yet */
    struct worker_bundle *building; /* its builder thread runs */
    pthread_t builder;
    struct mail built;          /* from the builder */
    struct worker_bundle *next; /* on its way to the loops */
    unsigned waiting_for;       /* loops that have not answered */
    unsigned accepting;         /* loops that have not stopped accepting, once draining */
    struct job trim;            /* in flight at most once */
    bool trimming;
    bool over; /* threads have ended: letters still under way are not opened any more */
    bool own_process;
    bool rolling_back;
    bool draining;
    bool master_gone;
};

/* worker_loops.c: false: errno or no memory. */
bool worker_loops_init(struct worker *worker, const struct manifest *manifest);
void worker_loops_end(
    struct worker *worker); /* they have been stopped: their threads and connections go */
void worker_loops_free(struct worker *worker); /* after that, and when no snapshot is left */
bool worker_loops_start(struct worker *worker, const struct manifest *manifest);
void worker_use(struct worker *worker, struct worker_bundle *bundle); /* answers by worker_used() */
void worker_loops_drain(struct worker *worker);                       /* then worker_loops_stop() */
void worker_loops_stop(struct worker *worker);
void worker_loops_flush(struct worker *worker); /* answers by worker_flushed() */

/* worker_bundle.c: takes all of `fds` over. NULL: message in `diag`. */
struct worker_bundle *worker_bundle_new(struct worker *worker, const int *fds, size_t count,
                                        struct diag *diag);
void worker_bundle_deafen(struct worker_bundle *bundle); /* gives its listeners back */
void worker_bundle_free(struct worker_bundle *bundle);
bool worker_bundle_build(
    struct worker_bundle *bundle); /* starts the thread; answers by worker_built() */

/* worker_apps.c: the master hears of apps from now on */
void worker_apps_init(struct worker *worker);

/* worker.c */
void worker_built(struct worker *worker,
                  struct worker_bundle *bundle); /* snapshot NULL: it failed */
void worker_used(struct worker *worker, bool by_all);
void worker_flushed(struct worker *worker);
const struct log *worker_log(const struct worker *worker);
