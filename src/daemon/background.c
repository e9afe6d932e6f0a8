/* Going into the background. Runs in: the process started by the user; the master. */
#include "daemon/background.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the first process: never returns. */
static void wait_for_report(int fd)
{
    unsigned char code = 1;
    ssize_t got;

    do {
        got = read(fd, &code, 1);
    } while (got < 0 && errno == EINTR);
    _exit(got == 1 ? code : 1);
}

bool background_enter(struct background *background)
{
    int pair[2];
    pid_t pid;

    if (pipe2(pair, O_CLOEXEC) != 0)
        return false;
    pid = fork();
    if (pid > 0) {
        close(pair[1]);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        wait_for_report(pair[0]);
    }
    close(pair[0]);
    if (pid < 0) {
        close(pair[1]);
        return false;
    }
    setsid();
    if (fork() != 0)
        _exit(0); /* no session leader stays: no terminal can be acquired; if this fails, the pipe's
                     end tells */
    background->status_fd = pair[1];
    return true;
}

void background_silence(void)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null_fd < 0)
        return;
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    if (null_fd > STDERR_FILENO)
        close(null_fd);
}

void background_report(struct background *background, int exit_code)
{
    unsigned char code = (unsigned char)exit_code;
    ssize_t told;

    if (background->status_fd < 0)
        return;
    background_silence();
    do {
        told = write(background->status_fd, &code, 1);
    } while (told < 0 && errno == EINTR);
    close(background->status_fd);
    background->status_fd = -1;
}
