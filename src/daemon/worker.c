/* The worker's life: orders from the master, in, serving, draining, out. Runs in: worker, first
 * loop. */
#include "daemon/worker.h"

#include "balance/balance.h"
#include "base/arena.h"
#include "base/list.h"
#include "base/log.h"
#include "base/process_title.h"
#include "daemon/privileges.h"
#include "daemon/worker_internal.h"
#include "policy/error_log.h"
#include "tls/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { TRIM_BYTES_MIN = 4 << 20 };

const struct log *worker_log(const struct worker *worker)
{
    if (worker->current == NULL || worker->current->snapshot == NULL)
        return &log_process;
    return error_log_of(worker->current->snapshot->root.settings);
}

static void tell(struct worker *worker, enum message_kind kind, uint64_t number, const char *text)
{
    if (worker->master_gone)
        return;
    if (!channel_send(worker->channel.fd, kind, number, slice_of(text)))
        log_write(worker_log(worker), LOG_LEVEL_ALERT, errno, "cannot answer the master");
}

/* What else writes to standard error goes where the main log goes. */
static void redirect_stderr(struct worker *worker)
{
    const struct manifest *manifest = worker->current->manifest;
    struct shared_fd *shared;

    if (!worker->own_process || manifest->sink_count == 0 ||
        manifest->sinks[0].log == MANIFEST_STDERR)
        return;
    shared = fd_table_ref(&worker->logs, manifest->logs.items[manifest->sinks[0].log]);
    if (shared == NULL)
        return;
    dup2(shared->fd, STDERR_FILENO);
    fd_table_unref(&worker->logs, shared);
}

static void stop(struct worker *worker)
{
    worker_loops_stop(worker);
}

static void on_give_up(struct deadline *deadline)
{
    struct worker *worker = container_of(deadline, struct worker, give_up);

    log_write(worker_log(worker), LOG_LEVEL_NOTICE, 0,
              "worker_shutdown_timeout passed, closing what is left");
    stop(worker);
}

/* Waits until the loops have taken what is on its way to them: worker_used() begins again. */
static void drain(struct worker *worker)
{
    worker->draining = true;
    if (worker->waiting_for > 0 || worker->accepting > 0)
        return;
    if (worker->current == NULL) {
        stop(worker);
        return;
    }
    if (worker->current->manifest->shutdown_timeout_ms > 0) {
        worker->give_up.on_expire = on_give_up;
        deadline_arm(worker->loops[0].loop, &worker->give_up,
                     worker->current->manifest->shutdown_timeout_ms);
    }
    worker_loops_drain(worker);
}

static void begin_drain(struct worker *worker)
{
    if (worker->draining)
        return;
    log_write(worker_log(worker), LOG_LEVEL_NOTICE, 0, "gracefully shutting down");
    if (worker->own_process)
        process_title_set("pelayan: worker process is shutting down");
    drain(worker);
}

static void give_up_bundle(struct worker *worker, struct worker_bundle *bundle, const char *why)
{
    tell(worker, MESSAGE_FAILED, bundle->generation, why);
    worker_bundle_free(bundle);
}

void worker_built(struct worker *worker, struct worker_bundle *bundle)
{
    worker->building = NULL;
    if (bundle->snapshot == NULL)
        give_up_bundle(worker, bundle, bundle->error == NULL ? "no memory" : bundle->error);
    else if (worker->draining)
        give_up_bundle(worker, bundle, "the worker is leaving");
    else
        worker_use(worker, bundle);
}

static void trim(struct job *job)
{
    (void)job;
    malloc_trim(0);
}

static void on_trimmed(struct job *job)
{
    container_of(job, struct worker, trim)->trimming = false;
}

/* malloc keeps what a large config gave back, unless it is told; walking its heap takes a while, so
 * no loop does it. */
static void give_memory_back(struct worker *worker)
{
    if (worker->trimming)
        return;
    worker->trim = (struct job){.work = trim, .done = on_trimmed};
    worker->trimming = offload_submit(worker->shared.offload, worker->loops[0].loop, &worker->trim);
}

static void adopt_bundle(struct worker *worker, struct worker_bundle *bundle)
{
    struct worker_bundle *before = worker->current;
    bool large = before != NULL && arena_bytes_held(before->snapshot->arena) > TRIM_BYTES_MIN;

    worker->current = bundle;
    worker_bundle_free(before);
    if (large)
        give_memory_back(worker);
    redirect_stderr(worker);
    tell(worker, MESSAGE_SERVING, bundle->generation, "");
}

/* Every loop serves the same, always: if one could not take it, all go back to what they had. */
void worker_used(struct worker *worker, bool by_all)
{
    struct worker_bundle *bundle = worker->next;

    worker->next = NULL;
    if (worker->rolling_back) {
        worker->rolling_back = false;
        assert(bundle == worker->current);
        if (!by_all)
            abort(); /* neither config can be served: the master starts a fresh worker */
    } else if (by_all) {
        adopt_bundle(worker, bundle);
    } else {
        give_up_bundle(worker, bundle, "no memory to use the configuration");
        if (worker->current != NULL) {
            worker->rolling_back = true;
            worker_use(worker, worker->current);
        }
    }
    if (worker->draining)
        drain(worker);
}

static void use_incoming(struct worker *worker, uint64_t generation)
{
    struct worker_bundle *bundle;
    struct diag diag;

    diag_init(&diag);
    bundle = worker_bundle_new(worker, worker->incoming, worker->incoming_count, &diag);
    worker->incoming_count = 0;
    if (bundle == NULL) {
        tell(worker, MESSAGE_FAILED, generation, diag.first == NULL ? "" : diag.first->message);
    } else {
        bundle->generation = generation;
        if (worker->building != NULL || worker->waiting_for > 0) {
            give_up_bundle(worker, bundle, "the worker is busy with another configuration");
        } else {
            worker->building = bundle;
            if (!worker_bundle_build(bundle)) {
                worker->building = NULL;
                give_up_bundle(worker, bundle, strerror(errno));
            }
        }
    }
    diag_fini(&diag);
}

static void close_incoming(struct worker *worker)
{
    for (size_t i = 0; i < worker->incoming_count; i++)
        close(worker->incoming[i]);
    worker->incoming_count = 0;
}

static void close_new_logs(struct worker *worker)
{
    for (size_t i = 0; i < worker->new_log_count; i++)
        close(worker->new_logs[i]);
    worker->new_log_count = 0;
    free(worker->new_logs);
    worker->new_logs = NULL;
}

static bool new_logs_fit(const struct worker *worker)
{
    const struct worker_bundle *current = worker->current;

    return current != NULL && current->generation == worker->new_logs_generation &&
           current->manifest->logs.count == worker->new_log_count;
}

/* No loop holds lines of the old files back any more. */
void worker_flushed(struct worker *worker)
{
    uint64_t generation = worker->new_logs_generation;
    struct shared_fd *shared;

    if (!new_logs_fit(worker)) {
        close_new_logs(worker);
        tell(worker, MESSAGE_REOPENED, generation, "the logs are those of another configuration");
        return;
    }
    for (size_t i = 0; i < worker->new_log_count; i++) {
        shared = fd_table_ref(&worker->logs, worker->current->manifest->logs.items[i]);
        if (shared == NULL)
            close(worker->new_logs[i]);
        else
            shared_fd_replace(shared, worker->new_logs[i]);
        fd_table_unref(&worker->logs, shared);
    }
    worker->new_log_count = 0; /* they have new owners */
    close_new_logs(worker);
    redirect_stderr(worker);
    tell(worker, MESSAGE_REOPENED, generation, "");
}

/* First every loop writes what it holds back for the old files. A second order that comes meanwhile
 * replaces the first. */
static void replace_logs(struct worker *worker, uint64_t generation)
{
    close_new_logs(worker);
    worker->new_logs = worker->incoming;
    worker->new_log_count = worker->incoming_count;
    worker->new_logs_generation = generation;
    worker->incoming = NULL;
    worker->incoming_count = 0;
    worker->incoming_capacity = 0;
    if (worker->flushing == 0)
        worker_loops_flush(worker);
}

/* Of a worker that leaves, whose generation the master has forgotten: a log is known by its path.
 * Lines that are held back come into the new file. */
static void replace_log(struct worker *worker, struct slice path)
{
    struct shared_fd *shared = fd_table_ref(&worker->logs, path);

    if (shared != NULL && worker->incoming_count == 1) {
        shared_fd_replace(shared, worker->incoming[0]);
        worker->incoming_count = 0;
        redirect_stderr(worker);
    }
    while (worker->incoming_count > 0)
        close(worker->incoming[--worker->incoming_count]);
    fd_table_unref(&worker->logs, shared);
}

static void take_fds(struct worker *worker, struct message *message)
{
    size_t needed = worker->incoming_count + message->fd_count;

    if (needed > worker->incoming_capacity) {
        int *grown = realloc(worker->incoming, needed * 2 * sizeof *grown);

        if (grown == NULL) { /* what follows does not fit together any more and is refused */
            while (message->fd_count > 0)
                close(message->fds[--message->fd_count]);
            return;
        }
        worker->incoming = grown;
        worker->incoming_capacity = needed * 2;
    }
    memcpy(worker->incoming + worker->incoming_count, message->fds,
           message->fd_count * sizeof *message->fds);
    worker->incoming_count = needed;
}

static void obey(struct worker *worker, struct message *message)
{
    switch (message->kind) {
    case MESSAGE_FDS:
        take_fds(worker, message);
        break;
    case MESSAGE_BUNDLE:
        use_incoming(worker, message->number);
        break;
    case MESSAGE_LOGS:
        replace_logs(worker, message->number);
        break;
    case MESSAGE_LOG:
        replace_log(worker, message->text);
        break;
    case MESSAGE_APP:
        balance_take_app(worker->shared.balance, message->number,
                         parts_text(&worker->parts, message));
        parts_drop(&worker->parts);
        break;
    case MESSAGE_PART:
        parts_take(&worker->parts, message);
        break;
    case MESSAGE_DRAIN:
        begin_drain(worker);
        break;
    case MESSAGE_STOP:
        stop(worker);
        break;
    default: /* of a later version: not for us */
        break;
    }
}

static void on_channel(struct io *io, unsigned events)
{
    struct worker *worker = container_of(io, struct worker, channel);
    struct message message;
    enum message_result result;

    (void)events;
    while ((result = channel_receive(io->fd, &message)) != MESSAGE_AGAIN) {
        if (result == MESSAGE_OK) {
            obey(worker, &message);
        } else if (result == MESSAGE_CLOSED) {
            worker->master_gone = true;
            loop_unwatch(io);
            begin_drain(worker);
            break;
        }
    }
    io->ready &= ~(unsigned)IO_READ;
}

static void on_signal(struct io *io, unsigned events)
{
    struct worker *worker = container_of(io, struct worker, signals);
    struct signalfd_siginfo info;

    (void)events;
    while (read(io->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGQUIT)
            begin_drain(worker);
        else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            stop(worker);
    }
    io->ready &= ~(unsigned)IO_READ;
}

/* The others that the master handles mean nothing here, but must not kill. */
static bool watch_signals(struct worker *worker)
{
    static const int numbers[] = {SIGQUIT, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH};
    sigset_t set;

    worker->signals = (struct io){.fd = -1, .on_ready = on_signal};
    if (!worker->own_process)
        return true;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT(numbers); i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    worker->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return worker->signals.fd >= 0 && loop_watch(worker->loops[0].loop, &worker->signals);
}

static bool settle(struct worker *worker, const struct worker_start *start, struct diag *diag)
{
    if (start->own_process) {
        prctl(PR_SET_NAME, "pelayan-worker");
        process_title_set("pelayan: worker process");
        if (!privileges_drop(start->manifest, diag))
            return false;
    }
    worker->channel = (struct io){.fd = start->channel_fd, .on_ready = on_channel};
    if (worker_loops_init(worker, start->manifest) && watch_signals(worker) &&
        loop_watch(worker->loops[0].loop, &worker->channel) &&
        worker_loops_start(worker, start->manifest))
        return true;
    diag_errno(diag, "start", "the event loops");
    return false;
}

static void fini(struct worker *worker)
{
    if (worker->loops != NULL && worker->channel.loop != NULL)
        loop_unwatch(&worker->channel);
    if (worker->loops != NULL && worker->signals.loop != NULL)
        loop_unwatch(&worker->signals);
    if (worker->loops != NULL && deadline_armed(&worker->give_up))
        deadline_disarm(&worker->give_up);
    if (worker->building != NULL)
        pthread_join(worker->builder, NULL);
    worker_loops_end(worker);
    worker->over = true;
    worker_bundle_free(worker->building);
    if (worker->next != worker->current)
        worker_bundle_free(worker->next);
    worker_bundle_free(worker->current);
    worker_loops_free(worker);
    close_incoming(worker);
    close_new_logs(worker);
    free(worker->incoming);
    parts_drop(&worker->parts);
    fd_table_fini(&worker->listeners);
    fd_table_fini(&worker->logs);
    if (worker->signals.fd >= 0)
        close(worker->signals.fd);
    close(worker->channel.fd);
}

static void log_diag(const struct diag *diag)
{
    for (const struct diag_entry *entry = diag->first; entry != NULL; entry = entry->next)
        log_write(&log_process, entry->level == DIAG_ERROR ? LOG_LEVEL_EMERG : LOG_LEVEL_WARN, 0,
                  "%s", entry->message);
}

int worker_run(const struct worker_start *start)
{
    struct worker worker = {.options = start->options,
                            .own_process = start->own_process,
                            .channel = {.fd = start->channel_fd},
                            .signals = {.fd = -1}};
    struct diag diag;
    bool settled;

    tls_memory_begin();
    diag_init(&diag);
    fd_table_init(&worker.listeners);
    fd_table_init(&worker.logs);
    settled = settle(&worker, start, &diag);
    log_diag(&diag);
    if (settled) {
        loop_run(worker.loops[0].loop);
        log_write(worker_log(&worker), LOG_LEVEL_NOTICE, 0, "exit");
    } else {
        tell(&worker, MESSAGE_FAILED, 0, diag.first == NULL ? "" : diag.first->message);
        worker_loops_stop(&worker);
    }
    diag_fini(&diag);
    fini(&worker);
    return settled ? 0 : 2;
}
