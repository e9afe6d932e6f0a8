/* The app runner becomes another program without its apps noticing: same process, same children,
 * same pipes, channels and sockets.
 *
 *   wish ──► apps are at rest ──► the new program looks at our state (a child) ──► execve
 *              ▲   (asked again)                    │ says no, or nothing: all stays
 *              └────────────────────────────────────┘ apps were asked for something meanwhile
 *
 * What we know goes through a memfd, as JSON; descriptors keep their numbers. Commands that come
 * meanwhile wait in the socket, and connections are handed on. Runs in: runner. */
#include "apps/apps.h"
#include "apps/handover.h"
#include "apps/spawn.h"
#include "base/diag.h"
#include "base/log.h"
#include "control/server.h"
#include "daemon/pack.h"
#include "daemon/runner.h"
#include "daemon/runner_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LOOK_AGAIN_MS = 50,
    REST_MAX_MS = 60 * 1000, /* a rollout may wait for an app's readiness */
    CHECK_MAX_MS = 20 * 1000,
    STATE_BYTES_MAX = 256 << 20,
    SAID_BYTES = 1024,
    CHECK_FD = 3, /* where the check finds the state */
};

#define STATE_VARIABLE "PELAYAN_RUNNER_STATE"
#define CHECK_VARIABLE "PELAYAN_RUNNER_CHECK"

static const char understood[] = "pelayan understands the state of its app runner\n";

/* ---- answers */

static void answer_all(struct runner_upgrade *upgrade, const char *why)
{
    while (!list_empty(&upgrade->asking)) {
        struct list *link = list_pop_front(&upgrade->asking);

        control_answer(container_of(link, struct control_request, link), false, slice_of(why));
    }
}

static void refuse(struct runner *runner, const char *why)
{
    struct runner_upgrade *upgrade = &runner->upgrade;

    log_write(&log_process, LOG_LEVEL_ERROR, 0, "no update, everything stays as it is: %s", why);
    deadline_disarm(&upgrade->when);
    free(upgrade->program);
    upgrade->program = NULL;
    answer_all(upgrade, why);
}

/* ---- the state */

struct connections {
    json_t *list;
    json_t *fds;
};

static void pack_connection(void *context, int fd, struct slice unread)
{
    struct connections *connections = context;

    json_array_append_new(connections->fds, json_integer(fd));
    json_array_append_new(connections->list,
                          json_pack("{s:i, s:o}", "fd", fd, "line", bytes_pack(unread)));
}

static json_t *pack_asking(const struct runner_upgrade *upgrade, json_t *fds)
{
    json_t *asking = json_array();

    list_each(it, keep, &upgrade->asking)
    {
        int fd = control_request_fd(container_of(it, struct control_request, link));

        if (fd < 0)
            continue;
        json_array_append_new(asking, json_integer(fd));
        json_array_append_new(fds, json_integer(fd));
    }
    return asking;
}

static json_t *pack_all(const struct runner *runner)
{
    int control = control_server_fd(runner->control);
    struct connections connections = {.list = json_array(),
                                      .fds = json_pack("[i, i]", control, runner->lock_fd)};

    control_server_each(runner->control, pack_connection, &connections);
    return json_pack("{s:i, s:s, s:s, s:i, s:i, s:o, s:o, s:o, s:o}", "version",
                     RUNNER_STATE_VERSION, "home", runner->home, "program", runner->upgrade.program,
                     "control", control, "lock", runner->lock_fd, "connections", connections.list,
                     "asking", pack_asking(&runner->upgrade, connections.fds), "apps",
                     apps_pack(runner->apps, connections.fds), "fds", connections.fds);
}

/* -1: errno. */
static int write_state(const json_t *state)
{
    struct packer packer = {.data = json_dumps(state, JSON_COMPACT)};
    int fd;

    packer.failed = packer.data == NULL;
    packer.len = packer.failed ? 0 : strlen(packer.data);
    fd = pack_memfd(&packer, "runner");
    free(packer.data);
    return fd;
}

/* ---- the new program's check */

static void begin_when_at_rest(struct runner *runner);
static void execute(struct runner *runner);

/* The last line of what it said, as the reason. */
static void refuse_checked(struct runner *runner, char *said, const siginfo_t *info)
{
    char why[SAID_BYTES + PATH_MAX + 100];
    char *line;

    while (said[0] != '\0' && said[strlen(said) - 1] == '\n')
        said[strlen(said) - 1] = '\0';
    line = strrchr(said, '\n');
    line = line == NULL ? said : line + 1;
    snprintf(why, sizeof why, "\"%s\" did not pass its check (%s %d)%s%s", runner->upgrade.program,
             info->si_code == CLD_EXITED ? "exit code" : "signal", info->si_status,
             line[0] == '\0' ? "" : ": ", line);
    refuse(runner, why);
}

static void on_check_end(struct io *io, unsigned events)
{
    struct runner_upgrade *upgrade = container_of(io, struct runner_upgrade, check_end);
    struct runner *runner = container_of(upgrade, struct runner, upgrade);
    siginfo_t info = {.si_pid = 0};
    char said[SAID_BYTES];
    ssize_t len;

    (void)events;
    if (waitid(P_PIDFD, (id_t)io->fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
        return;
    len = read(upgrade->check_output, said, sizeof said - 1);
    said[len > 0 ? len : 0] = '\0';
    loop_unwatch(io);
    close(io->fd);
    close(upgrade->check_output);
    upgrade->check_output = -1;
    upgrade->check = 0;
    deadline_disarm(&upgrade->when);
    if (info.si_code != CLD_EXITED || info.si_status != 0 || strcmp(said, understood) != 0)
        refuse_checked(runner, said, &info);
    else
        execute(runner);
}

/* NULL: no memory. Everything of ours, and what the check is to look at. */
static char **check_environment(void)
{
    size_t count = 0;
    char **copy;

    while (environ[count] != NULL)
        count++;
    copy = calloc(count + 3, sizeof *copy);
    if (copy == NULL)
        return NULL;
    memcpy(copy, environ, count * sizeof *copy);
    copy[count] = STATE_VARIABLE "=3";
    copy[count + 1] = CHECK_VARIABLE "=1";
    return copy;
}

static bool spawn_check(struct runner_upgrade *upgrade, int state_fd, int output)
{
    static char *arguments[] = {"pelayan", "app-runner", NULL};
    char **environment = check_environment();
    struct launch launch = {.program = upgrade->program,
                            .argv = arguments,
                            .envp = environment,
                            .cwd = "/",
                            .umask = -1,
                            .input = -1,
                            .output = output,
                            .errors = output,
                            .passed = &state_fd,
                            .passed_count = 1};
    struct child child;
    const char *step;
    bool spawned = environment != NULL && spawn(&launch, &child, &step);
    int os_error = errno;

    free(environment);
    errno = os_error;
    if (!spawned)
        return false;
    upgrade->check = child.pid;
    upgrade->check_end = (struct io){.fd = child.pidfd, .on_ready = on_check_end};
    return true;
}

static void begin_check(struct runner *runner)
{
    struct runner_upgrade *upgrade = &runner->upgrade;
    json_t *state = pack_all(runner);
    int state_fd = state == NULL ? -1 : write_state(state);
    char why[PATH_MAX + 100];
    int pair[2] = {-1, -1};
    bool begun = state_fd >= 0 && pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0 &&
                 spawn_check(upgrade, state_fd, pair[1]) &&
                 loop_watch(runner->loop, &upgrade->check_end);

    if (!begun)
        snprintf(why, sizeof why, "cannot execute \"%s\": %s", upgrade->program, strerror(errno));
    json_decref(state);
    if (state_fd >= 0)
        close(state_fd);
    if (pair[1] >= 0)
        close(pair[1]);
    upgrade->check_output = pair[0];
    if (begun) {
        deadline_arm(runner->loop, &upgrade->when, CHECK_MAX_MS);
        return;
    }
    if (pair[0] >= 0)
        close(pair[0]);
    upgrade->check_output = -1;
    upgrade->check = 0;
    refuse(runner, why);
}

/* ---- when */

static void on_when(struct deadline *deadline)
{
    struct runner_upgrade *upgrade = container_of(deadline, struct runner_upgrade, when);

    if (upgrade->check > 0)
        kill(upgrade->check, SIGKILL); /* its end is announced */
    else
        begin_when_at_rest(container_of(upgrade, struct runner, upgrade));
}

/* True: apps are at rest. False: later, or it was refused. */
static bool at_rest(struct runner *runner)
{
    struct runner_upgrade *upgrade = &runner->upgrade;
    char why[200];

    if (!apps_busy(runner->apps, why, sizeof why))
        return true;
    if (loop_now_ms(runner->loop) - upgrade->wished_ms > REST_MAX_MS)
        refuse(runner, why);
    else
        deadline_arm(runner->loop, &upgrade->when, LOOK_AGAIN_MS);
    return false;
}

static void begin_when_at_rest(struct runner *runner)
{
    if (at_rest(runner))
        begin_check(runner);
}

void runner_upgrade_ask(struct runner *runner, const char *program, struct control_request *request)
{
    struct runner_upgrade *upgrade = &runner->upgrade;

    if (request != NULL)
        list_push_back(&upgrade->asking, &request->link);
    if (upgrade->program != NULL)
        return; /* under way: the same answer */
    upgrade->program = strdup(program);
    upgrade->wished_ms = loop_now_ms(runner->loop);
    upgrade->when.on_expire = on_when;
    if (upgrade->program == NULL)
        refuse(runner, "no memory");
    else if (runner->ending_begun)
        refuse(runner, "shutting down");
    else
        begin_when_at_rest(runner);
}

void runner_upgrade_fini(struct runner *runner, const char *why)
{
    struct runner_upgrade *upgrade = &runner->upgrade;

    if (upgrade->program == NULL)
        return;
    if (upgrade->check > 0) {
        kill(upgrade->check, SIGKILL);
        waitpid(upgrade->check, NULL, 0);
        loop_unwatch(&upgrade->check_end);
        close(upgrade->check_end.fd);
        close(upgrade->check_output);
        upgrade->check = 0;
    }
    refuse(runner, why);
}

bool runner_upgrade_knows(const struct runner *runner, pid_t pid)
{
    return pid > 0 && pid == runner->upgrade.check;
}

/* ---- becoming it */

static void keep_open(const json_t *fds, bool keep)
{
    size_t index;
    const json_t *fd;

    json_array_foreach(fds, index, fd)
        fcntl((int)json_integer_value(fd), F_SETFD, keep ? 0 : FD_CLOEXEC);
}

static void execute(struct runner *runner)
{
    static char *arguments[] = {"pelayan", "app-runner", NULL};
    struct runner_upgrade *upgrade = &runner->upgrade;
    char why[PATH_MAX + 100];
    json_t *state;
    char number[16];
    int fd;

    if (!at_rest(runner))
        return; /* somebody asked for something meanwhile: the check is made again */
    state = pack_all(runner);
    fd = state == NULL ? -1 : write_state(state);
    if (fd >= 0) {
        log_write(&log_process, LOG_LEVEL_NOTICE, 0, "update: executing \"%s\"", upgrade->program);
        snprintf(number, sizeof number, "%d", fd);
        setenv(STATE_VARIABLE, number, 1);
        fcntl(fd, F_SETFD, 0);
        keep_open(json_object_get(state, "fds"), true);
        execv(upgrade->program, arguments);
        keep_open(json_object_get(state, "fds"), false);
        unsetenv(STATE_VARIABLE);
    }
    snprintf(why, sizeof why, "cannot execute \"%s\": %s", upgrade->program, strerror(errno));
    if (fd >= 0)
        close(fd);
    json_decref(state);
    refuse(runner, why);
}

/* ---- in the new program */

bool runner_is_resumed(void)
{
    return getenv(STATE_VARIABLE) != NULL;
}

json_t *runner_upgrade_state(struct diag *diag)
{
    const char *number = getenv(STATE_VARIABLE);
    json_error_t error;
    struct slice bytes;
    json_t *state;
    uint64_t fd;

    if (number == NULL || !slice_to_u64(slice_of(number), &fd) || fd > INT_MAX)
        fd = CHECK_FD;
    unsetenv(STATE_VARIABLE);
    bytes = unpack_memfd((int)fd, STATE_BYTES_MAX);
    close((int)fd);
    if (bytes.data == NULL) {
        diag_errno(diag, "read", "the state of the app runner");
        return NULL;
    }
    state = json_loadb(bytes.data, bytes.len, 0, &error);
    free((char *)bytes.data);
    if (state == NULL)
        diag_add(diag, DIAG_ERROR, NULL, "the state of the app runner: %s", error.text);
    else if (json_integer_value(json_object_get(state, "version")) > RUNNER_STATE_VERSION)
        diag_add(diag, DIAG_ERROR, NULL, "the running app runner is newer than this program");
    else
        return state;
    json_decref(state);
    return NULL;
}

int runner_upgrade_check(const json_t *state, struct diag *diag)
{
    if (!apps_understand(json_object_get(state, "apps"), diag))
        return 1;
    fputs(understood, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

bool runner_upgrade_is_check(void)
{
    bool check = getenv(CHECK_VARIABLE) != NULL;

    unsetenv(CHECK_VARIABLE);
    return check;
}

void runner_upgrade_done(const json_t *state)
{
    static const char answer[] = "{\"ok\":true,\"result\":{\"version\":\"" PELAYAN_VERSION "\"}}\n";
    size_t index;
    const json_t *fd;

    keep_open(json_object_get(state, "fds"), false);
    json_array_foreach(json_object_get(state, "asking"), index, fd)
    {
        if (write((int)json_integer_value(fd), answer, sizeof answer - 1) < 0)
            log_write(&log_process, LOG_LEVEL_WARN, errno, "who asked for the update has left");
        close((int)json_integer_value(fd));
    }
}
