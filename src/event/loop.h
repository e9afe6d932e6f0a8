/* One event loop: epoll, edge-triggered, with deadlines, end-of-turn tasks and a mailbox.
 *
 * Everything a loop owns is touched by its thread alone; other threads reach it with loop_post(). A
 * descriptor is registered once for all events it will ever need, so that the hot path makes no
 * epoll_ctl call: who waits remembers in `io.ready` what the kernel announced and clears a bit only
 * after EAGAIN (or a short read or write). Runs in: the thread that calls loop_run(). */
#pragma once

#include "base/clock.h"
#include "base/fetch.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct bufpool;
struct loop;

enum io_ready {
    IO_READ = 1 << 0,   /* bytes, a connection, or the end of the stream */
    IO_WRITE = 1 << 1,  /* room in the send buffer */
    IO_HANGUP = 1 << 2, /* the peer has sent its FIN (EPOLLRDHUP) or the connection is gone */
    IO_ERROR = 1 << 3,  /* ask getsockopt(SO_ERROR) or let the next call fail */
};

/* A descriptor's place in a loop; lives in the struct of whoever owns the descriptor. */
struct io {
    int fd;         /* borrowed: the owner closes it after loop_unwatch() */
    unsigned ready; /* enum io_ready: announced and not yet used up; the loop only adds to it */
    /* `events`: the bits the kernel announced in this turn, also those still in `ready`. May
     * unwatch and free `io` (then nothing of it is touched afterwards). */
    void (*on_ready)(struct io *io, unsigned events);
    /* Called while the event before is being dealt with: asks for the memory that on_ready() will
     * need, with fetch_memory() and nothing else. NULL after loop_watch(). */
    void (*fetch)(const struct io *io);
    struct loop *loop; /* NULL: not watched */
};

/* Called at or after `expires_ms`, once per arming; may arm, disarm and free any deadline, its own
 * too. Starts zeroed; disarmed before it is freed. */
struct deadline {
    struct list link;    /* the wheel's */
    uint64_t due_ms;     /* the wheel's: when it looks at this one, at or before `expires_ms` */
    uint64_t expires_ms; /* CLOCK_MONOTONIC; 0: not armed */
    struct loop *loop;   /* set while linked */
    void (*on_expire)(struct deadline *deadline);
};

/* Work put off to the end of the turn (before the next wait): freeing from inside a callback,
 * writing logs, flushing what several events produced together. */
struct task {
    struct task *next;
    void (*run)(struct task *task);
    bool queued;
};

/* A message to a loop, from any thread; the sender's until loop_post(), `run`'s afterwards. */
struct mail {
    struct mail *next;
    void (*run)(struct loop *loop, struct mail *mail);
};

struct loop_stats { /* read by any thread, relaxed */
    uint64_t turns;
    uint64_t events;
};

/* NULL: errno says why. `index`: 0 .. number of loops - 1, for per-loop arrays. */
struct loop *loop_new(unsigned index);

/* Runs the mails and tasks that are left, then frees. Nothing may be watched or armed. NULL is
 * fine. */
void loop_free(struct loop *loop);

/* Turns until loop_stop(). One turn: wait (until the next deadline at most), update the clock,
 * mails, events, deadlines, tasks. */
void loop_run(struct loop *loop);

/* One turn that waits at most `wait_ms` (-1: until something happens): for tests and the master. */
void loop_turn(struct loop *loop, int wait_ms);

/* Ends loop_run() after this turn. Own thread only; from another one post a mail. */
void loop_stop(struct loop *loop);

unsigned loop_index(const struct loop *loop);
const struct clock *loop_clock(const struct loop *loop);
static inline uint64_t loop_now_ms(const struct loop *loop)
{
    return loop_clock(loop)->now_ms;
}

/* The pool of this thread's I/O buffers. */
struct bufpool *loop_bufs(struct loop *loop);

/* A place for the upper layers' per-loop state (the worker sets it once before loop_run()). */
void loop_set_context(struct loop *loop, void *context);
void *loop_context(const struct loop *loop);

/* Registers `io->fd` edge-triggered for reading, writing and hang-up. False: errno. */
bool loop_watch(struct loop *loop, struct io *io);

/* The same for a listening socket shared by several loops (level-triggered, EPOLLEXCLUSIVE, read
 * only). */
bool loop_watch_shared(struct loop *loop, struct io *io);

/* Forgets it: no callback comes any more, also not for events of this turn already fetched. The fd
 * stays open. */
void loop_unwatch(struct io *io);

/* Arms or moves a deadline `after_ms` from the loop's now. Moving it later costs one store (the
 * wheel finds out when the old time comes). */
void deadline_arm(struct loop *loop, struct deadline *deadline, uint64_t after_ms);
void deadline_disarm(struct deadline *deadline);

/* Disarms, but leaves it linked until the time it was armed for: arming it again later is a single
 * store. Costs less than disarming where that is likely; before it is freed it must be disarmed. */
void deadline_pause(struct deadline *deadline);
static inline bool deadline_armed(const struct deadline *deadline)
{
    return deadline->expires_ms != 0;
}

/* Queues once; a task queued again while queued stays queued once. A task queued by a task runs in
 * the same turn, unless that goes on without end. */
void loop_defer(struct loop *loop, struct task *task);

/* Any thread: `mail->run(loop, mail)` runs in the loop's thread at its next turn. Lock-free push,
 * one eventfd write when the mailbox was empty. */
void loop_post(struct loop *loop, struct mail *mail);

struct loop_stats loop_stats(const struct loop *loop);
