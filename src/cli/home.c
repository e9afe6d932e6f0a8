/* Asking the app runner, and starting it. Runs in: the process the user started. */
#include "cli/home.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/slice.h"
#include "control/client.h"
#include "daemon/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *users_folder(void)
{
    const char *folder = getenv("HOME");
    const struct passwd *user = folder == NULL ? getpwuid(geteuid()) : NULL;

    return folder != NULL ? folder : user == NULL ? "/" : user->pw_dir;
}

const char *home_path(void)
{
    static char path[PATH_MAX];
    const char *given = getenv("PELAYAN_HOME");
    char folder[PATH_MAX] = "";
    int len;

    if (path[0] != '\0')
        return path;
    if (given != NULL && given[0] == '/')
        len = snprintf(path, sizeof path, "%s", given);
    else if (given != NULL && given[0] != '\0' && getcwd(folder, sizeof folder) != NULL)
        len = snprintf(path, sizeof path, "%s/%s", folder, given);
    else if (geteuid() == 0)
        len = snprintf(path, sizeof path, "/var/lib/pelayan");
    else
        len = snprintf(path, sizeof path, "%s/.local/state/pelayan", users_folder());
    if (len > 0 && (size_t)len < sizeof path)
        return path;
    fputs("pelayan: PELAYAN_HOME is too long\n", stderr);
    return NULL;
}

json_t *home_environment(void)
{
    json_t *object = json_object();

    for (char **it = environ; *it != NULL; it++) {
        const char *equals = strchr(*it, '=');
        json_t *value = equals == NULL ? NULL : json_string(equals + 1);

        if (value != NULL) /* what is no UTF-8 is not carried */
            json_object_setn_new(object, *it, (size_t)(equals - *it), value);
    }
    return object;
}

/* ---- starting it */

enum { FIRST_FD = 3 };

/* In the grandchild. Its messages go to a file in the home. Nothing of the command's stays open:
 * the start lock would be held as long as the runner lives, and whoever reads the command's output
 * would wait for its end. */
static void become_runner(const char *home, int ready_fd)
{
    struct runner_start start = {.home = home, .ready_fd = FIRST_FD};
    char path[PATH_MAX];
    int log = -1;
    int null;

    setsid();
    if (ready_fd != FIRST_FD && dup3(ready_fd, FIRST_FD, O_CLOEXEC) < 0)
        _exit(1);
    close_range(FIRST_FD + 1, ~0U, 0);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (snprintf(path, sizeof path, "%s/pelayan.log", home) < PATH_MAX)
        log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    dup2(null, STDIN_FILENO);
    dup2(log >= 0 ? log : null, STDOUT_FILENO);
    dup2(log >= 0 ? log : null, STDERR_FILENO);
    if (chdir("/") != 0)
        _exit(1);
    _exit(runner_run(&start));
}

/* Waits for its byte; its end comes first if it cannot start. */
static bool launch(const char *home)
{
    int pair[2];
    char byte;
    pid_t pid;
    bool ready;

    if (pipe2(pair, O_CLOEXEC) != 0)
        return false;
    pid = fork();
    if (pid == 0) {
        close(pair[0]);
        if (fork() == 0)
            become_runner(home, pair[1]);
        _exit(0);
    }
    close(pair[1]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    ready = read(pair[0], &byte, 1) == 1;
    close(pair[0]);
    return ready;
}

static bool somebody_listens(const char *socket_path)
{
    struct arena *arena = arena_new(1024);
    struct slice answer;
    enum client_result result = client_exchange(
        socket_path, slice_of("{\"command\":\"app\",\"do\":\"ping\"}\n"), arena, &answer);

    arena_drop(arena);
    return result == CLIENT_OK;
}

/* Only one of several commands starts it; the others find it. */
static bool start_runner(const char *home, const char *socket_path)
{
    char path[PATH_MAX];
    bool running;
    int fd = -1;

    if (file_folders(home, 0700) && snprintf(path, sizeof path, "%s/start.lock", home) < PATH_MAX)
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        fprintf(stderr, "pelayan: cannot use \"%s\": %s\n", home, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    running = somebody_listens(socket_path) || launch(home);
    close(fd);
    if (!running)
        fprintf(stderr, "pelayan: the app runner could not be started: see %s/pelayan.log\n", home);
    return running;
}

/* ---- asking it */

static enum client_result exchange(const char *line, enum home_wish wish, struct arena *arena,
                                   struct slice *answer)
{
    const char *home = home_path();
    char socket_path[PATH_MAX];
    enum client_result result;

    if (home == NULL || !runner_socket_path(home, socket_path, sizeof socket_path)) {
        fputs("pelayan: the path of PELAYAN_HOME is too long for a socket\n", stderr);
        return CLIENT_LOST;
    }
    result = client_exchange(socket_path, slice_of(line), arena, answer);
    if (result != CLIENT_NOBODY || wish != HOME_START)
        return result;
    if (!start_runner(home, socket_path))
        return CLIENT_LOST;
    return client_exchange(socket_path, slice_of(line), arena, answer);
}

static int take_answer(struct slice answer, json_t **result)
{
    json_t *body = json_loadb(answer.data, answer.len, 0, NULL);
    json_t *value = json_object_get(body, "result");
    const char *message = json_string_value(json_object_get(value, "message"));
    int code = json_is_true(json_object_get(body, "ok")) ? 0 : 1;

    if (message == NULL)
        message = json_string_value(json_object_get(body, "message"));
    if (code != 0)
        fprintf(stderr, "pelayan: %s\n", message == NULL ? "no answer" : message);
    if (result != NULL)
        *result = code == 0 && !json_is_null(value) ? json_incref(value) : NULL;
    json_decref(body);
    return code;
}

static char *as_line(const char *what, json_t *request)
{
    char *text;
    char *line = NULL;

    json_object_set_new(request, "command", json_string("app"));
    json_object_set_new(request, "do", json_string(what));
    text = json_dumps(request, JSON_COMPACT);
    if (text == NULL || asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}

int home_ask(const char *what, json_t *request, enum home_wish wish, json_t **result)
{
    struct arena *arena = arena_new(16384);
    char *line = as_line(what, request);
    enum client_result asked = CLIENT_LOST;
    struct slice answer = slice_of("");
    int code = 1;

    if (result != NULL)
        *result = NULL;
    if (arena != NULL && line != NULL)
        asked = exchange(line, wish, arena, &answer);
    if (asked == CLIENT_OK)
        code = take_answer(answer, result);
    else if (asked == CLIENT_NOBODY)
        code = 2;
    else
        fputs("pelayan: the app runner left before it answered\n", stderr);
    arena_drop(arena);
    free(line);
    json_decref(request);
    return code;
}

int home_kill(void)
{
    struct arena *arena = arena_new(1024);
    struct slice answer;
    enum client_result asked = CLIENT_LOST;

    if (arena != NULL)
        asked = exchange("{\"command\":\"kill\"}\n", HOME_IF_RUNNING, arena, &answer);
    arena_drop(arena);
    return asked == CLIENT_NOBODY ? 2 : asked == CLIENT_OK || asked == CLIENT_LOST ? 0 : 1;
}

int home_update(void)
{
    struct arena *arena = arena_new(PATH_MAX);
    enum client_result asked = CLIENT_LOST;
    json_t *request = json_object();
    struct slice answer = slice_of("");
    char program[PATH_MAX];
    char *text = NULL;
    char *line = NULL;
    int code = 1;

    if (realpath("/proc/self/exe", program) != NULL)
        json_object_set_new(request, "program", json_string(program));
    json_object_set_new(request, "command", json_string("update"));
    text = json_dumps(request, JSON_COMPACT);
    if (arena != NULL && text != NULL && asprintf(&line, "%s\n", text) >= 0)
        asked = exchange(line, HOME_IF_RUNNING, arena, &answer);
    if (asked == CLIENT_OK || asked == CLIENT_REFUSED)
        code = take_answer(answer, NULL);
    else if (asked == CLIENT_NOBODY)
        code = 2;
    else
        fputs("pelayan: the app runner ended before it answered\n", stderr);
    arena_drop(arena);
    json_decref(request);
    free(text);
    free(line);
    return code;
}
