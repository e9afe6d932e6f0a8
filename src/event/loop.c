/* The loop: epoll, mailbox, deadlines, tasks. Runs in: the thread that calls loop_run(). */
#include "event/loop.h"

#include "base/buf.h"
#include "event/wheel_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    BATCH = 512,      /* events fetched at once */
    BUFS_KEPT = 1024, /* 16 MiB of free I/O buffers per loop, after so many were in use */
    TASK_PASSES =
        16 /* tasks that queue tasks are continued in the next turn after so many rounds */
};

struct loop {
    int epoll_fd;
    int wake_fd; /* eventfd: somebody has posted a mail */
    unsigned index;
    bool stopping;
    struct clock clock;
    struct bufpool *bufs; /* owned */
    void *context;        /* borrowed */

    struct task *first_task;
    struct task **last_task;

    int event_at; /* the events from here to event_count are fetched and not delivered */
    int event_count;
    struct epoll_event events[BATCH];
    struct wheel wheel;

    /* What other threads write stands on a cache line of its own. */
    _Alignas(64) _Atomic(struct mail *) mailbox; /* newest first */
    _Alignas(64) atomic_uint_fast64_t turn_count;
    atomic_uint_fast64_t event_total;
};

/* ---- making and ending */

static bool open_descriptors(struct loop *loop)
{
    /* Edge-triggered: each write wakes anew, so the counter is never read. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};

    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return false;
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0)
        return false;
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) == 0;
}

static void close_all(struct loop *loop)
{
    int saved_errno = errno;

    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    bufpool_free(loop->bufs);
    free(loop);
    errno = saved_errno;
}

struct loop *loop_new(unsigned index)
{
    struct loop *loop = aligned_alloc(_Alignof(struct loop), sizeof *loop);

    if (loop == NULL)
        return NULL;
    memset(loop, 0, sizeof *loop);
    loop->epoll_fd = -1;
    loop->wake_fd = -1;
    loop->index = index;
    loop->last_task = &loop->first_task;
    loop->bufs = bufpool_new(BUFS_KEPT);
    if (loop->bufs == NULL || !open_descriptors(loop)) {
        close_all(loop);
        return NULL;
    }
    clock_update(&loop->clock);
    wheel_init(&loop->wheel, loop->clock.now_ms);
    return loop;
}

/* ---- mailbox */

void loop_post(struct loop *loop, struct mail *mail)
{
    struct mail *newest = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);
    const uint64_t one = 1;

    assert(mail->run != NULL);
    do {
        mail->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&loop->mailbox, &newest, mail,
                                                    memory_order_release, memory_order_relaxed));
    /* Not empty before: whoever filled it has woken the loop, which takes all mails at once. */
    if (newest != NULL)
        return;
    while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* The mailbox is a stack; mails run in the order in which they were posted. */
static struct mail *take_mails(struct loop *loop)
{
    struct mail *oldest = NULL;
    struct mail *mail;

    if (atomic_load_explicit(&loop->mailbox, memory_order_relaxed) == NULL)
        return NULL;
    mail = atomic_exchange_explicit(&loop->mailbox, NULL, memory_order_acquire);
    while (mail != NULL) {
        struct mail *older = mail->next;

        mail->next = oldest;
        oldest = mail;
        mail = older;
    }
    return oldest;
}

static void run_mails(struct loop *loop)
{
    struct mail *mail = take_mails(loop);

    while (mail != NULL) {
        struct mail *next = mail->next; /* `run` may free the mail */

        mail->run(loop, mail);
        mail = next;
    }
}

/* ---- tasks */

void loop_defer(struct loop *loop, struct task *task)
{
    assert(task->run != NULL);
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *loop->last_task = task;
    loop->last_task = &task->next;
}

static void run_tasks(struct loop *loop)
{
    for (int pass = 0; pass < TASK_PASSES && loop->first_task != NULL; pass++) {
        struct task *task = loop->first_task;

        loop->first_task = NULL;
        loop->last_task = &loop->first_task;
        while (task != NULL) {
            struct task *next = task->next; /* `run` may free the task or queue it again */

            task->queued = false;
            task->run(task);
            task = next;
        }
    }
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    run_mails(loop);
    run_tasks(loop);
    assert(wheel_next_ms(&loop->wheel) == UINT64_MAX);
    close_all(loop);
}

/* ---- descriptors */

static bool watch(struct loop *loop, struct io *io, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = io};

    assert(io->loop == NULL);
    assert(io->on_ready != NULL);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, io->fd, &event) != 0)
        return false;
    io->loop = loop;
    io->ready = 0;
    io->fetch = NULL;
    return true;
}

bool loop_watch(struct loop *loop, struct io *io)
{
    return watch(loop, io, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

bool loop_watch_shared(struct loop *loop, struct io *io)
{
    return watch(loop, io, EPOLLIN | EPOLLEXCLUSIVE);
}

void loop_unwatch(struct io *io)
{
    struct loop *loop = io->loop;

    if (loop == NULL)
        return;
    /* Fails only if the owner has closed the descriptor first, and then the kernel has forgotten it
     * as well. */
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
    io->loop = NULL;
    io->ready = 0;
    for (int i = loop->event_at; i < loop->event_count; i++) {
        if (loop->events[i].data.ptr == io)
            loop->events[i].data.ptr = NULL;
    }
}

static unsigned ready_from(uint32_t events)
{
    unsigned ready = 0;

    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        ready |= IO_READ;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        ready |= IO_WRITE;
    if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0)
        ready |= IO_HANGUP;
    if ((events & EPOLLERR) != 0)
        ready |= IO_ERROR;
    return ready;
}

/* The next event's memory, and the owner of the one after that. Nothing is read of what an event
 * before may have freed: loop_unwatch() takes its events off the list. */
static void fetch_ahead(const struct loop *loop)
{
    const struct io *next;

    if (loop->event_at + 1 < loop->event_count)
        __builtin_prefetch(loop->events[loop->event_at + 1].data.ptr);
    if (loop->event_at == loop->event_count)
        return;
    next = loop->events[loop->event_at].data.ptr;
    if (next != NULL && next->fetch != NULL)
        next->fetch(next);
}

static void deliver_events(struct loop *loop)
{
    while (loop->event_at < loop->event_count) {
        const struct epoll_event *event = &loop->events[loop->event_at++];
        struct io *io = event->data.ptr;
        unsigned ready = ready_from(event->events);

        fetch_ahead(loop);
        if (io == NULL) /* a mail's wake-up, or unwatched in this turn */
            continue;
        io->ready |= ready;
        io->on_ready(io, ready);
    }
}

/* ---- deadlines */

void deadline_arm(struct loop *loop, struct deadline *deadline, uint64_t after_ms)
{
    uint64_t now_ms = loop->clock.now_ms;

    assert(deadline->on_expire != NULL);
    assert(deadline->loop == NULL || deadline->loop == loop || !list_linked(&deadline->link));
    deadline->loop = loop;
    wheel_put(&loop->wheel, deadline,
              after_ms < UINT64_MAX - now_ms ? now_ms + after_ms : UINT64_MAX);
}

void deadline_disarm(struct deadline *deadline)
{
    if (list_linked(&deadline->link))
        wheel_remove(&deadline->loop->wheel, deadline);
    deadline->expires_ms = 0;
}

void deadline_pause(struct deadline *deadline)
{
    deadline->expires_ms = 0;
}

/* ---- turning */

/* How long the wait may be: `wait_ms`, the next deadline, or not at all. */
static int bounded_wait(const struct loop *loop, int wait_ms)
{
    uint64_t next_ms = wheel_next_ms(&loop->wheel);
    uint64_t now_ms = loop->clock.now_ms;
    uint64_t until_next;

    if (loop->first_task != NULL || next_ms <= now_ms)
        return 0;
    if (next_ms == UINT64_MAX)
        return wait_ms;
    until_next = next_ms - now_ms;
    if (wait_ms >= 0 && (uint64_t)wait_ms < until_next)
        return wait_ms;
    return until_next < INT32_MAX ? (int)until_next : INT32_MAX;
}

/* Written by this thread alone: no locked instruction is needed. */
static void count(atomic_uint_fast64_t *counter, uint64_t more)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

void loop_turn(struct loop *loop, int wait_ms)
{
    int fetched = epoll_wait(loop->epoll_fd, loop->events, BATCH, bounded_wait(loop, wait_ms));

    /* A signal ends the wait: whoever calls single turns may want to look at what it did. */
    assert(fetched >= 0 || errno == EINTR);
    loop->event_at = 0;
    loop->event_count = fetched < 0 ? 0 : fetched;
    count(&loop->turn_count, 1);
    count(&loop->event_total, (uint64_t)loop->event_count);

    clock_update(&loop->clock);
    run_mails(loop);
    deliver_events(loop);
    wheel_advance(&loop->wheel, loop->clock.now_ms);
    run_tasks(loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stopping)
        loop_turn(loop, -1);
    loop->stopping = false;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

/* ---- what it has */

unsigned loop_index(const struct loop *loop)
{
    return loop->index;
}

const struct clock *loop_clock(const struct loop *loop)
{
    return &loop->clock;
}

struct bufpool *loop_bufs(struct loop *loop)
{
    return loop->bufs;
}

void loop_set_context(struct loop *loop, void *context)
{
    loop->context = context;
}

void *loop_context(const struct loop *loop)
{
    return loop->context;
}

struct loop_stats loop_stats(const struct loop *loop)
{
    return (struct loop_stats){
        .turns = atomic_load_explicit(&loop->turn_count, memory_order_relaxed),
        .events = atomic_load_explicit(&loop->event_total, memory_order_relaxed),
    };
}
