/* The app runner's own process. Runs in: see runner.h. */
#include "daemon/runner.h"

#include "apps/apps.h"
#include "apps/handover.h"
#include "base/diag.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process_title.h"
#include "control/app_commands.h"
#include "control/server.h"
#include "daemon/notify.h"
#include "daemon/runner_internal.h"
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
           !apps_know_pid(runner->apps, info.si_pid) &&
           !runner_upgrade_knows(runner, info.si_pid)) {
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
    runner->ending_begun = true;
    runner_upgrade_fini(runner, "shutting down");
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
        else if (info.ssi_signo == SIGUSR1)
            runner_upgrade_ask(runner, runner->program, NULL);
        else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT || info.ssi_signo == SIGQUIT)
            end(runner, "signal received");
    }
    io->ready &= ~(unsigned)IO_READ;
}

static bool watch_signals(struct runner *runner)
{
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};
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

/* The program that the client names, or the one on the disk where ours was. */
static void run_update(struct control_request *request, void *context)
{
    struct runner *runner = context;
    json_t *body = json_loadb(request->line.data, request->line.len, 0, NULL);
    const char *program = json_string_value(json_object_get(body, "program"));
    bool usable = program != NULL && program[0] == '/' && strlen(program) < PATH_MAX;

    runner_upgrade_ask(runner, usable ? program : runner->program, request);
    json_decref(body);
}

static const struct control_command commands[] = {
    {"app", run_app, "What is asked of apps; its name is in \"do\"."},
    {"update", run_update, "Another program goes on in this process; answers when it does."},
    {"kill", run_kill, "Stops all apps and ends; answers when they have ended."},
};

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

/* Where the program is that runs here: what is there later is the one an update takes. */
static char *own_program(void)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);

    return len <= 0 ? NULL : slice_strdup(slice_make(path, (size_t)len));
}

static bool begin_loop(struct runner *runner)
{
    struct apps_observer observer = {
        .on_strays = reap_strays, .on_idle = on_idle, .context = runner};

    process_title_set("pelayan: app runner (%s)", runner->home);
    mallopt(M_ARENA_MAX, 1); /* one thread; memory that is free goes back */
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    if (!runner_socket_path(runner->home, runner->socket_path, sizeof runner->socket_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    runner->loop = loop_new(0);
    if (runner->loop == NULL || !watch_signals(runner))
        return false;
    runner->apps = apps_new(runner->loop, runner->home, &log_process, &observer);
    return runner->apps != NULL;
}

static bool begin(struct runner *runner, const char *home)
{
    runner->home = strdup(home);
    runner->program = own_program();
    return runner->home != NULL && runner->program != NULL && file_folders(home, 0700) &&
           take_lock(runner) && begin_loop(runner) && open_control(runner);
}

static void adopt_connections(struct runner *runner, const json_t *list)
{
    size_t index;
    json_t *entry;

    json_array_foreach(list, index, entry)
    {
        const json_t *line = json_object_get(entry, "line");
        size_t bytes_max = json_string_length(line) / 2;
        char *unread = malloc(bytes_max + 1);
        size_t len = unread == NULL ? 0 : bytes_unpack(line, unread, bytes_max);

        control_server_adopt(runner->control, (int)json_integer_value(json_object_get(entry, "fd")),
                             slice_make(unread, len));
        free(unread);
    }
}

/* From the state of the program before this one in the same process. */
static bool resume(struct runner *runner, const json_t *state)
{
    const char *home = json_string_value(json_object_get(state, "home"));
    const char *program = json_string_value(json_object_get(state, "program"));

    runner->home = strdup(home == NULL ? "" : home);
    runner->program = program == NULL ? own_program() : strdup(program);
    runner->lock_fd = (int)json_integer_value(json_object_get(state, "lock"));
    if (runner->home == NULL || runner->program == NULL || !begin_loop(runner))
        return false;
    apps_unpack(runner->apps, json_object_get(state, "apps"));
    runner->control = control_server_new(runner->loop,
                                         (int)json_integer_value(json_object_get(state, "control")),
                                         commands, COUNT(commands), runner);
    if (runner->control == NULL)
        return false;
    adopt_connections(runner, json_object_get(state, "connections"));
    runner_upgrade_done(state);
    reap_strays(runner); /* those that ended in between were announced to the other one */
    return true;
}

/* Whoever asked for our end may begin another runner at once: it finds no socket of ours, which we
 * would remove under it, and no lock. */
static void leave_home(struct runner *runner)
{
    if (runner->control != NULL)
        unlink(runner->socket_path);
    if (runner->lock_fd >= 0)
        close(runner->lock_fd);
    runner->lock_fd = -1;
}

static void fini(struct runner *runner)
{
    if (runner->loop != NULL) {
        runner_upgrade_fini(runner, "shutting down");
        apps_free(runner->apps);
        leave_home(runner);
        while (!list_empty(&runner->ending)) {
            struct list *link = list_pop_front(&runner->ending);

            control_answer(container_of(link, struct control_request, link), true, slice_of(""));
        }
        control_server_free(runner->control);
        if (runner->signals.loop != NULL)
            loop_unwatch(&runner->signals);
        loop_free(runner->loop);
    }
    if (runner->signals.fd >= 0)
        close(runner->signals.fd);
    if (runner->lock_fd >= 0)
        close(runner->lock_fd);
    free(runner->home);
    free(runner->program);
}

static void init(struct runner *runner)
{
    *runner = (struct runner){
        .signals = {.fd = -1}, .lock_fd = -1, .upgrade = {.check_output = -1}};
    list_init(&runner->ending);
    list_init(&runner->upgrade.asking);
}

int runner_run(const struct runner_start *start)
{
    struct runner runner;
    int code = 1;

    init(&runner);
    if (begin(&runner, start->home)) {
        if (start->ends_with_apps)
            apps_may_leave(runner.apps);
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

static int go_on_with(const json_t *state)
{
    struct runner runner;
    int code = 1;

    init(&runner);
    if (resume(&runner, state)) {
        log_write(&log_process, LOG_LEVEL_NOTICE, 0, "update: this is %s", PELAYAN_VERSION);
        loop_run(runner.loop);
        code = 0;
    } else {
        fprintf(stderr, "pelayan: [emerg] cannot go on with the apps in \"%s\": %s\n",
                runner.home == NULL ? "" : runner.home, strerror(errno));
    }
    fini(&runner);
    return code;
}

int runner_resume(void)
{
    bool check = runner_upgrade_is_check();
    struct diag diag;
    json_t *state;
    int code = 1;

    diag_init(&diag);
    state = runner_upgrade_state(&diag);
    if (state != NULL && check)
        code = runner_upgrade_check(state, &diag);
    else if (state != NULL)
        code = go_on_with(state);
    for (const struct diag_entry *entry = diag.first; entry != NULL && code != 0;
         entry = entry->next)
        fprintf(stderr, "pelayan: [emerg] %s\n", entry->message);
    json_decref(state);
    diag_fini(&diag);
    return code;
}
