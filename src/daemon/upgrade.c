/* Binary upgrade in place: the program on the disk takes over this process, with its pid, its
 * sockets and its worker. Runs in: master.
 *
 * First the new program checks the config (-t) in a child: one that cannot even do that is not let
 * in. Then execve(): descriptors stay open, and a memfd tells their meaning. The new program starts
 * a worker of its own, and when that serves, the old one drains. Until then, or if it never does,
 * the old worker serves. */
#include "base/diag.h"
#include "control/server.h"
#include "daemon/manifest.h"
#include "daemon/master.h"
#include "daemon/master_internal.h"
#include "daemon/options.h"
#include "daemon/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint64_t magic = 0x50454c5300000001;

enum { STATE_BYTES_MAX = 64 << 20, FDS_FIXED = 4 };

static void refuse(struct master *master, const char *why)
{
    log_write(&master->log, LOG_LEVEL_ALERT, 0, "no upgrade: %s", why);
    master_answer_all(&master->upgrading, false, slice_of(why));
}

/* -t with the arguments this program was started with. */
static void child_check(const struct master *master)
{
    const struct run_options *options = master->options;
    size_t count = 0;
    const char **argv;
    sigset_t none;

    while (options->argv[count] != NULL)
        count++;
    argv = calloc(count + 3, sizeof *argv);
    if (argv == NULL)
        _exit(1);
    argv[0] = options->argv[0];
    argv[1] = "-t";
    argv[2] = "-q";
    for (size_t i = 1; i < count; i++)
        argv[i + 2] = options->argv[i];
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(options->program, (char **)argv);
    fprintf(stderr, "pelayan: [alert] execve() \"%s\" failed (%d: %s)\n", options->program, errno,
            strerror(errno));
    _exit(127);
}

/* `request` NULL: a signal. */
void upgrade_begin(struct master *master, struct control_request *request)
{
    if (request != NULL)
        list_push_back(&master->upgrading, &request->link);
    if (master->upgrade_check != 0)
        return; /* this one gets the same answer */
    master->upgrade_wanted = master->rollout.step != ROLLOUT_NONE;
    if (master->upgrade_wanted)
        return; /* its end begins it again */
    if (master->phase != MASTER_RUNNING || master->current == NULL) {
        refuse(master, "shutting down");
        return;
    }
    if (!master->current->manifest->master_process) {
        refuse(master, "the only process cannot be replaced with master_process off");
        return;
    }
    fflush(NULL);
    master->upgrade_check = fork();
    if (master->upgrade_check == 0)
        child_check(master);
    if (master->upgrade_check > 0)
        return;
    master->upgrade_check = 0;
    refuse(master, strerror(errno));
}

static void keep_open(int fd, bool keep)
{
    fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

/* Everything the next program needs; each descriptor's number means the same there. */
static void pack_state(const struct master *master, struct packer *packer)
{
    const struct bundle *bundle = master->current;
    const struct worker_process *worker = master->worker;

    pack_u64(packer, magic);
    pack_u64(packer, bundle->generation);
    pack_u64(packer, (uint64_t)bundle->manifest_fd);
    pack_u64(packer, (uint64_t)bundle->record_fd);
    pack_text(packer, slice_of(master->pid_path));
    pack_u64(packer, master->control != NULL);
    pack_u64(packer, master->control != NULL ? (uint64_t)control_server_fd(master->control) : 0);
    pack_u64(packer, worker != NULL ? (uint64_t)worker->pid : 0);
    pack_u64(packer, worker != NULL ? (uint64_t)worker->channel.fd : 0);
    for (size_t i = 0; i < bundle->manifest->listener_count; i++)
        pack_u64(packer, (uint64_t)bundle->sockets[i]->fd);
    for (size_t i = 0; i < bundle->manifest->logs.count; i++)
        pack_u64(packer, (uint64_t)bundle->logs[i]->fd);
}

static void keep_all_open(const struct master *master, bool keep)
{
    const struct bundle *bundle = master->current;

    keep_open(bundle->manifest_fd, keep);
    keep_open(bundle->record_fd, keep);
    if (master->control != NULL)
        keep_open(control_server_fd(master->control), keep);
    if (master->worker != NULL)
        keep_open(master->worker->channel.fd, keep);
    for (size_t i = 0; i < bundle->manifest->listener_count; i++)
        keep_open(bundle->sockets[i]->fd, keep);
    for (size_t i = 0; i < bundle->manifest->logs.count; i++)
        keep_open(bundle->logs[i]->fd, keep);
}

static void run_program(struct master *master, int state_fd)
{
    char number[16];

    snprintf(number, sizeof number, "%d", state_fd);
    keep_open(state_fd, true);
    keep_all_open(master, true);
    setenv(MASTER_STATE_VARIABLE, number, 1);
    master_answer_all(&master->upgrading, true, slice_of(""));
    execv(master->options->program, master->options->argv);
    log_write(&master->log, LOG_LEVEL_ALERT, errno, "execve() \"%s\" failed, nothing has changed",
              master->options->program);
    unsetenv(MASTER_STATE_VARIABLE);
    keep_all_open(master, false);
}

/* The new program's -t has ended. */
void upgrade_checked(struct master *master, int status)
{
    struct packer packer = {.data = NULL};
    int state_fd;

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        refuse(master, "the new program does not accept the configuration");
        return;
    }
    if (master->phase != MASTER_RUNNING) {
        refuse(master, "shutting down");
        return;
    }
    master->upgrade_wanted = master->rollout.step != ROLLOUT_NONE;
    if (master->upgrade_wanted)
        return; /* a reload came in between: both checks are made again at its end */
    pack_state(master, &packer);
    state_fd = pack_memfd(&packer, "state");
    pack_free(&packer);
    if (state_fd < 0) {
        refuse(master, strerror(errno));
        return;
    }
    log_write(&master->log, LOG_LEVEL_NOTICE, 0, "executing the new program \"%s\"",
              master->options->program);
    run_program(master, state_fd);
    close(state_fd);
}

static int take_fd(struct unpacker *unpacker)
{
    int fd = (int)unpack_u64_max(unpacker, INT_MAX);

    if (!unpacker->failed)
        keep_open(fd, false);
    return fd;
}

static bool take_control(struct master *master, struct unpacker *unpacker)
{
    struct slice path = unpack_text(unpacker);
    bool present;
    int fd;

    master->pid_path = slice_strdup(path);
    present = unpack_u64_max(unpacker, 1) == 1;
    fd = (int)unpack_u64_max(unpacker, INT_MAX);
    if (!present || unpacker->failed)
        return master->pid_path != NULL;
    keep_open(fd, false);
    return master->pid_path != NULL && commands_open(master, master->pid_path, fd);
}

static bool take_worker(struct master *master, struct unpacker *unpacker)
{
    pid_t pid = (pid_t)unpack_u64_max(unpacker, INT_MAX);
    int fd = (int)unpack_u64_max(unpacker, INT_MAX);

    if (pid == 0)
        return true;
    keep_open(fd, false);
    master->worker = worker_adopt(master, pid, fd);
    if (master->worker != NULL)
        master->worker->sent = master->generation;
    return master->worker != NULL;
}

static bool take_shared(struct unpacker *unpacker, struct bundle *bundle)
{
    const struct manifest *manifest = bundle->manifest;

    bundle->sockets = calloc(manifest->listener_count + 1, sizeof *bundle->sockets);
    bundle->logs = calloc(manifest->logs.count + 1, sizeof *bundle->logs);
    if (bundle->sockets == NULL || bundle->logs == NULL)
        return false;
    for (size_t i = 0; i < manifest->listener_count && !unpacker->failed; i++)
        bundle->sockets[i] = fd_table_adopt(&bundle->tables->sockets, manifest->listeners[i].key,
                                            take_fd(unpacker));
    for (size_t i = 0; i < manifest->logs.count && !unpacker->failed; i++)
        bundle->logs[i] = fd_table_adopt(&bundle->tables->logs, manifest->logs.items[i],
                                         take_fd(unpacker));
    return !unpacker->failed;
}

static bool take_bundle(struct master *master, struct unpacker *unpacker)
{
    struct bundle *bundle = calloc(1, sizeof *bundle);
    struct slice bytes;

    if (bundle == NULL)
        return false;
    master->current = bundle;
    bundle->tables = &master->tables;
    bundle->generation = master->generation = unpack_u64(unpacker);
    bundle->manifest_fd = take_fd(unpacker);
    bundle->record_fd = take_fd(unpacker);
    bytes = unpack_memfd(bundle->manifest_fd, STATE_BYTES_MAX);
    bundle->manifest = bytes.data == NULL ? NULL : manifest_unpack(bytes);
    free((char *)bytes.data);
    return bundle->manifest != NULL;
}

bool upgrade_restore(struct master *master)
{
    const char *number = getenv(MASTER_STATE_VARIABLE);
    uint64_t fd;
    struct slice bytes;
    struct unpacker unpacker;
    bool restored;

    if (number == NULL || !slice_to_u64(slice_of(number), &fd) || fd > INT_MAX)
        return false;
    unsetenv(MASTER_STATE_VARIABLE);
    bytes = unpack_memfd((int)fd, STATE_BYTES_MAX);
    close((int)fd);
    if (bytes.data == NULL)
        return false;
    unpacker = (struct unpacker){.rest = bytes};
    unpacker.failed = unpack_u64(&unpacker) != magic;
    restored = !unpacker.failed && take_bundle(master, &unpacker) &&
               take_control(master, &unpacker) && take_worker(master, &unpacker) &&
               take_shared(&unpacker, master->current);
    free((char *)bytes.data);
    if (restored)
        master_log_to(master, master->current);
    return restored;
}
