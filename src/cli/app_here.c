/* --no-daemon: runner and command in one. Runs in: the process the user started, and a child. */
#include "cli/app_args.h"
#include "cli/app_logs.h"
#include "cli/app_shared.h"
#include "cli/home.h"
#include "daemon/runner.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Beside the runner: starts the apps, then shows their logs. A start that fails ends the runner. */
static void ask_and_show(const char *what, json_t *request, const struct app_args *args,
                         int failed_fd)
{
    json_t *list = NULL;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (home_ask(what, request, HOME_IF_RUNNING, NULL) != 0) {
        if (write(failed_fd, "", 1) == 1)
            home_kill();
        _exit(1);
    }
    home_ask("list", json_object(), HOME_IF_RUNNING, &list);
    _exit(app_logs_run(list, args));
}

/* This process becomes the runner: for containers, where it may be the first of all processes. The
 * other one waits for it to listen. */
int app_run_here(const char *what, json_t *request, const struct app_args *args)
{
    const char *home = home_path();
    struct runner_start start = {.home = home};
    int ready[2];
    int failed[2];
    char byte;
    int code;

    if (home == NULL || pipe2(ready, O_CLOEXEC) != 0 || pipe2(failed, O_CLOEXEC | O_NONBLOCK) != 0)
        return 1;
    fflush(NULL);
    if (fork() == 0) {
        close(ready[1]);
        if (read(ready[0], &byte, 1) == 1)
            ask_and_show(what, request, args, failed[1]);
        _exit(1);
    }
    json_decref(request);
    close(ready[0]);
    close(failed[1]);
    start.ready_fd = ready[1];
    code = runner_run(&start);
    return read(failed[0], &byte, 1) == 1 ? 1 : code;
}
