/* The seccomp filter of a worker. Runs in: worker, before it has threads; on_refused: any thread of
 * it. */
#include "daemon/sandbox.h"

#include "base/diag.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sigsys.h"
#include "base/slice.h"
#include "daemon/sandbox_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CALLS_MAX = 512, /* numbers that are told apart in told[] */
    NAME_BYTES_MAX = 32,
    PRIORITY_MAX = 255,
};

/* Calls that were told of: one line each, whatever the number of attempts. */
static atomic_bool told[CALLS_MAX];

/* The refused call fails with EPERM, as if the filter had said so. Comes synchronously out of a
 * system call of ours, none of which is made while malloc or a log is in the middle of something:
 * so the log may be written here. */
static void on_refused(int signal_number, siginfo_t *info, void *context)
{
    int number = info->si_syscall;
    unsigned place = (unsigned)number % CALLS_MAX;
    char *name;

    (void)signal_number;
    sigsys_return(context, -EPERM);
    if (atomic_exchange(&told[place], true))
        return;
    name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
    log_write(&log_process, LOG_LEVEL_ALERT, 0,
              "system call %s (%d) was refused: a worker is not known to need it; "
              "\"worker_seccomp off\" allows it",
              name == NULL ? "?" : name, number);
    free(name);
}

/* 0, or a negative errno. Names this processor or this library does not know are left out. */
static int add_names(scmp_filter_ctx filter, uint32_t action, const struct sandbox_call *call,
                     uint8_t priority)
{
    struct slice rest = slice_of(call->names), word;
    char name[NAME_BYTES_MAX];
    int result = 0;

    while (result == 0 && slice_split(&rest, ' ', &word)) {
        int number;

        assert(word.len < sizeof name);
        memcpy(name, word.data, word.len);
        name[word.len] = '\0';
        number = seccomp_syscall_resolve_name(name);
        if (number < 0)
            continue;
        result = seccomp_rule_add(filter, action, number, 0);
        if (result == -EEXIST || result == -EACCES) /* allowed already, or the filter's default */
            result = 0;
        if (result == 0)
            result = seccomp_syscall_priority(filter, number, priority);
    }
    return result;
}

static int add_table(scmp_filter_ctx filter, uint32_t action, const struct sandbox_call *calls,
                     size_t count)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < count; i++)
        result = add_names(filter, action, &calls[i], (uint8_t)(PRIORITY_MAX - i));
    return result;
}

struct argument_rule {
    int call;
    struct scmp_arg_cmp argument;
};

/* Calls of which a part is needed. Threads are made by clone(), with flags that a filter can see:
 * clone3() hides them in memory and is said not to be there, as on an old kernel. */
static int add_arguments(scmp_filter_ctx filter)
{
    const struct argument_rule rules[] = {
        {SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_INET, 0)},
        {SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_INET6, 0)},
        {SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0)},
        {SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0)}, /* which addresses there are */
        {SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)},
        {SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, FIONREAD)},
        {SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, FIONBIO)},
        {SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, TCGETS)},   /* isatty() */
        {SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, SIOCOUTQ)}, /* not sent yet */
        {SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0)},
        {SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_GET_NAME, 0)},
        {SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_GET_DUMPABLE, 0)},
        {SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0, 0)},                   /* only asked for */
        {SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0)}, /* abort() */
        {SCMP_SYS(kill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0)},
    };
    int result = 0;

    for (size_t i = 0; result == 0 && i < COUNT(rules); i++) {
        result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, 1,
                                        &rules[i].argument);
        if (result == -EEXIST)
            result = 0;
    }
    if (result == 0 && !sandbox_is_wide)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return result;
}

static int fill(scmp_filter_ctx filter, enum sandbox_mode mode)
{
    int result;

    /* The first compares only some numbers, not all before the one; the second keeps the
     * processor's guesses about stores: no foreign code runs in a worker that could profit. */
    (void)!seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    (void)!seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    result = add_table(filter, SCMP_ACT_ALLOW, sandbox_calls, sandbox_call_count);
    if (result == 0 && sandbox_is_wide)
        result = add_table(filter, SCMP_ACT_ALLOW, sandbox_sanitizer_calls,
                           sandbox_sanitizer_call_count);
    else if (result == 0 && mode == SANDBOX_ON)
        result = add_table(filter, SCMP_ACT_KILL_PROCESS, sandbox_deadly_calls,
                           sandbox_deadly_call_count);
    return result == 0 ? add_arguments(filter) : result;
}

static bool watch_refusals(struct diag *diag)
{
    struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    if (sigaction(SIGSYS, &action, NULL) == 0 && sigprocmask(SIG_UNBLOCK, &set, NULL) == 0)
        return true;
    diag_errno(diag, "watch", "refused system calls");
    return false;
}

bool sandbox_enter(enum sandbox_mode mode, struct diag *diag)
{
    scmp_filter_ctx filter;
    int result;

    if (mode == SANDBOX_OFF)
        return true;
    if (mode == SANDBOX_ON && !watch_refusals(diag))
        return false;
    filter = seccomp_init(mode == SANDBOX_ON ? SCMP_ACT_TRAP : SCMP_ACT_LOG);
    result = filter == NULL ? -ENOMEM : fill(filter, mode);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    if (result == 0)
        return true;
    if (result == -EINVAL || result == -ENOSYS || result == -ECANCELED) {
        diag_add(diag, DIAG_WARN, NULL,
                 "the kernel takes no filter of system calls (%s): the worker runs without one",
                 strerror(-result));
        return true;
    }
    errno = -result;
    diag_errno(diag, "restrict", "the system calls of the worker");
    return false;
}
