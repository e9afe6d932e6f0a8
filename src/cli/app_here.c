/* --no-daemon: runner and command in one. Runs in: the process the user started, and a child. */
#include "cli/app_args.h"
#include "cli/app_logs.h"
#include "cli/app_shared.h"
#include "cli/app_site.h"
#include "cli/home.h"
#include "cli/site_server.h"
#include "daemon/runner.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

struct here {
    const struct run_options *options;
    const char *what;
    json_t *request; /* owned */
    const struct app_args *args;
    const char *app;
    int end_fd; /* the exit code of the runner, if it is not its own */
};

/* The runner ends, and with this code. */
static void end_with(const struct here *here, char code)
{
    if (write(here->end_fd, &code, 1) == 1)
        home_kill();
    _exit(code);
}

static bool start(const struct here *here)
{
    if (home_ask(here->what, here->request, HOME_IF_RUNNING, NULL) != 0)
        return false;
    if (here->args->domain != NULL)
        return app_site_add(here->options, here->args, here->app);
    return site_server_bring_back(here->options);
}

/* Beside the runner: starts the apps, then shows their logs. A start that fails ends the runner;
 * with --auto-exit the end of the last app does. */
static void ask_and_show(const struct here *here)
{
    struct app_args show = *here->args;
    json_t *list = NULL;
    int code;

    show.word_count = 0; /* they are scripts and files */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (!start(here))
        end_with(here, 1);
    home_ask("list", json_object(), HOME_IF_RUNNING, &list);
    code = app_logs_run(list, &show);
    if (here->args->auto_exit)
        end_with(here, (char)code);
    _exit(code);
}

/* This process becomes the runner: for containers, where it may be the first of all processes. The
 * other one waits for it to listen. */
int app_run_here(const struct run_options *options, const char *what, json_t *request,
                 const struct app_args *args, const char *app)
{
    struct here here = {
        .options = options, .what = what, .request = request, .args = args, .app = app};
    const char *home = home_path();
    struct runner_start start = {.home = home};
    int ready[2];
    int end[2];
    char byte;
    int code;

    if (home == NULL || pipe2(ready, O_CLOEXEC) != 0 || pipe2(end, O_CLOEXEC | O_NONBLOCK) != 0)
        return 1;
    here.end_fd = end[1];
    fflush(NULL);
    if (fork() == 0) {
        close(ready[1]);
        if (read(ready[0], &byte, 1) == 1)
            ask_and_show(&here);
        _exit(1);
    }
    json_decref(request);
    close(ready[0]);
    close(end[1]);
    start.ready_fd = ready[1];
    code = runner_run(&start);
    site_server_stop();
    return read(end[0], &byte, 1) == 1 ? byte : code;
}
