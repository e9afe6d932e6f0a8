/* Starting, replacing, ordering and burying workers. Runs in: master. */
#include "base/diag.h"
#include "control/server.h"
#include "daemon/channel.h"
#include "daemon/manifest.h"
#include "daemon/master_internal.h"
#include "daemon/pack.h"
#include "daemon/worker.h"

#include <assert.h>
#include <errno.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    YOUNG_MS = 2000, /* who dies younger crashes at start: do not spin */
    RESPAWN_MIN_MS = 100,
    RESPAWN_MAX_MS = 5000,
    CHANNEL_FD = 3,
};

static void on_channel(struct io *io, unsigned events);

static void worker_free(struct worker_process *worker)
{
    if (worker->channel.loop != NULL)
        loop_unwatch(&worker->channel);
    if (worker->channel.fd >= 0)
        close(worker->channel.fd);
    if (list_linked(&worker->link))
        list_remove(&worker->link);
    app_link_forget(worker);
    parts_drop(&worker->parts);
    manifest_free(worker->manifest);
    free(worker);
}

static struct worker_process *worker_new(struct master *master, int channel_fd)
{
    struct worker_process *worker = calloc(1, sizeof *worker);

    if (worker == NULL)
        return NULL;
    *worker = (struct worker_process){.master = master,
                                      .channel = {.fd = channel_fd, .on_ready = on_channel},
                                      .started_ms = loop_now_ms(master->loop),
                                      .channel_end = -1};
    list_init(&worker->app_loads);
    list_push_back(&master->workers, &worker->link);
    if (loop_watch(master->loop, &worker->channel))
        return worker;
    worker->channel.fd = -1; /* the caller's again */
    worker_free(worker);
    return NULL;
}

/* In the new process: nothing of the master but the channel stays open. */
static void child_run(struct master *master, const struct manifest *manifest, int channel_fd)
{
    struct worker_start start = {.options = master->options,
                                 .manifest = manifest,
                                 .channel_fd = CHANNEL_FD,
                                 .own_process = true};

    if (channel_fd != CHANNEL_FD && dup2(channel_fd, CHANNEL_FD) < 0)
        _exit(2);
    close_range(CHANNEL_FD + 1, ~0U, 0);
    if (manifest->daemon)
        background_silence();
    exit(worker_run(&start));
}

static void *thread_run(void *data)
{
    struct worker_process *worker = data;
    struct worker_start start = {.options = worker->master->options,
                                 .manifest = worker->manifest,
                                 .channel_fd = worker->channel_end};

    worker_run(&start);
    return NULL;
}

static bool launch(struct worker_process *worker, const struct bundle *bundle, int channel_fd)
{
    if (!bundle->manifest->master_process) {
        worker->is_thread = true;
        worker->pid = getpid();
        worker->channel_end = channel_fd;
        errno = pthread_create(&worker->thread, NULL, thread_run, worker);
        return errno == 0;
    }
    worker->pid = fork();
    if (worker->pid == 0)
        child_run(worker->master, bundle->manifest, channel_fd);
    if (worker->pid > 0)
        close(channel_fd);
    return worker->pid > 0;
}

static struct manifest *copy_manifest(const struct manifest *manifest)
{
    struct packer packer = {.data = NULL};
    struct manifest *copy = NULL;

    manifest_pack(manifest, &packer);
    if (!packer.failed)
        copy = manifest_unpack(slice_make(packer.data, packer.len));
    pack_free(&packer);
    return copy;
}

struct worker_process *worker_spawn(struct master *master, const struct bundle *bundle)
{
    struct worker_process *worker;
    int pair[2];

    if (!channel_pair(pair))
        return NULL;
    worker = worker_new(master, pair[0]);
    if (worker == NULL) {
        close(pair[0]);
        close(pair[1]);
        return NULL;
    }
    worker->manifest = copy_manifest(bundle->manifest);
    if (worker->manifest != NULL && launch(worker, bundle, pair[1])) {
        log_write(&master->log, LOG_LEVEL_NOTICE, 0, "start worker process %d", (int)worker->pid);
        app_link_greet(worker);
        return worker;
    }
    log_write(&master->log, LOG_LEVEL_ALERT, errno, "cannot start a worker process");
    close(pair[1]);
    worker_free(worker);
    return NULL;
}

/* After an upgrade: the worker of the program before us. */
struct worker_process *worker_adopt(struct master *master, pid_t pid, int channel_fd)
{
    struct worker_process *worker = worker_new(master, channel_fd);

    if (worker == NULL)
        return NULL;
    worker->pid = pid;
    worker->state = WORKER_SERVING;
    return worker;
}

void worker_order_drain(struct worker_process *worker)
{
    if (worker->state == WORKER_ENDED)
        return;
    worker->state = WORKER_LEAVING;
    if (worker->master->worker == worker)
        worker->master->worker = NULL;
    if (!channel_send(worker->channel.fd, MESSAGE_DRAIN, 0, slice_of("")) && !worker->is_thread)
        kill(worker->pid, SIGQUIT);
}

void worker_order_stop(struct worker_process *worker)
{
    if (worker->state == WORKER_ENDED)
        return;
    worker->state = WORKER_LEAVING;
    if (worker->master->worker == worker)
        worker->master->worker = NULL;
    if (!channel_send(worker->channel.fd, MESSAGE_STOP, 0, slice_of("")) && !worker->is_thread)
        kill(worker->pid, SIGTERM);
}

void workers_kill(struct master *master, int number)
{
    list_each(it, keep, &master->workers)
    {
        struct worker_process *worker = container_of(it, struct worker_process, link);

        if (!worker->is_thread)
            kill(worker->pid, number);
    }
}

static void on_respawn(struct deadline *deadline)
{
    worker_respawn(container_of(deadline, struct master, respawn));
}

static void respawn_after(struct master *master, uint64_t pause_ms)
{
    master->respawn.on_expire = on_respawn;
    deadline_arm(master->loop, &master->respawn, pause_ms);
}

/* With the config that is current: it has been served before. */
void worker_respawn(struct master *master)
{
    struct worker_process *worker;

    if (master->phase != MASTER_RUNNING || master->without_worker || master->worker != NULL ||
        master->current == NULL)
        return;
    worker = worker_spawn(master, master->current);
    if (worker != NULL && bundle_send(master->current, worker->channel.fd)) {
        worker->sent = master->current->generation;
        master->worker = worker;
        return;
    }
    if (worker != NULL)
        worker_order_stop(worker);
    respawn_after(master, RESPAWN_MAX_MS);
}

static void replace(struct master *master, uint64_t lived_ms)
{
    uint64_t pause_ms = RESPAWN_MIN_MS;

    master->crashes = lived_ms < YOUNG_MS ? master->crashes + 1 : 0;
    if (master->crashes <= 1) {
        worker_respawn(master);
        return;
    }
    for (unsigned i = 2; i < master->crashes && pause_ms < RESPAWN_MAX_MS; i++)
        pause_ms *= 2;
    if (pause_ms > RESPAWN_MAX_MS)
        pause_ms = RESPAWN_MAX_MS;
    log_write(&master->log, LOG_LEVEL_ALERT, 0,
              "workers die at start, the next one starts in %llu ms", (unsigned long long)pause_ms);
    respawn_after(master, pause_ms);
}

static void log_end(const struct worker_process *worker, int status)
{
    struct log *log = &worker->master->log;

    if (WIFSIGNALED(status))
        log_write(log, LOG_LEVEL_ALERT, 0, "worker process %d exited on signal %d (SIG%s)%s",
                  (int)worker->pid, WTERMSIG(status), sigabbrev_np(WTERMSIG(status)),
                  WCOREDUMP(status) ? " (core dumped)" : "");
    else
        log_write(log, worker->state == WORKER_LEAVING ? LOG_LEVEL_NOTICE : LOG_LEVEL_ALERT, 0,
                  "worker process %d exited with code %d", (int)worker->pid, WEXITSTATUS(status));
}

void worker_ended(struct worker_process *worker, int status)
{
    struct master *master = worker->master;
    uint64_t lived_ms = loop_now_ms(master->loop) - worker->started_ms;
    bool served = master->worker == worker;

    log_end(worker, status);
    worker->state = WORKER_ENDED;
    if (served)
        master->worker = NULL;
    if (served)
        master_answer_all(&master->reopening, false, slice_of("the worker process died"));
    rollout_failed(master, worker, 0,
                   slice_of("pelayan: [emerg] the worker process died on the configuration\n"));
    worker_free(worker);
    if (served)
        replace(master, lived_ms);
    master_exit_if_done(master);
}

/* Every child that ended, ours or an orphan that PID 1 of a container inherits. */
void workers_reap(struct master *master)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == master->upgrade_check) {
            master->upgrade_check = 0;
            upgrade_checked(master, status);
            continue;
        }
        list_each(it, keep, &master->workers)
        {
            struct worker_process *worker = container_of(it, struct worker_process, link);

            if (worker->pid != pid || worker->is_thread)
                continue;
            worker_ended(worker, status);
            break;
        }
    }
}

static void on_serving(struct worker_process *worker, uint64_t generation)
{
    if (worker->state == WORKER_STARTING)
        worker->state = WORKER_SERVING;
    rollout_served(worker->master, worker, generation);
}

/* One that replaces another and cannot even serve what was served before ends; the next one comes
 * after a pause. */
static void on_failed(struct worker_process *worker, const struct message *message)
{
    struct master *master = worker->master;

    if (master->rollout.target == worker) {
        rollout_failed(master, worker, message->number, message->text);
        return;
    }
    log_write(&master->log, LOG_LEVEL_EMERG, 0, "worker process %d cannot serve: %.*s",
              (int)worker->pid, SLICE_ARG(message->text));
    if (worker->state == WORKER_STARTING && !worker->is_thread)
        kill(worker->pid, SIGTERM);
}

static void on_message(struct worker_process *worker, const struct message *message)
{
    struct master *master = worker->master;

    switch (message->kind) {
    case MESSAGE_SERVING:
        on_serving(worker, message->number);
        break;
    case MESSAGE_FAILED:
        on_failed(worker, message);
        break;
    case MESSAGE_REOPENED:
        master_answer_all(&master->reopening, message->text.len == 0, message->text);
        break;
    case MESSAGE_APP_WANTED:
        app_link_wanted(worker, message->text);
        break;
    case MESSAGE_APP_LOAD:
        app_link_load(worker, parts_text(&worker->parts, message), message->number);
        parts_drop(&worker->parts);
        break;
    case MESSAGE_PART:
        parts_take(&worker->parts, message);
        break;
    default: /* the worker may have been taken over: what makes no sense is nothing */
        log_write(&master->log, LOG_LEVEL_ALERT, 0, "worker process %d sent an unknown message",
                  (int)worker->pid);
        break;
    }
}

/* A process is reaped when its end is announced by the kernel; a thread only has this. */
static void on_closed(struct worker_process *worker)
{
    loop_unwatch(&worker->channel);
    if (!worker->is_thread)
        return;
    pthread_join(worker->thread, NULL);
    worker_ended(worker, 0);
}

static void on_channel(struct io *io, unsigned events)
{
    struct worker_process *worker = container_of(io, struct worker_process, channel);
    struct message message;
    enum message_result result;

    (void)events;
    while ((result = channel_receive(io->fd, &message)) != MESSAGE_AGAIN) {
        if (result == MESSAGE_CLOSED) {
            on_closed(worker);
            return; /* it may be freed */
        }
        if (result != MESSAGE_OK)
            continue;
        while (message.fd_count > 0) /* a worker has nothing to hand up */
            close(message.fds[--message.fd_count]);
        on_message(worker, &message);
    }
    io->ready &= ~(unsigned)IO_READ;
}

static void log_diag(const struct master *master, const struct diag *diag)
{
    for (const struct diag_entry *entry = diag->first; entry != NULL; entry = entry->next)
        log_write(&master->log, LOG_LEVEL_EMERG, 0, "%s", entry->message);
}

/* Requests that began before a reload or an upgrade may go on for hours. */
static void reopen_of_leaving(struct master *master)
{
    list_each(it, keep, &master->workers)
    {
        const struct worker_process *worker = container_of(it, struct worker_process, link);

        if (worker->state == WORKER_LEAVING &&
            !bundle_send_each_log(master->current, worker->channel.fd))
            log_write(&master->log, LOG_LEVEL_WARN, 0,
                      "worker process %d, which leaves, goes on writing to the old logs",
                      (int)worker->pid);
    }
}

static void reopen_now(struct master *master)
{
    struct bundle *current = master->current;
    struct worker_process *worker = master->worker;
    bool waits = false;
    struct diag diag;

    log_write(&master->log, LOG_LEVEL_NOTICE, 0, "reopening logs");
    diag_init(&diag);
    if (current != NULL) {
        bundle_reopen_logs(current, &diag);
        log_diag(master, &diag);
        master_log_to(master, current);
        reopen_of_leaving(master);
        waits = worker != NULL && worker->sent == current->generation &&
                bundle_send_logs(current, worker->channel.fd);
    }
    if (diag_failed(&diag))
        master_answer_all(&master->reopening, false, slice_of(diag.first->message));
    else if (!waits)
        master_answer_all(&master->reopening, true, slice_of(""));
    diag_fini(&diag);
}

/* `request` NULL: a signal. What a worker has been handed and does not use yet are the files as
 * they were opened then: it gets the new ones when it does. */
void master_reopen(struct master *master, struct control_request *request)
{
    if (request != NULL)
        list_push_back(&master->reopening, &request->link);
    master->reopen_wanted = master->rollout.step == ROLLOUT_HANDING;
    if (!master->reopen_wanted)
        reopen_now(master);
}
