/* Loading a config in a throw-away child. Runs in: master, and the child it forks here. */
#include "daemon/validate.h"

#include "base/list.h"
#include "config/files.h"
#include "daemon/channel.h"
#include "daemon/load.h"
#include "daemon/manifest.h"
#include "daemon/options.h"
#include "daemon/pack.h"

#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 1 << 20 };

/* Its copies of the master's sockets would go on listening when the master has closed its own. */
static void close_all_but(int fd)
{
    if (fd > STDERR_FILENO + 1)
        close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
    close_range((unsigned)fd + 1, ~0U, 0);
}

static void child_settle(pid_t parent, int fd)
{
    sigset_t none;

    close_all_but(fd);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody is left to ask */
    if (getppid() != parent)
        _exit(1);
}

static int text_memfd(const struct diag *diag)
{
    struct packer packer = {.data = NULL};
    FILE *out = open_memstream(&packer.data, &packer.len);
    int fd;

    if (out == NULL)
        return -1;
    diag_print(diag, out);
    if (fclose(out) != 0)
        return -1;
    fd = pack_memfd(&packer, "diagnostics");
    free(packer.data);
    return fd;
}

static int manifest_memfd(struct load *load, const struct run_options *options)
{
    struct packer packer = {.data = NULL};
    struct manifest *manifest = load_manifest(load, options, &load->diag);
    int fd;

    if (manifest == NULL)
        return -1;
    manifest_pack(manifest, &packer);
    fd = pack_memfd(&packer, "manifest");
    if (fd < 0)
        diag_errno(&load->diag, "write", "the manifest");
    return fd;
}

/* Ends with _exit(): what was loaded is not worth freeing. */
static void child_run(int fd, const struct run_options *options)
{
    struct load load;
    int fds[3] = {-1, -1, -1};
    bool valid = load_run(&load, options, config_files_from_disk());

    if (valid) {
        fds[1] = manifest_memfd(&load, options);
        fds[2] = config_files_record(load.files);
        if (fds[2] < 0)
            diag_errno(&load.diag, "record", "the configuration");
        valid = fds[1] >= 0 && fds[2] >= 0;
    }
    fds[0] = text_memfd(&load.diag);
    _exit(fds[0] >= 0 && channel_send_fds(fd, fds, valid ? COUNT(fds) : 1) ? 0 : 1);
}

bool validation_start(struct validation *validation, const struct run_options *options)
{
    pid_t self = getpid();
    int pair[2];

    if (!channel_pair(pair))
        return false;
    fflush(NULL); /* or the child would write it again */
    validation->pid = fork();
    if (validation->pid == 0) {
        child_settle(self, pair[1]);
        child_run(pair[1], options);
    }
    close(pair[1]);
    if (validation->pid < 0) {
        close(pair[0]);
        return false;
    }
    validation->fd = pair[0];
    return true;
}

static enum message_result wait_for_message(int fd, struct message *message)
{
    enum message_result result;

    while ((result = channel_receive(fd, message)) == MESSAGE_AGAIN) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};

        if (poll(&ready, 1, -1) < 0 && errno != EINTR)
            return MESSAGE_CLOSED;
    }
    return result;
}

static struct slice copy_text(const char *text)
{
    char *copy = strdup(text);

    return slice_make(copy, copy == NULL ? 0 : strlen(copy));
}

void validation_finish(struct validation *validation, struct verdict *verdict)
{
    struct message message;
    enum message_result result = wait_for_message(validation->fd, &message);

    *verdict = (struct verdict){.manifest_fd = -1, .record_fd = -1};
    if (result == MESSAGE_OK && message.fd_count >= 1) {
        verdict->text = unpack_memfd(message.fds[0], TEXT_BYTES_MAX);
        close(message.fds[0]);
        if (message.fd_count == 3) {
            verdict->valid = true;
            verdict->manifest_fd = message.fds[1];
            verdict->record_fd = message.fds[2];
        }
    } else {
        verdict->text = copy_text(
            "pelayan: [emerg] the process that checks the configuration died\n");
    }
    close(validation->fd);
    validation->fd = -1;
}

void verdict_free(struct verdict *verdict)
{
    free((char *)verdict->text.data);
    if (verdict->manifest_fd >= 0)
        close(verdict->manifest_fd);
    if (verdict->record_fd >= 0)
        close(verdict->record_fd);
    *verdict = (struct verdict){.manifest_fd = -1, .record_fd = -1};
}
