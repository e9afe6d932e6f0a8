/* The app runner's own process. Runs in: see runner.h. */
#include "daemon/runner.h"

#include "apps/apps.h"
#include "base/log.h"
#include "control/app_commands.h"
#include "control/server.h"
#include "daemon/notify.h"
#include "event/loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct runner {
    const char *home;
    struct loop *loop;
    struct apps *apps;
    struct control_server *control;
    struct io signals;
    struct list ending; /* requests that are answered at the end */
    char socket_path[PATH_MAX];
    int lock_fd; /* held as long as we live: one runner per home */
};

bool runner_socket_path(const char *home, char *out, size_t out_bytes)
{
    int len = snprintf(out, out_bytes, "%s/control.sock", home);

    return len > 0 && (size_t)len < out_bytes &&
           (size_t)len < sizeof((struct sockaddr_un *)0)->sun_path;
}

/* Children nobody waits for: they have come to us because their parents died. Ours are left alone,
 * and those behind them in the kernel's list come the next time. */
static void reap_strays(void *context)
{
    const struct runner *runner = context;
    siginfo_t info = {.si_pid = 0};

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0 &&
           !apps_know_pid(runner->apps, info.si_pid)) {
        waitpid(info.si_pid, NULL, WNOHANG);
        info.si_pid = 0;
    }
}

static void on_idle(void *context)
{
    struct runner *runner = context;

    loop_stop(runner->loop);
}

static void end(struct runner *runner, const char *why)
{
    log_write(&log_process, LOG_LEVEL_NOTICE, 0, "%s: stopping all apps", why);
    notify("STOPPING=1");
    apps_stop_all(runner->apps);
}

static void on_signal(struct io *io, unsigned events)
{
    struct runner *runner = container_of(io, struct runner, signals);
    struct signalfd_siginfo info;

    (void)events;
    while (read(io->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            reap_strays(runner);
        else if (info.ssi_signo == SIGUSR2)
            apps_reopen_logs(runner->apps);
        else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT || info.ssi_signo == SIGQUIT)
            end(runner, "signal received");
    }
    io->ready &= ~(unsigned)IO_READ;
}

static bool watch_signals(struct runner *runner)
{
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR2};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < COUNT(numbers); i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    runner->signals = (struct io){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
                                  .on_ready = on_signal};
    return runner->signals.fd >= 0 && loop_watch(runner->loop, &runner->signals);
}

static void run_app(struct control_request *request, void *context)
{
    struct runner *runner = context;

    app_command(runner->apps, request);
}

static void run_kill(struct control_request *request, void *context)
{
    struct runner *runner = context;

    list_push_back(&runner->ending, &request->link);
    end(runner, "asked to end");
}

static const struct control_command commands[] = {
    {"app", run_app, "What is asked of apps; its name is in \"do\"."},
    {"kill", run_kill, "Stops all apps and ends; answers when they have ended."},
};

static bool make_folders(const char *home)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s", home) >= PATH_MAX)
        return false;
    for (char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return false;
        *at = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* Who has the lock is the runner of this home; its number is in the file. */
static bool take_lock(struct runner *runner)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s/pelayan.pid", runner->home) >= PATH_MAX)
        return false;
    runner->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (runner->lock_fd < 0 || flock(runner->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return false;
    if (ftruncate(runner->lock_fd, 0) != 0)
        return false;
    dprintf(runner->lock_fd, "%d\n", (int)getpid());
    return true;
}

static bool open_control(struct runner *runner)
{
    int fd = control_listen(runner->socket_path);

    if (fd < 0)
        return false;
    runner->control = control_server_new(runner->loop, fd, commands, COUNT(commands), runner);
    if (runner->control == NULL)
        close(fd);
    return runner->control != NULL;
}

static bool begin(struct runner *runner)
{
    struct apps_observer observer = {
        .on_strays = reap_strays, .on_idle = on_idle, .context = runner};

    if (!runner_socket_path(runner->home, runner->socket_path, sizeof runner->socket_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (!make_folders(runner->home) || !take_lock(runner))
        return false;
    runner->loop = loop_new(0);
    if (runner->loop == NULL || !watch_signals(runner))
        return false;
    runner->apps = apps_new(runner->loop, runner->home, &log_process, &observer);
    return runner->apps != NULL && open_control(runner);
}

static void fini(struct runner *runner)
{
    if (runner->loop != NULL) {
        while (!list_empty(&runner->ending)) {
            struct list *link = list_pop_front(&runner->ending);

            control_answer(container_of(link, struct control_request, link), true, slice_of(""));
        }
        apps_free(runner->apps);
        if (runner->control != NULL) {
            unlink(runner->socket_path);
            control_server_free(runner->control);
        }
        if (runner->signals.loop != NULL)
            loop_unwatch(&runner->signals);
        loop_free(runner->loop);
    }
    if (runner->signals.fd >= 0)
        close(runner->signals.fd);
    if (runner->lock_fd >= 0)
        close(runner->lock_fd);
}

int runner_run(const struct runner_start *start)
{
    struct runner runner = {.home = start->home, .signals = {.fd = -1}, .lock_fd = -1};
    int code = 1;

    list_init(&runner.ending);
    mallopt(M_ARENA_MAX, 1); /* one thread; memory that is free goes back */
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    if (begin(&runner)) {
        if (start->ready_fd >= 0 && write(start->ready_fd, "", 1) == 1)
            close(start->ready_fd);
        notify("READY=1");
        loop_run(runner.loop);
        code = 0;
    } else {
        fprintf(stderr, "pelayan: [emerg] cannot run apps in \"%s\": %s\n", start->home,
                errno == EWOULDBLOCK ? "somebody does already" : strerror(errno));
    }
    fini(&runner);
    return code;
}
