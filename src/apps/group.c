/* Control groups. Runs in: runner. */
#include "apps/group.h"

#include "base/diag.h"
#include "base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FILE_BYTES = 65536, /* mountinfo of a busy machine */
    NAME_BYTES = 160,
    LEAVING_MAX = 1024,
    END_TRIES = 100, /* at our own end, 2 ms each */
    CPU_PERIOD_US = 100000,
    PROCESSES_PERCENT = 15, /* of what the machine can have: what a service may have, too */
    PROCESSES_LEAST = 512,
};

/* ---- small files */

static bool read_file(const char *folder, const char *name, char *text, size_t bytes)
{
    char path[PATH_MAX];
    ssize_t got;
    int fd;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= PATH_MAX)
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    got = read(fd, text, bytes - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got >= 0;
}

static bool write_file(const char *folder, const char *name, const char *text)
{
    char path[PATH_MAX];
    size_t len = strlen(text);
    ssize_t wrote;
    int fd;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= PATH_MAX)
        return false;
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    wrote = write(fd, text, len);
    close(fd);
    return wrote == (ssize_t)len;
}

/* "key number" lines. */
static uint64_t number_in(const char *text, const char *key)
{
    size_t len = strlen(key);

    for (const char *at = text; at != NULL && *at != '\0'; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, key, len) == 0 && at[len] == ' ')
            return strtoull(at + len + 1, NULL, 10);
    }
    return 0;
}

static bool has_word(const char *text, const char *word)
{
    struct slice rest = slice_trim(slice_of(text));
    struct slice part;

    while (slice_split(&rest, ' ', &part)) {
        if (slice_eq(slice_trim(part), slice_of(word)))
            return true;
    }
    return false;
}

static char *joined(const char *folder, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* ---- where */

/* Fields of a line of mountinfo: id parent device ROOT MOUNT options ... - TYPE ... */
static bool is_unified(struct slice line, struct slice *root, struct slice *mount)
{
    struct slice rest = line;
    struct slice field;

    for (int i = 0; i < 5 && slice_split(&rest, ' ', &field); i++) {
        if (i == 3)
            *root = field;
        *mount = field;
    }
    return slice_search(rest, slice_of(" - cgroup2 ")) >= 0;
}

char *group_folder(const char *mountinfo, const char *membership)
{
    struct slice lines = slice_of(membership);
    struct slice path = {0};
    struct slice root = {0};
    struct slice mount = {0};
    struct slice line;
    char *folder = NULL;

    while (path.data == NULL && slice_split(&lines, '\n', &line)) {
        if (slice_starts(line, slice_of("0::")))
            path = slice_skip(line, 3);
    }
    lines = slice_of(mountinfo);
    while (path.data != NULL && slice_split(&lines, '\n', &line)) {
        if (!is_unified(line, &root, &mount))
            continue;
        if (root.len > 1 && slice_starts(path, root)) /* only a part of the tree is mounted */
            path = slice_skip(path, root.len);
        if (path.len == 1) /* the root itself */
            path.len = 0;
        return asprintf(&folder, "%.*s%.*s", SLICE_ARG(mount), SLICE_ARG(path)) < 0 ? NULL : folder;
    }
    return NULL;
}

static char *own_folder(void)
{
    char *mountinfo = malloc(FILE_BYTES);
    char membership[4096];
    char *folder = NULL;

    if (mountinfo != NULL && read_file("/proc/self", "mountinfo", mountinfo, FILE_BYTES) &&
        read_file("/proc/self", "cgroup", membership, sizeof membership))
        folder = group_folder(mountinfo, membership);
    free(mountinfo);
    return folder;
}

static bool is_ours(pid_t pid)
{
    char path[64];
    char text[512];
    const char *after_name;

    if (pid == getpid())
        return true;
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    after_name = read_file(path, "stat", text, sizeof text) ? strrchr(text, ')') : NULL;
    return after_name != NULL && strlen(after_name) > 4 &&
           strtol(after_name + 4, NULL, 10) == getpid();
}

/* A group that has controllers for others must hold no process itself: if nobody else is in ours
 * (a service with Delegate=yes), all of us move down. */
static bool move_down(const char *own, const char *base)
{
    char pids[4096];
    char *folder = joined(base, "runner");
    bool alone = folder != NULL && read_file(own, "cgroup.procs", pids, sizeof pids);
    char *end;

    for (char *at = pids; alone && *at != '\0'; at = end + strspn(end, "\n")) {
        pid_t pid = (pid_t)strtol(at, &end, 10);

        alone = end != at && is_ours(pid);
    }
    if (alone && (mkdir(folder, 0755) == 0 || errno == EEXIST)) {
        for (char *at = pids; *at != '\0'; at = end + strspn(end, "\n")) {
            char number[16];

            snprintf(number, sizeof number, "%ld", strtol(at, &end, 10));
            alone = write_file(folder, "cgroup.procs", number) && alone;
        }
    }
    free(folder);
    return alone;
}

static void enable_controllers(const char *folder)
{
    static const char *const names[] = {"+memory", "+pids", "+cpu"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        write_file(folder, "cgroup.subtree_control", names[i]);
}

static void find_controllers(struct groups *groups, const char *own)
{
    char text[256];

    enable_controllers(own);
    if (read_file(own, "cgroup.subtree_control", text, sizeof text) && !has_word(text, "memory") &&
        move_down(own, groups->base))
        enable_controllers(own);
    enable_controllers(groups->base);
    if (!read_file(groups->base, "cgroup.subtree_control", text, sizeof text))
        return;
    groups->memory = has_word(text, "memory");
    groups->pids = has_word(text, "pids");
    groups->cpu = has_word(text, "cpu");
}

void groups_init(struct groups *groups)
{
    char *own = own_folder();
    char name[64];
    size_t len = own == NULL ? 0 : strlen(own);
    size_t name_len;

    *groups = (struct groups){.base = NULL};
    if (own == NULL)
        return;
    name_len = (size_t)snprintf(name, sizeof name, "/pelayan-%d/runner", (int)getpid());
    if (len > name_len && strcmp(own + len - name_len, name) == 0)
        own[len - name_len] = '\0'; /* where a program before this one has moved us to */
    name[name_len - strlen("/runner")] = '\0';
    groups->base = joined(own, name + 1);
    if (groups->base != NULL && mkdir(groups->base, 0755) != 0 && errno != EEXIST) {
        free(groups->base);
        groups->base = NULL;
    }
    if (groups->base != NULL)
        find_controllers(groups, own);
    free(own);
}

/* ---- groups */

char *group_new(struct groups *groups, const char *app, int id)
{
    char name[NAME_BYTES];
    char *path;
    bool made;

    if (groups->base == NULL)
        return NULL;
    snprintf(name, sizeof name, "%.100s-%d-%u", app, id, groups->next++);
    for (char *at = name; *at != '\0'; at++) {
        if (*at == '/' || *at == '\n')
            *at = '_';
    }
    path = joined(groups->base, name);
    made = path != NULL && (mkdir(path, 0755) == 0 || errno == EEXIST);
    free(path);
    return made ? strdup(name) : NULL;
}

/* True: it is gone, or was not there. */
static bool is_removed(const struct groups *groups, const char *name)
{
    char *path = joined(groups->base, name);
    bool gone = path == NULL || rmdir(path) == 0 || errno != EBUSY;

    free(path);
    return gone;
}

bool groups_tidy(struct groups *groups)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < groups->leaving_count; i++) {
        if (is_removed(groups, groups->leaving[i]))
            free(groups->leaving[i]);
        else
            groups->leaving[kept++] = groups->leaving[i];
    }
    groups->leaving_count = kept;
    return kept == 0;
}

void group_drop(struct groups *groups, char *name)
{
    if (name == NULL)
        return;
    if (groups->leaving == NULL)
        groups->leaving = calloc(LEAVING_MAX, sizeof *groups->leaving);
    if (is_removed(groups, name) || groups->leaving == NULL || groups->leaving_count == LEAVING_MAX)
        free(name);
    else
        groups->leaving[groups->leaving_count++] = name;
}

void groups_fini(struct groups *groups)
{
    struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};

    for (int i = 0; i < END_TRIES && !groups_tidy(groups); i++)
        nanosleep(&pause, NULL);
    for (unsigned i = 0; i < groups->leaving_count; i++)
        free(groups->leaving[i]);
    free(groups->leaving);
    if (groups->base != NULL)
        rmdir(groups->base);
    free(groups->base);
    *groups = (struct groups){.base = NULL};
}

static bool put_limit(const struct groups *groups, const char *name, const char *file,
                      const char *value, struct diag *diag)
{
    char *folder = joined(groups->base, name);
    bool put = folder != NULL && write_file(folder, file, value);

    if (!put)
        diag_errno(diag, "write the limit", file);
    free(folder);
    return put;
}

static bool have(bool controller, const char *what, struct diag *diag)
{
    if (controller)
        return true;
    diag_add(diag, DIAG_ERROR, NULL,
             "\"%s\" needs a control group (cgroup v2) that we may manage: run as a service with"
             " Delegate=yes (pelayan startup)",
             what);
    return false;
}

/* An app that forks without end takes what it may have, not what the machine has. */
static void bound_processes(const struct groups *groups, const char *name)
{
    char *folder = joined(groups->base, name);
    char text[32];
    long most = read_file("/proc/sys/kernel", "threads-max", text, sizeof text)
                    ? strtol(text, NULL, 10)
                    : 0;
    long pids = read_file("/proc/sys/kernel", "pid_max", text, sizeof text) ? strtol(text, NULL, 10)
                                                                            : 0;

    if (pids < most)
        most = pids;
    most = most * PROCESSES_PERCENT / 100;
    if (folder != NULL && most >= PROCESSES_LEAST) {
        snprintf(text, sizeof text, "%ld", most);
        write_file(folder, "pids.max", text);
    }
    free(folder);
}

bool group_limit(const struct groups *groups, const char *name, const struct group_limits *limits,
                 struct diag *diag)
{
    bool usable = name != NULL;
    char value[64];

    if (limits->memory_bytes > 0) {
        snprintf(value, sizeof value, "%llu", (unsigned long long)limits->memory_bytes);
        if (!have(usable && groups->memory, "limit_memory", diag) ||
            !put_limit(groups, name, "memory.max", value, diag))
            return false;
    }
    if (limits->processes > 0) {
        snprintf(value, sizeof value, "%d", limits->processes);
        if (!have(usable && groups->pids, "limit_processes", diag) ||
            !put_limit(groups, name, "pids.max", value, diag))
            return false;
    }
    if (limits->processes == 0 && usable && groups->pids)
        bound_processes(groups, name);
    if (limits->cpu_percent > 0) {
        snprintf(value, sizeof value, "%d %d", limits->cpu_percent * (CPU_PERIOD_US / 100),
                 CPU_PERIOD_US);
        if (!have(usable && groups->cpu, "limit_cpu", diag) ||
            !put_limit(groups, name, "cpu.max", value, diag))
            return false;
    }
    return true;
}

int group_open(const struct groups *groups, const char *name)
{
    char *folder = joined(groups->base, name);
    int fd = folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    free(folder);
    return fd;
}

bool group_is_populated(const struct groups *groups, const char *name)
{
    char *folder = joined(groups->base, name);
    char text[256];
    bool populated = folder == NULL || !read_file(folder, "cgroup.events", text, sizeof text) ||
                     number_in(text, "populated") != 0;

    free(folder);
    return populated;
}

bool group_kill(const struct groups *groups, const char *name)
{
    char *folder = joined(groups->base, name);
    bool killed = folder != NULL && write_file(folder, "cgroup.kill", "1");

    free(folder);
    return killed;
}

char *group_mark_memory(const struct groups *groups, const char *name, uint64_t bytes)
{
    char *folder = groups->memory && name != NULL ? joined(groups->base, name) : NULL;
    char *events = NULL;
    char value[32];

    snprintf(value, sizeof value, "%llu", (unsigned long long)bytes);
    if (folder != NULL && write_file(folder, "memory.high", value))
        events = joined(folder, "memory.events");
    free(folder);
    return events;
}

/* Not the page cache, which the kernel takes back when it is needed. */
bool group_memory(const struct groups *groups, const char *name, uint64_t *bytes)
{
    char *folder = groups->memory ? joined(groups->base, name) : NULL;
    char text[8192];
    bool measured = folder != NULL && read_file(folder, "memory.stat", text, sizeof text);

    if (measured)
        *bytes = number_in(text, "anon") + number_in(text, "shmem");
    free(folder);
    return measured;
}

uint64_t group_oom_kills(const struct groups *groups, const char *name)
{
    char *folder = groups->memory ? joined(groups->base, name) : NULL;
    char text[1024];
    uint64_t count = 0;

    if (folder != NULL && read_file(folder, "memory.events", text, sizeof text))
        count = number_in(text, "oom_kill");
    free(folder);
    return count;
}
