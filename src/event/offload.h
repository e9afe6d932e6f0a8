/* Threads for what may block: opening and reading files on slow disks (aio threads), private keys
 * later.
 *
 * A job runs in one of a few shared threads and its completion in the loop that submitted it.
 * Runs in: submit and done: the loop's thread; work: a pool thread. */
#pragma once

#include "event/loop.h"

struct offload;

struct job {
    struct mail mail;              /* the pool's: brings the job home */
    struct job *next;              /* the pool's */
    struct loop *home;             /* set by offload_submit() */
    void (*work)(struct job *job); /* pool thread: may block; touches only the job */
    void (*done)(struct job *job); /* home loop's thread */
};

/* `thread_count` threads are started on first use; at most `queue_max` jobs wait. NULL: no
 * memory. */
struct offload *offload_new(unsigned thread_count, unsigned queue_max);

/* Waits for running jobs; queued ones are completed too. Their `done` comes by mail: free the loops
 * after this. NULL is fine. */
void offload_free(struct offload *offload);

/* False: the queue is full (the caller does the work itself or refuses). `job->work` and
 * `job->done` must be set. */
bool offload_submit(struct offload *offload, struct loop *home, struct job *job);
