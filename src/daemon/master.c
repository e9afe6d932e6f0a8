/* The master's life: start, signals, end. Runs in: master. */
#include "daemon/master.h"

#include "base/diag.h"
#include "base/process_title.h"
#include "control/server.h"
#include "daemon/manifest.h"
#include "daemon/master_internal.h"
#include "daemon/notify.h"
#include "daemon/options.h"
#include "daemon/pack.h"
#include "daemon/pid_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_AFTER_MS = 5000, MANIFEST_BYTES_MAX = 64 << 20 };

/* The main level's error log, for the master's own lines; and standard error follows its first
 * file. */
void master_log_to(struct master *master, const struct bundle *bundle)
{
    const struct manifest *manifest = bundle->manifest;
    struct log_target *targets = calloc(manifest->sink_count + 1, sizeof *targets);
    struct log log = {.targets = NULL};

    if (targets == NULL)
        return; /* the log before it stays, and stays valid: see master_run() */
    for (size_t i = 0; i < manifest->sink_count; i++) {
        const struct manifest_sink *sink = &manifest->sinks[i];
        bool standard_error = sink->log == MANIFEST_STDERR;

        targets[i] = (struct log_target){
            .next = log.targets,
            .fd = standard_error ? STDERR_FILENO : bundle->logs[sink->log]->fd,
            .level = sink->level,
        };
        log.targets = &targets[i];
        if (log.level < targets[i].level)
            log.level = targets[i].level;
    }
    master->log = log;
    free(master->log_targets);
    master->log_targets = targets;
    if (master->current == bundle && manifest->sink_count > 0 &&
        manifest->sinks[0].log != MANIFEST_STDERR)
        dup2(bundle->logs[manifest->sinks[0].log]->fd, STDERR_FILENO);
}

void master_exit_if_done(struct master *master)
{
    if (master->phase != MASTER_RUNNING && list_empty(&master->workers) && app_link_left(master))
        loop_stop(master->loop);
}

static void on_kill(struct deadline *deadline)
{
    struct master *master = container_of(deadline, struct master, kill);

    log_write(&master->log, LOG_LEVEL_ALERT, 0, "workers do not end, killing them");
    workers_kill(master, SIGKILL);
}

/* Quitting may still become stopping; nothing leads back. */
void master_step_down(struct master *master, enum master_phase phase)
{
    if (master->phase >= phase)
        return;
    master->phase = phase;
    notify("STOPPING=1");
    rollout_cancel(master, "pelayan: [error] shutting down\n");
    file_watch_fini(&master->certificates);
    if (deadline_armed(&master->respawn))
        deadline_disarm(&master->respawn);
    list_each(it, keep, &master->workers)
    {
        struct worker_process *worker = container_of(it, struct worker_process, link);

        if (phase == MASTER_STOPPING)
            worker_order_stop(worker);
        else if (worker->state != WORKER_LEAVING)
            worker_order_drain(worker);
    }
    if (phase == MASTER_STOPPING) {
        master->kill.on_expire = on_kill;
        deadline_arm(master->loop, &master->kill, KILL_AFTER_MS);
    }
    /* nobody accepts any more: who comes now is refused at once */
    bundle_free(master->current);
    master->current = NULL;
    master->log =
        log_process; /* its files went with the bundle; standard error leads to the main one */
    master_exit_if_done(master);
}

/* The worker drains away, the master stays with its sockets: new connections wait for the next one.
 */
static void go_without_worker(struct master *master)
{
    if (master->worker == NULL || master->phase != MASTER_RUNNING)
        return;
    master->without_worker = true;
    worker_order_drain(master->worker);
}

static void on_end_signal(struct master *master, int number)
{
    master_step_down(master, number == SIGQUIT ? MASTER_QUITTING : MASTER_STOPPING);
}

static void handle_signal(struct master *master, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;

    if (number == SIGCHLD) {
        workers_reap(master);
        return;
    }
    log_write(&master->log, LOG_LEVEL_NOTICE, 0, "signal %d (SIG%s) received from %d%s", number,
              sigabbrev_np(number), (int)info->ssi_pid,
              number == SIGTERM || number == SIGINT ? ", exiting"
              : number == SIGQUIT                   ? ", shutting down"
                                                    : "");
    switch (number) {
    case SIGHUP:
        rollout_begin(master, NULL, false);
        break;
    case SIGUSR1:
        master_reopen(master, NULL);
        break;
    case SIGUSR2:
        upgrade_begin(master, NULL);
        break;
    case SIGWINCH:
        go_without_worker(master);
        break;
    default:
        on_end_signal(master, number);
        break;
    }
}

static void on_signal(struct io *io, unsigned events)
{
    struct master *master = container_of(io, struct master, signals);
    struct signalfd_siginfo info;

    (void)events;
    while (read(io->fd, &info, sizeof info) == (ssize_t)sizeof info)
        handle_signal(master, &info);
    io->ready &= ~(unsigned)IO_READ;
}

static bool watch_signals(struct master *master)
{
    static const int numbers[] = {SIGCHLD,  SIGHUP,  SIGUSR1, SIGUSR2,
                                  SIGWINCH, SIGQUIT, SIGTERM, SIGINT};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < COUNT(numbers); i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    master->signals = (struct io){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
                                  .on_ready = on_signal};
    return master->signals.fd >= 0 && loop_watch(master->loop, &master->signals);
}

/* As nginx: with the command line as it was typed. */
static void show_title(char *const *argv)
{
    char text[1024] = "";
    size_t used = 0;

    for (; *argv != NULL && used < sizeof text; argv++)
        used += (size_t)snprintf(text + used, sizeof text - used, " %s", *argv);
    process_title_set("pelayan: master process%s", text);
}

static bool init(struct master *master, const struct run_options *options)
{
    struct background background = master->background;

    show_title(options->argv);
    *master = (struct master){.options = options,
                              .tables = {.options = options},
                              .log = log_process,
                              .background = background,
                              .signals = {.fd = -1}};
    fd_table_init(&master->tables.sockets);
    fd_table_init(&master->tables.logs);
    list_init(&master->workers);
    list_init(&master->rollout.waiting);
    list_init(&master->rollout.waiting_next);
    list_init(&master->reopening);
    list_init(&master->stopping);
    list_init(&master->upgrading);
    app_link_init(master);
    master->loop = loop_new(0);
    file_watch_init(&master->certificates, master->loop, rollout_renew);
    return master->loop != NULL && watch_signals(master);
}

/* Before anything is opened: another master with the same pid file is found by its control socket,
 * and is left alone. False: message on standard error. */
static bool claim_place(struct master *master, const char *pid_path)
{
    struct diag diag;

    diag_init(&diag);
    if (!commands_open(master, pid_path, -1)) {
        if (errno == EADDRINUSE)
            diag_add(&diag, DIAG_ERROR, NULL, "another master runs with the pid file \"%s\"",
                     pid_path);
        else
            log_write(&master->log, LOG_LEVEL_WARN, errno,
                      "no control socket beside \"%s\": only signals are heard", pid_path);
    }
    if (!diag_failed(&diag) && pid_file_write(pid_path, getpid(), &diag))
        master->pid_path = strdup(pid_path);
    diag_print(&diag, stderr);
    diag_fini(&diag);
    return master->pid_path != NULL;
}

static void answer_rest(struct master *master)
{
    master_answer_all(&master->reopening, false, slice_of("shutting down"));
    master_answer_all(&master->upgrading, false, slice_of("shutting down"));
    master_answer_all(&master->stopping, true, slice_of(""));
}

static void fini(struct master *master)
{
    if (master->pid_path != NULL)
        pid_file_remove(master->pid_path, getpid());
    if (master->socket_path != NULL)
        unlink(master->socket_path);
    bundle_free(master->current);
    if (master->loop != NULL) {
        app_link_fini(master);
        answer_rest(master);
        file_watch_fini(&master->certificates);
        control_server_free(master->control);
        if (master->signals.loop != NULL)
            loop_unwatch(&master->signals);
        if (deadline_armed(&master->kill))
            deadline_disarm(&master->kill);
    }
    loop_free(master->loop);
    if (master->signals.fd >= 0)
        close(master->signals.fd);
    free(master->log_targets);
    free(master->pid_path);
    free(master->socket_path);
    fd_table_fini(&master->tables.sockets);
    fd_table_fini(&master->tables.logs);
}

/* What decides about the background, and where the pid file is. */
static struct manifest *read_manifest(const struct verdict *verdict)
{
    struct slice bytes = unpack_memfd(verdict->manifest_fd, MANIFEST_BYTES_MAX);
    struct manifest *manifest = bytes.data == NULL ? NULL : manifest_unpack(bytes);

    free((char *)bytes.data);
    return manifest;
}

/* The first check, before anything else exists. NULL: the exit code is 1, messages have been
 * printed. */
static struct manifest *check_first(const struct run_options *options, struct verdict *verdict)
{
    struct validation validation;

    if (!validation_start(&validation, options)) {
        fprintf(stderr, "pelayan: [emerg] cannot start a process: %s\n", strerror(errno));
        return NULL;
    }
    validation_finish(&validation, verdict);
    while (waitpid(validation.pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    fprintf(stderr, "%.*s", SLICE_ARG(verdict->text));
    free((char *)verdict->text.data); /* or it would be logged again */
    verdict->text = slice_make(NULL, 0);
    return verdict->valid ? read_manifest(verdict) : NULL;
}

static int serve(struct master *master)
{
    if (master->phase == MASTER_RUNNING || !list_empty(&master->workers))
        loop_run(master->loop);
    log_write(&log_process, LOG_LEVEL_NOTICE, 0, "exit");
    fini(master);
    background_report(&master->background, master->exit_code);
    return master->exit_code;
}

static int start_checked(struct master *master, const struct run_options *options,
                         struct verdict *verdict, const char *pid_path)
{
    if (!init(master, options)) {
        fprintf(stderr, "pelayan: [emerg] cannot start: %s\n", strerror(errno));
        fini(master);
        return 1;
    }
    if (!claim_place(master, pid_path)) {
        fini(master);
        return 1;
    }
    master->tables.wait_for_address = true;
    rollout_take_verdict(master, verdict);
    master->tables.wait_for_address = false;
    return serve(master);
}

static int start_fresh(struct master *master, const struct run_options *options)
{
    struct verdict verdict = {.manifest_fd = -1, .record_fd = -1};
    struct background background = {.status_fd = -1};
    struct manifest *manifest = check_first(options, &verdict);
    int code = 1;

    if (manifest != NULL && (!manifest->daemon || background_enter(&background))) {
        *master = (struct master){.background = background};
        code = start_checked(master, options, &verdict, manifest->pid_path.data);
    }
    manifest_free(manifest);
    verdict_free(&verdict);
    return code;
}

int master_run(const struct run_options *options)
{
    struct master master = {.background = {.status_fd = -1}};

    if (getenv(MASTER_STATE_VARIABLE) == NULL)
        return start_fresh(&master, options);
    if (!init(&master, options) || !upgrade_restore(&master)) {
        log_write(&log_process, LOG_LEVEL_EMERG, errno,
                  "the state of the program before cannot be used");
        return 1;
    }
    app_link_use(&master, master.current->manifest);
    rollout_begin(&master, NULL, true);
    return serve(&master);
}
