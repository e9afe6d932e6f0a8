/* What the master does when asked over the control socket: one row each. Runs in: master. */
#include "base/list.h"
#include "control/server.h"
#include "daemon/master_internal.h"
#include "daemon/pid_file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void run_reload(struct control_request *request, void *context)
{
    rollout_begin(context, request, false);
}

static void run_reopen(struct control_request *request, void *context)
{
    master_reopen(context, request);
}

/* Answered by the end of the connection's process: see master_exit_if_done(). */
static void run_stop(struct control_request *request, void *context)
{
    struct master *master = context;

    list_push_back(&master->stopping, &request->link);
    log_write(&master->log, LOG_LEVEL_NOTICE, 0, "asked to stop, exiting");
    master_step_down(master, MASTER_STOPPING);
}

/* Answered at once: connections may take as long as they like. */
static void run_quit(struct control_request *request, void *context)
{
    struct master *master = context;

    control_answer(request, true, slice_of(""));
    log_write(&master->log, LOG_LEVEL_NOTICE, 0, "asked to quit, shutting down gracefully");
    master_step_down(master, MASTER_QUITTING);
}

static void run_upgrade(struct control_request *request, void *context)
{
    upgrade_begin(context, request);
}

static const struct control_command commands[] = {
    {"reload", run_reload, "Loads the configuration; answers when it is served or refused."},
    {"reopen", run_reopen, "Opens the log files anew; answers when the worker writes to them."},
    {"stop", run_stop, "Ends at once; answers at the end."},
    {"quit", run_quit, "Finishes what is running, then ends."},
    {"upgrade", run_upgrade, "Replaces the running program by the one on the disk."},
};

/* `inherited_fd`: the socket of the program before us, or -1. False: somebody else listens there,
 * or no memory. */
bool commands_open(struct master *master, const char *pid_path, int inherited_fd)
{
    char path[PATH_MAX];
    int fd = inherited_fd;

    if (!pid_file_socket(pid_path, path, sizeof path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (fd < 0)
        fd = control_listen(path);
    if (fd < 0)
        return false;
    master->control = control_server_new(master->loop, fd, commands, COUNT(commands), master);
    if (master->control == NULL) {
        close(fd);
        return false;
    }
    master->socket_path = strdup(path);
    return master->socket_path != NULL;
}
