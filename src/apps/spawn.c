/* Starting a process. Runs in: master. */
#include "apps/spawn.h"

#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK_BYTES = 65536, FIRST_PASSED = 3, PASSED_MAX = 64 };

/* Shared by parent and child: the child runs in the parent's memory while the parent waits. */
struct start {
    const struct launch *launch;
    const char *step;
    int error;
    sigset_t no_signals;
    pid_t parent;
};

/* Handlers and what is ignored must not reach the app (the master ignores SIGPIPE). */
static void reset_signals(const struct start *start)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};

    for (int number = 1; number < NSIG; number++)
        sigaction(number, &usual, NULL);
    sigprocmask(SIG_SETMASK, &start->no_signals, NULL);
}

/* `fd`, or /dev/null, as descriptor `target`. All sources lie above what is to be filled. */
static bool put(int fd, int target)
{
    int source = fd;
    bool good;

    if (fd < 0)
        source = open("/dev/null", O_RDWR | O_CLOEXEC);
    good = source >= 0 && dup2(source, target) == target;
    if (fd < 0 && source >= 0 && source != target)
        close(source);
    return good;
}

/* Copies first above everything that will be filled, then down: no source is overwritten before its
 * turn. */
static bool arrange(const struct launch *launch)
{
    int wanted[FIRST_PASSED + PASSED_MAX] = {launch->input, launch->output, launch->errors};
    int count = FIRST_PASSED + (int)launch->passed_count;

    for (size_t i = 0; i < launch->passed_count; i++)
        wanted[FIRST_PASSED + i] = launch->passed[i];
    for (int i = 0; i < count; i++) {
        if (wanted[i] >= 0)
            wanted[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, FIRST_PASSED + PASSED_MAX);
        if (wanted[i] < 0 && i >= FIRST_PASSED)
            return false;
    }
    for (int i = 0; i < count; i++) {
        if (!put(wanted[i], i))
            return false;
    }
    return close_range((unsigned)count, ~0U, 0) == 0;
}

static bool become(const struct launch *launch)
{
    if (!launch->switch_user)
        return true;
    return setgroups(launch->group_count, launch->groups) == 0 &&
           setresgid(launch->gid, launch->gid, launch->gid) == 0 &&
           setresuid(launch->uid, launch->uid, launch->uid) == 0;
}

static bool die_with(pid_t parent)
{
    /* after the change of user, which would clear it; the parent may have died just before */
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

static bool limit(const struct launch *launch)
{
    bool set = true;

    for (size_t i = 0; set && i < launch->limit_count; i++) {
        struct rlimit limit = {.rlim_cur = launch->limits[i].soft,
                               .rlim_max = launch->limits[i].hard};

        set = setrlimit((__rlimit_resource_t)launch->limits[i].resource, &limit) == 0;
    }
    return set;
}

/* No library function is called between clone and exec that might take a lock. */
static void write_pid(char *text)
{
    char digits[12];
    int count = 0;

    for (pid_t rest = getpid(); rest > 0; rest /= 10)
        digits[count++] = (char)('0' + rest % 10);
    while (*text != '=')
        text++;
    while (count > 0)
        *++text = digits[--count];
    text[1] = '\0';
}

static bool fail(struct start *start, const char *step)
{
    start->step = step;
    start->error = errno;
    return false;
}

static bool prepare(struct start *start)
{
    const struct launch *launch = start->launch;

    if (setsid() < 0)
        return fail(start, "make a session for");
    reset_signals(start);
    if (launch->umask >= 0)
        umask((mode_t)launch->umask);
    if (launch->pid_text != NULL)
        write_pid(launch->pid_text);
    if (!limit(launch))
        return fail(start, "set the limits of");
    if (!arrange(launch))
        return fail(start, "hand descriptors to");
    if (!become(launch))
        return fail(start, "change the user of");
    if (!die_with(start->parent))
        return fail(start, "tie to this process");
    if (chdir(launch->cwd) != 0)
        return fail(start, "enter the folder of");
    return true;
}

/* In the child. AddressSanitizer's view of the stack is the parent's: it must not look here. */
__attribute__((no_sanitize("address"))) static int child_main(void *data)
{
    struct start *start = data;

    if (prepare(start)) {
        execve(start->launch->program, start->launch->argv, start->launch->envp);
        fail(start, "execute");
    }
    _exit(127);
}

/* One stack for good: it is used only while spawn() waits. */
static char *child_stack(void)
{
    static char *stack;

    if (stack == NULL) {
        void *memory = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        stack = memory == MAP_FAILED ? NULL : memory;
    }
    return stack;
}

/* Seen by both, also where their memory is not shared. */
static struct start *shared_start(void)
{
    static struct start *start;

    if (start == NULL) {
        void *memory = mmap(NULL, sizeof *start, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                            -1, 0);
        start = memory == MAP_FAILED ? NULL : memory;
    }
    return start;
}

/* Born in its group: to be moved there later costs many milliseconds, and what it forks meanwhile
 * would stay outside. Only the raw call can do that, which returns in both: so the child gets a
 * copy of our memory, which is small. */
static pid_t clone_into(struct start *start, int *pidfd)
{
    struct clone_args args = {.flags = CLONE_VFORK | CLONE_PIDFD | CLONE_INTO_CGROUP,
                              .pidfd = (uintptr_t)pidfd,
                              .exit_signal = SIGCHLD,
                              .cgroup = (uint64_t)start->launch->group};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);

    if (pid == 0)
        child_main(start);
    return pid;
}

bool spawn(const struct launch *launch, struct child *child, const char **step)
{
    struct start *start = shared_start();
    char *stack = child_stack();
    sigset_t all;
    sigset_t before;

    *step = "start";
    if (start == NULL || stack == NULL || launch->passed_count > PASSED_MAX)
        return false;
    *start = (struct start){.launch = launch, .parent = getpid()};
    sigemptyset(&start->no_signals);
    sigfillset(&all);
    /* a handler of the parent must not run in the child while memory is shared */
    sigprocmask(SIG_SETMASK, &all, &before);
    if (launch->group > 0)
        child->pid = clone_into(start, &child->pidfd);
    else
        child->pid = clone(child_main, stack + STACK_BYTES,
                           CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, start, &child->pidfd);
    if (child->pid < 0)
        start->error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (start->error == 0)
        return true;
    if (child->pid > 0) {
        close(child->pidfd);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        *step = start->step;
    }
    errno = start->error;
    return false;
}
