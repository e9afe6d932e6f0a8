/* Where the runner of apps lives, and starting it. Runs in: commands, master, and the children they
 * make here. */
#include "daemon/runner_home.h"

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
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

static const char *users_folder(void)
{
    const char *folder = getenv("HOME");
    const struct passwd *user = folder == NULL ? getpwuid(geteuid()) : NULL;

    return folder != NULL ? folder : user == NULL ? "/" : user->pw_dir;
}

const char *runner_home(void)
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
    return len > 0 && (size_t)len < sizeof path ? path : NULL;
}

json_t *runner_environment(void)
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

/* In the grandchild. Its messages go to a file in the home. Nothing of the starter's stays open:
 * the start lock would be held as long as the runner lives, and whoever reads a command's output
 * would wait for its end. */
static void become_runner(const char *home, bool ends_with_apps, int ready_fd)
{
    struct runner_start start = {
        .home = home, .ready_fd = FIRST_FD, .ends_with_apps = ends_with_apps};
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
static bool launch(const char *home, bool ends_with_apps)
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
            become_runner(home, ends_with_apps, pair[1]);
        _exit(0);
    }
    close(pair[1]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    ready = read(pair[0], &byte, 1) == 1;
    close(pair[0]);
    return ready;
}

static bool somebody_listens(const char *home)
{
    struct arena *arena = arena_new(1024);
    char socket_path[PATH_MAX];
    struct slice answer;
    enum client_result result = CLIENT_NOBODY;

    if (runner_socket_path(home, socket_path, sizeof socket_path))
        result = client_exchange(socket_path, slice_of("{\"command\":\"app\",\"do\":\"ping\"}\n"),
                                 arena, &answer);
    arena_drop(arena);
    return result == CLIENT_OK;
}

bool runner_start(const char *home, bool ends_with_apps)
{
    char path[PATH_MAX];
    bool running;
    int fd = -1;

    if (file_folders(home, 0700) && snprintf(path, sizeof path, "%s/start.lock", home) < PATH_MAX)
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        fprintf(stderr, "pelayan: cannot use \"%s\": %s; PELAYAN_HOME names another place\n", home,
                strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    running = somebody_listens(home) || launch(home, ends_with_apps);
    close(fd);
    if (!running)
        fprintf(stderr, "pelayan: the app runner could not be started: see %s/pelayan.log\n", home);
    return running;
}

/* The master's signals are not the runner's. */
static void settle(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close_range(STDERR_FILENO + 1, ~0U, 0); /* the master's sockets would go on listening in it */
}

bool runner_start_beside(const char *home)
{
    pid_t pid;

    fflush(NULL); /* or the child would write it again */
    pid = fork();
    if (pid == 0) {
        settle();
        _exit(runner_start(home, true) ? 0 : 1);
    }
    return pid > 0;
}
