/* The filter of system calls, tried by processes that enter it. */
#include "tests/unit/check.h"

#include "base/diag.h"
#include "base/list.h"
#include "base/slice.h"
#include "daemon/sandbox.h"
#include "daemon/sandbox_internal.h"

#include <errno.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT_ENTER = 99 };

/* ThreadSanitizer puts signals off until the call that caused them is over: what it returns is not
 * ours to say then. */
#ifdef __SANITIZE_THREAD__
enum { SIGNALS_COME_LATE = true };
#else
enum { SIGNALS_COME_LATE = false };
#endif

/* What `act` returned in a process within the filter, or minus the signal that ended it; `said` is
 * what came on its standard error. */
static int try(enum sandbox_mode mode, int (*act)(void), char *said, size_t said_bytes)
{
    int pipe_fds[2], status = 0;
    size_t len = 0;
    ssize_t got;
    pid_t pid;

    CHECK_EQ(pipe(pipe_fds), 0);
    pid = fork();
    if (pid == 0) {
        struct diag diag;

        diag_init(&diag);
        dup2(pipe_fds[1], STDERR_FILENO);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(sandbox_enter(mode, &diag) && diag.first == NULL ? act() : CANNOT_ENTER);
    }
    close(pipe_fds[1]);
    while ((got = read(pipe_fds[0], said + len, said_bytes - 1 - len)) > 0)
        len += (size_t)got;
    said[len] = '\0';
    close(pipe_fds[0]);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int make_node(void)
{
    int result = mknod("/tmp/never-made", S_IFIFO | 0600, 0) == 0 ? 0 : errno;

    return mknod("/tmp/never-made", S_IFIFO | 0600, 0) == 0 ? 0 : result;
}

static int start_program(void)
{
    char *const words[] = {"/bin/true", NULL};

    execve(words[0], words, words + 1);
    return errno;
}

static int make_process(void)
{
    return syscall(SYS_fork) >= 0 ? 0 : errno;
}

static void *nothing(void *data)
{
    return data;
}

static int make_thread(void)
{
    pthread_t thread;
    int number = 0;

    if (pthread_create(&thread, NULL, nothing, &number) != 0)
        return 1;
    return pthread_join(thread, NULL);
}

static int raw_socket(void)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0);

    return fd >= 0 ? 0 : errno;
}

static int fail_an_assertion(void)
{
    abort();
}

static int listen_for_others(void)
{
    return listen(socket(AF_INET, SOCK_STREAM, 0), 1) == 0 ? 0 : errno;
}

/* Goal: what is not in the table fails, and is told once by its name. */
TEST(a_refused_call_is_told_by_name)
{
    char said[4096];
    char *line;

    if (SIGNALS_COME_LATE)
        return;
    CHECK_EQ(try(SANDBOX_ON, make_node, said, sizeof said), EPERM);
    line = strstr(said, "[alert]");
    CHECK(line != NULL, said);
    CHECK(strstr(line, "system call mknod") != NULL, said);
    CHECK(strstr(line + 1, "[alert]") == NULL, "told twice: %s", said);
}

/* Goal: what no worker does by mistake ends it. */
TEST(another_program_is_the_end)
{
    char said[4096];

    if (!sandbox_is_wide)
        CHECK_EQ(try(SANDBOX_ON, start_program, said, sizeof said), -SIGSYS);
}

TEST(arguments_count)
{
    char said[4096];

    CHECK_EQ(try(SANDBOX_ON, make_thread, said, sizeof said), 0, said);
    CHECK_NE(try(SANDBOX_ON, raw_socket, said, sizeof said), 0);
    CHECK_NE(try(SANDBOX_ON, listen_for_others, said, sizeof said), 0);
    CHECK_EQ(try(SANDBOX_ON, fail_an_assertion, said, sizeof said), -SIGABRT);
    if (!sandbox_is_wide)
        CHECK_EQ(try(SANDBOX_ON, make_process, said, sizeof said), EPERM);
}

TEST(modes_that_refuse_nothing)
{
    char said[4096];

    CHECK_EQ(try(SANDBOX_LOG, listen_for_others, said, sizeof said), 0, said);
    CHECK_EQ(try(SANDBOX_OFF, listen_for_others, said, sizeof said), 0, said);
}

static void check_table(const struct sandbox_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct slice rest = slice_of(calls[i].names), word;

        CHECK(strlen(calls[i].why) > 10, calls[i].names);
        while (slice_split(&rest, ' ', &word)) {
            char name[32] = "";

            CHECK(word.len > 0 && word.len < sizeof name, calls[i].names);
            memcpy(name, word.data, word.len);
            CHECK_NE(seccomp_syscall_resolve_name(name), __NR_SCMP_ERROR, name);
        }
    }
}

/* Goal: no name is misspelt, each has its reason. */
TEST(every_call_is_known)
{
    check_table(sandbox_calls, sandbox_call_count);
    check_table(sandbox_sanitizer_calls, sandbox_sanitizer_call_count);
    check_table(sandbox_deadly_calls, sandbox_deadly_call_count);
}
