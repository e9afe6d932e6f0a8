/* Probes of readiness. Runs in: master. */
#include "apps/ready.h"

#include "apps/spawn.h"
#include "event/socket.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_MS = 5, SLOWEST_MS = 250, PATIENCE_MS = 5000, NOTE_BYTES = 4096 };

static void close_io(struct ready_probe *probe)
{
    deadline_disarm(&probe->patience);
    if (probe->io.loop == NULL)
        return;
    loop_unwatch(&probe->io);
    close(probe->io.fd);
    probe->io.fd = -1;
}

static void on_again(struct deadline *deadline);
static void on_impatience(struct deadline *deadline);

static void ask_again(struct ready_probe *probe)
{
    uint64_t wait_ms = FIRST_MS << (probe->attempts < 6 ? probe->attempts : 6);

    close_io(probe);
    probe->attempts++;
    probe->again.on_expire = on_again;
    if (probe->every_ms > 0)
        wait_ms = probe->every_ms;
    else if (wait_ms > SLOWEST_MS)
        wait_ms = SLOWEST_MS;
    deadline_arm(probe->loop, &probe->again, wait_ms);
}

/* Not this time. May end the probe: nothing may follow. */
static void later(struct ready_probe *probe)
{
    ask_again(probe);
    if (probe->every_ms > 0)
        probe->on_failure(probe);
}

/* May end the probe: nothing may follow. */
static void succeed(struct ready_probe *probe)
{
    if (probe->every_ms > 0)
        ask_again(probe);
    else
        ready_end(probe);
    probe->on_ready(probe);
}

static void arm_patience(struct ready_probe *probe)
{
    probe->patience.on_expire = on_impatience;
    deadline_arm(probe->loop, &probe->patience,
                 probe->patience_ms > 0 ? probe->patience_ms : PATIENCE_MS);
}

static void on_impatience(struct deadline *deadline)
{
    struct ready_probe *probe = container_of(deadline, struct ready_probe, patience);

    if (probe->pid > 0)
        kill(-probe->pid, SIGKILL); /* its end is announced */
    else
        later(probe);
}

static bool send_request(struct ready_probe *probe)
{
    char text[1200];
    int len = snprintf(text, sizeof text,
                       "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: pelayan\r\n"
                       "Connection: close\r\n\r\n",
                       probe->argument);
    struct iovec part = {.iov_base = text, .iov_len = (size_t)len};

    probe->asked = true;
    return len > 0 && (size_t)len < sizeof text &&
           socket_send(probe->io.fd, &part, 1, false).kind == IO_DONE;
}

/* "HTTP/1.x 2" or "3" is enough. */
static void read_answer(struct ready_probe *probe)
{
    struct io_result got = socket_recv(probe->io.fd, probe->answer + probe->answer_len,
                                       sizeof probe->answer - probe->answer_len);

    if (got.kind == IO_AGAIN) {
        probe->io.ready &= ~(unsigned)IO_READ;
        return;
    }
    if (got.kind != IO_DONE) {
        later(probe);
        return;
    }
    probe->answer_len += got.bytes;
    if (probe->answer_len < 12) {
        read_answer(probe);
        return;
    }
    if (memcmp(probe->answer, "HTTP/1.", 7) == 0 &&
        (probe->answer[9] == '2' || probe->answer[9] == '3'))
        succeed(probe);
    else
        later(probe);
}

static void on_connection(struct io *io, unsigned events)
{
    struct ready_probe *probe = container_of(io, struct ready_probe, io);

    if (!probe->asked && (events & (IO_WRITE | IO_ERROR | IO_HANGUP)) != 0) {
        if (socket_error(io->fd) != 0 || (events & IO_ERROR) != 0) {
            later(probe);
            return;
        }
        if (probe->kind == READY_TCP) {
            succeed(probe);
            return;
        }
        if (!send_request(probe)) {
            later(probe);
            return;
        }
    }
    if (probe->asked && (events & (IO_READ | IO_HANGUP)) != 0)
        read_answer(probe);
}

static void ask_address(struct ready_probe *probe)
{
    bool done;

    probe->asked = false;
    probe->answer_len = 0;
    probe->io = (struct io){.fd = socket_connect(&probe->address, NULL, &done),
                            .on_ready = on_connection};
    if (probe->io.fd < 0) {
        later(probe);
        return;
    }
    if (!loop_watch(probe->loop, &probe->io)) {
        close(probe->io.fd);
        later(probe);
        return;
    }
    arm_patience(probe);
}

static void on_command_end(struct io *io, unsigned events)
{
    struct ready_probe *probe = container_of(io, struct ready_probe, io);
    siginfo_t info = {.si_pid = 0};

    (void)events;
    if (waitid(P_PIDFD, (id_t)io->fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
        return;
    probe->pid = 0;
    if (info.si_code == CLD_EXITED && info.si_status == 0)
        succeed(probe);
    else
        later(probe);
}

static void ask_command(struct ready_probe *probe)
{
    char *argv[] = {"sh", "-c", (char *)probe->argument, NULL};
    struct launch launch = {.program = "/bin/sh",
                            .argv = argv,
                            .envp = environ,
                            .cwd = probe->cwd,
                            .umask = -1,
                            .input = -1,
                            .output = -1,
                            .errors = -1};
    struct child child;
    const char *step;

    if (!spawn(&launch, &child, &step)) {
        later(probe);
        return;
    }
    probe->pid = child.pid;
    probe->io = (struct io){.fd = child.pidfd, .on_ready = on_command_end};
    arm_patience(probe);
    if (!loop_watch(probe->loop, &probe->io)) {
        kill(child.pid, SIGKILL);
        waitpid(child.pid, NULL, 0);
        close(child.pidfd);
        probe->pid = 0;
        later(probe);
    }
}

static void on_again(struct deadline *deadline)
{
    struct ready_probe *probe = container_of(deadline, struct ready_probe, again);
    struct address tried = probe->address;

    if (probe->other.len > 0 && probe->attempts > 1) {
        probe->address = probe->other;
        probe->other = tried;
    }
    if (probe->kind == READY_EXEC)
        ask_command(probe);
    else
        ask_address(probe);
}

static bool says_ready(struct slice note)
{
    struct slice line;

    while (slice_split(&note, '\n', &line)) {
        if (slice_eq(line, slice_of("READY=1")))
            return true;
    }
    return false;
}

static void on_note(struct io *io, unsigned events)
{
    struct ready_probe *probe = container_of(io, struct ready_probe, io);
    char note[NOTE_BYTES];
    ssize_t got;

    (void)events;
    while ((got = recv(io->fd, note, sizeof note, MSG_DONTWAIT)) >= 0) {
        if (says_ready(slice_make(note, (size_t)got))) {
            succeed(probe);
            return;
        }
    }
    io->ready &= ~(unsigned)IO_READ;
}

bool ready_adopt(struct ready_probe *probe, int fd)
{
    probe->io = (struct io){.fd = fd, .on_ready = on_note};
    if (loop_watch(probe->loop, &probe->io))
        return true;
    close(fd);
    return false;
}

bool ready_listen(struct ready_probe *probe, char *name, size_t name_bytes)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof address;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    /* a name of the kernel's choice, in the abstract space: nothing to remove afterwards */
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        snprintf(name, name_bytes, "@%.*s", (int)(len - sizeof(sa_family_t) - 1),
                 address.sun_path + 1);
        return ready_adopt(probe, fd);
    }
    if (fd >= 0)
        close(fd);
    return false;
}

void ready_begin(struct ready_probe *probe)
{
    probe->attempts = 0;
    if (probe->kind == READY_EXEC || probe->kind == READY_TCP || probe->kind == READY_HTTP)
        ask_again(probe);
}

void ready_end(struct ready_probe *probe)
{
    if (probe->loop == NULL)
        return;
    if (probe->pid > 0) {
        kill(-probe->pid, SIGKILL);
        waitpid(probe->pid, NULL, 0);
        probe->pid = 0;
    }
    deadline_disarm(&probe->again);
    close_io(probe);
    free(probe->argument);
    probe->argument = NULL;
}
