/* Starting a process: own session and group, a pidfd, nothing inherited that was not handed over.
 *
 * The child is cloned without copying memory (as posix_spawn does) and tells through that shared
 * memory which step failed, so there is no half-started process to find out about later. It is
 * killed with the master. Runs in: master. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct launch {
    const char *program; /* absolute path */
    char **argv;
    char **envp;
    const char *cwd;
    bool switch_user;
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t group_count;
    int umask;                 /* -1: the master's */
    int input, output, errors; /* -1: /dev/null */
    const int *passed;         /* become descriptors 3, 4, ... */
    size_t passed_count;
    int group;      /* the folder of a control group it is born in; 0: ours */
    char *pid_text; /* "LISTEN_PID=" in envp: the child writes its number behind it; or NULL */
    const struct launch_limit *limits;
    size_t limit_count;
};

struct launch_limit {
    int resource;        /* RLIMIT_... */
    uint64_t soft, hard; /* UINT64_MAX: none */
};

struct child {
    pid_t pid;
    int pidfd;
};

/* False: nothing was started; errno, and `*step` says what could not be done ("execute", ...). */
bool spawn(const struct launch *launch, struct child *child, const char **step);
