/* Putting logs aside: NAME.20260131-120000, compressed and pruned by a child of its own, so that
 * neither the master nor an app waits for it. Runs in: master; the child. */
#include "apps/sink.h"
#include "apps/stamp.h"
#include "base/log.h"
#include "base/slice.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

enum { ASIDE_MAX = 1000, RETRY_MS = 60 * 1000, NICE = 10, COPY_BYTES = 65536 };

/* Removes `path` once path.gz holds it all. */
static void compress_file(const char *path)
{
    char target[PATH_MAX];
    char temporary[PATH_MAX];
    static char bytes[COPY_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    gzFile out = NULL;
    ssize_t got = -1;

    if (snprintf(target, sizeof target, "%s.gz", path) >= PATH_MAX ||
        snprintf(temporary, sizeof temporary, "%s.gz.part", path) >= PATH_MAX || fd < 0)
        goto out;
    out = gzopen(temporary, "wb1");
    while (out != NULL && (got = read(fd, bytes, sizeof bytes)) > 0) {
        if (gzwrite(out, bytes, (unsigned)got) != (int)got) {
            got = -1;
            break;
        }
    }
out:
    if (fd >= 0)
        close(fd);
    if (out != NULL && gzclose(out) == Z_OK && got == 0 && rename(temporary, target) == 0)
        unlink(path);
    else if (out != NULL)
        unlink(temporary);
}

struct aside {
    char name[NAME_MAX + 1];
    uint64_t bytes;
};

static struct slice without_end(const struct aside *aside)
{
    struct slice name = slice_of(aside->name);

    return slice_ends(name, slice_of(".gz")) ? slice_head(name, name.len - 3) : name;
}

/* Times sort as texts; of one second, TIME comes before TIME-01, compressed or not. */
static int newest_first(const void *a, const void *b)
{
    return slice_cmp(without_end(b), without_end(a));
}

/* NAME.DATE-TIME and NAME.DATE-TIME.gz. */
static size_t list_asides(DIR *dir, const char *base, struct aside *found)
{
    size_t base_len = strlen(base);
    const struct dirent *entry;
    size_t count = 0;

    while (count < ASIDE_MAX && (entry = readdir(dir)) != NULL) {
        struct stat stat_;

        if (strncmp(entry->d_name, base, base_len) != 0 || entry->d_name[base_len] != '.' ||
            strspn(entry->d_name + base_len + 1, "0123456789") != 8)
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &stat_, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        snprintf(found[count].name, sizeof found[count].name, "%s", entry->d_name);
        found[count++].bytes = (uint64_t)stat_.st_size;
    }
    return count;
}

/* The folder of a log and what of it was put aside there, newest first. False: nothing. */
struct asides {
    char folder[PATH_MAX];
    DIR *dir;
    struct aside *found; /* owned */
    size_t count;
};

static bool asides_open(struct asides *asides, const char *path)
{
    const char *slash = strrchr(path, '/');

    *asides = (struct asides){.found = calloc(ASIDE_MAX, sizeof *asides->found)};
    if (slash != NULL && asides->found != NULL) {
        snprintf(asides->folder, PATH_MAX, "%.*s", (int)(slash - path + 1), path);
        asides->dir = opendir(asides->folder);
    }
    if (asides->dir == NULL)
        return false;
    asides->count = list_asides(asides->dir, slash + 1, asides->found);
    qsort(asides->found, asides->count, sizeof *asides->found, newest_first);
    return true;
}

static void asides_close(struct asides *asides)
{
    if (asides->dir != NULL)
        closedir(asides->dir);
    free(asides->found);
}

static void prune(const char *path, uint64_t total_bytes)
{
    struct asides asides;
    uint64_t sum = 0;

    if (asides_open(&asides, path)) {
        for (size_t i = 0; i < asides.count; i++) {
            sum += asides.found[i].bytes;
            if (sum > total_bytes)
                unlinkat(dirfd(asides.dir), asides.found[i].name, 0);
        }
    }
    asides_close(&asides);
}

/* The oldest first: they are the next to go. */
static void compress_all(const char *path)
{
    struct asides asides;
    char aside[PATH_MAX];

    if (asides_open(&asides, path)) {
        for (size_t i = asides.count; i-- > 0;) {
            struct slice name = slice_of(asides.found[i].name);

            if (slice_ends(name, slice_of(".part"))) /* of one that was ended at its work */
                unlinkat(dirfd(asides.dir), name.data, 0);
            else if (!slice_ends(name, slice_of(".gz")) &&
                     snprintf(aside, sizeof aside, "%s%s", asides.folder, name.data) < PATH_MAX)
                compress_file(aside);
        }
    }
    asides_close(&asides);
}

/* A child that compresses what was put aside of one log. It knows all it needs: the app, and with
 * it the sink, may be gone before it has ended. */
struct chore {
    struct list link;
    struct io io;
    struct sinks *sinks;
    pid_t pid;
    char *path; /* owned: of the log */
    struct sink_limits limits;
    bool again; /* more was put aside meanwhile */
};

static void chore_free(struct chore *chore)
{
    if (chore->io.loop != NULL)
        loop_unwatch(&chore->io);
    if (chore->io.fd >= 0)
        close(chore->io.fd);
    list_remove(&chore->link);
    free(chore->path);
    free(chore);
}

static void chore_start(struct sinks *sinks, const char *path, const struct sink_limits *limits);

static void on_chore_end(struct io *io, unsigned events)
{
    struct chore *chore = container_of(io, struct chore, io);

    (void)events;
    waitpid(chore->pid, NULL, WNOHANG);
    if (chore->again)
        chore_start(chore->sinks, chore->path, &chore->limits);
    chore_free(chore);
}

static void chore_watch(struct sinks *sinks, pid_t pid, const char *path,
                        const struct sink_limits *limits)
{
    struct chore *chore = calloc(1, sizeof *chore);

    if (chore == NULL)
        return; /* nobody knows it then: it is reaped with the strays */
    *chore = (struct chore){.pid = pid,
                            .sinks = sinks,
                            .path = strdup(path),
                            .limits = *limits,
                            .io = {.fd = pidfd_open(pid, 0), .on_ready = on_chore_end}};
    list_push_back(&sinks->chores, &chore->link);
    if (chore->path == NULL || chore->io.fd < 0 || !loop_watch(sinks->loop, &chore->io))
        chore_free(chore);
}

void sinks_end_chores(struct sinks *sinks)
{
    list_each(it, keep, &sinks->chores)
    {
        struct chore *chore = container_of(it, struct chore, link);

        kill(chore->pid, SIGKILL); /* it begins anew the next time */
        while (waitpid(chore->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        chore_free(chore);
    }
}

bool sinks_know_pid(const struct sinks *sinks, pid_t pid)
{
    list_each(it, keep, &sinks->chores)
    {
        if (container_of(it, struct chore, link)->pid == pid)
            return true;
    }
    return false;
}

static void chore_start(struct sinks *sinks, const char *path, const struct sink_limits *limits)
{
    pid_t pid = fork();

    if (pid == 0) {
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        close_range(3, ~0U, 0);
        if (nice(NICE) < 0)
            errno = 0;
        if (limits->compress) {
            /* an app that writes faster than this: what is in excess is not worth compressing */
            prune(path, limits->total_bytes + 4 * limits->max_bytes);
            compress_all(path);
        }
        prune(path, limits->total_bytes);
        _exit(0);
    }
    if (pid > 0)
        chore_watch(sinks, pid, path, limits);
}

/* One child per log at a time: an app that writes faster than logs can be compressed must not have
 * ever more of them. */
static void tidy_up(const struct sink *sink)
{
    list_each(it, keep, &sink->sinks->chores)
    {
        struct chore *chore = container_of(it, struct chore, link);

        if (strcmp(chore->path, sink->path) != 0)
            continue;
        chore->again = true;
        return;
    }
    chore_start(sink->sinks, sink->path, &sink->limits);
}

static bool is_due(const struct sink *sink)
{
    uint64_t age_ms = loop_clock(sink->sinks->loop)->wall_ms - sink->began_ms;

    if (sink->fd < 0 || sink->size_bytes == 0)
        return false;
    return (sink->limits.max_bytes > 0 && sink->size_bytes > sink->limits.max_bytes) ||
           (sink->limits.max_age_ms > 0 && age_ms > sink->limits.max_age_ms);
}

static bool aside_name(const struct sink *sink, char out[PATH_MAX])
{
    char when[128];

    stamp_time("YYYYMMDD-HHmmss", loop_clock(sink->sinks->loop)->wall_ms, when, sizeof when);
    for (int i = 0; i < 100; i++) {
        char packed[PATH_MAX];

        if (snprintf(out, PATH_MAX, i == 0 ? "%s.%s" : "%s.%s-%02d", sink->path, when, i) >=
                PATH_MAX - 4 ||
            snprintf(packed, sizeof packed, "%s.gz", out) >= PATH_MAX)
            return false;
        if (access(out, F_OK) != 0 && access(packed, F_OK) != 0)
            return true;
    }
    return false;
}

void sink_rotate_if_due(struct sink *sink)
{
    char aside[PATH_MAX];
    int fd;

    if (!is_due(sink))
        return;
    if (!aside_name(sink, aside) || rename(sink->path, aside) != 0) {
        sink->began_ms = loop_clock(sink->sinks->loop)->wall_ms; /* not at once again */
        sink->size_bytes = 0;
        return;
    }
    fd = open(sink->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0) {
        log_write(sink->sinks->log, LOG_LEVEL_ERROR, errno, "cannot begin a new app log \"%s\"",
                  sink->path);
        rename(aside, sink->path);
        return;
    }
    close(sink->fd);
    sink->fd = fd;
    sink->size_bytes = 0;
    sink->began_ms = loop_clock(sink->sinks->loop)->wall_ms;
    tidy_up(sink);
}
