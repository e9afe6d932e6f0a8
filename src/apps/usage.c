/* Memory, CPU and descendants of processes. Runs in: master. */
#include "apps/usage.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STAT_BYTES = 1024,
    CHILDREN_BYTES = 65536,
    ENVIRONMENT_BYTES = 32768,
    DEPTH_MAX = 64,
    RSS_FIELD = 24
};

static ssize_t read_proc(const char *path, char *text, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, bytes - 1);

    if (fd >= 0)
        close(fd);
    if (got >= 0)
        text[got] = '\0';
    return got;
}

/* Field `number` (from 1) of /proc/PID/stat. The second one may hold blanks and parentheses. */
static const char *field(const char *after_name, unsigned number)
{
    const char *at = after_name;

    for (unsigned i = 3; i < number && at != NULL; i++)
        at = strchr(at + 1, ' ');
    return at;
}

bool usage_read(pid_t pid, struct usage *usage)
{
    char path[64];
    char text[STAT_BYTES];
    const char *name_end;
    const char *cpu;
    const char *rss;
    char *end;
    uint64_t ticks;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (read_proc(path, text, sizeof text) <= 0)
        return false;
    name_end = strrchr(text, ')');
    if (name_end == NULL || name_end[1] != ' ')
        return false;
    cpu = field(name_end + 1, 14);
    rss = field(name_end + 1, RSS_FIELD);
    if (cpu == NULL || rss == NULL)
        return false;
    ticks = strtoull(cpu, &end, 10);
    ticks += strtoull(end, NULL, 10);
    usage->cpu_us = ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    usage->rss_bytes = strtoull(rss, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

static void signal_below(pid_t root, pid_t parent, int number, unsigned depth);

static void signal_children(pid_t root, const char *list, int number, unsigned depth)
{
    char *end;

    for (const char *at = list; *at != '\0'; at = end) {
        pid_t child = (pid_t)strtol(at, &end, 10);

        if (end == at)
            break;
        signal_below(root, child, number, depth + 1);
        if (getpgid(child) != root)
            kill(child, number);
    }
}

static void signal_below(pid_t root, pid_t parent, int number, unsigned depth)
{
    char path[64];
    char *list;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    if (depth > DEPTH_MAX)
        return;
    list = malloc(CHILDREN_BYTES);
    if (list != NULL && read_proc(path, list, CHILDREN_BYTES) > 0)
        signal_children(root, list, number, depth);
    free(list);
}

/* The group gets it in one call; nobody gets it twice, which many take for "at once". */
void tree_signal(pid_t root, int number)
{
    signal_below(root, root, number, 0);
    if (kill(-root, number) != 0)
        kill(root, number);
}

/* The group first, in one call. Those in other groups of the session have come to us (the master is
 * their subreaper): they are among our children. */
static bool has_mark(pid_t pid, const char *mark, char *text, size_t bytes)
{
    char path[64];
    ssize_t len;

    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    len = read_proc(path, text, bytes);
    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(text + at) + 1) {
        if (strcmp(text + at, mark) == 0)
            return true;
    }
    return false;
}

void tree_sweep(pid_t leader, const char *mark)
{
    char path[64];
    char *list = malloc(CHILDREN_BYTES);
    static char text[ENVIRONMENT_BYTES];
    char *end;

    kill(-leader, SIGKILL);
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    if (list != NULL && read_proc(path, list, CHILDREN_BYTES) > 0) {
        for (const char *at = list; *at != '\0'; at = end) {
            pid_t child = (pid_t)strtol(at, &end, 10);

            if (end == at)
                break;
            if (child != leader &&
                (getsid(child) == leader || has_mark(child, mark, text, ENVIRONMENT_BYTES)))
                tree_signal(child, SIGKILL);
        }
    }
    free(list);
}
