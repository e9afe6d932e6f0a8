/* Files that are exchanged while we serve. Runs in: master. */
#include "daemon/file_watch.h"

#include "base/list.h"
#include "base/slice.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SETTLE_MS = 1000, /* a key follows its certificate within that */
    LOOK_MS = 60 * 1000,
    WATCHED = IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_ATTRIB | IN_ONLYDIR,
};

uint64_t file_watch_look(const struct manifest_texts *files)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < files->count; i++) {
        struct stat status;
        uint64_t facts[6] = {i};

        if (stat(files->items[i].data, &status) == 0) {
            facts[1] = (uint64_t)status.st_dev;
            facts[2] = (uint64_t)status.st_ino;
            facts[3] = (uint64_t)status.st_size;
            facts[4] = (uint64_t)status.st_mtim.tv_sec;
            facts[5] = (uint64_t)status.st_mtim.tv_nsec;
        }
        sum = sum * 31 + slice_hash(slice_make((const char *)facts, sizeof facts));
    }
    return sum;
}

/* Watching a folder twice changes nothing; where that fails, the look once a minute is left. */
static void watch_folder_of(const struct file_watch *watch, const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash == NULL || (size_t)(slash - path) >= sizeof folder)
        return;
    snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    (void)inotify_add_watch(watch->events.fd, folder, WATCHED);
}

/* Links are exchanged where they stand, and files where the links lead. */
static void watch_folders(const struct file_watch *watch)
{
    char real[PATH_MAX];

    for (size_t i = 0; i < watch->files.count; i++) {
        watch_folder_of(watch, watch->files.items[i].data);
        if (realpath(watch->files.items[i].data, real) != NULL &&
            strcmp(real, watch->files.items[i].data) != 0)
            watch_folder_of(watch, real);
    }
}

static void look_again(struct file_watch *watch)
{
    uint64_t now = file_watch_look(&watch->files);

    deadline_arm(watch->loop, &watch->look, LOOK_MS);
    if (now == watch->known)
        return;
    watch->known = now;
    watch_folders(watch);
    watch->on_change(watch);
}

static void on_settle(struct deadline *deadline)
{
    look_again(container_of(deadline, struct file_watch, settle));
}

static void on_look(struct deadline *deadline)
{
    look_again(container_of(deadline, struct file_watch, look));
}

static void on_events(struct io *io, unsigned events)
{
    struct file_watch *watch = container_of(io, struct file_watch, events);
    char bytes[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

    (void)events;
    while (read(io->fd, bytes, sizeof bytes) > 0) /* which, does not matter */
        continue;
    io->ready &= ~(unsigned)IO_READ;
    if (!deadline_armed(&watch->settle))
        deadline_arm(watch->loop, &watch->settle, SETTLE_MS);
}

void file_watch_init(struct file_watch *watch, struct loop *loop,
                     void (*on_change)(struct file_watch *watch))
{
    *watch = (struct file_watch){.loop = loop,
                                 .events = {.fd = -1, .on_ready = on_events},
                                 .settle = {.on_expire = on_settle},
                                 .look = {.on_expire = on_look},
                                 .on_change = on_change};
}

static bool copy_paths(struct file_watch *watch, const struct manifest_texts *files)
{
    watch->files.items = calloc(files->count, sizeof *watch->files.items);
    for (size_t i = 0; watch->files.items != NULL && i < files->count; i++) {
        char *path = slice_strdup(files->items[i]);

        if (path == NULL)
            return false;
        watch->files.items[watch->files.count++] = slice_of(path);
    }
    return watch->files.items != NULL;
}

bool file_watch_use(struct file_watch *watch, const struct manifest_texts *files, uint64_t known)
{
    bool ok;

    file_watch_fini(watch);
    if (files->count == 0)
        return true;
    watch->events.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    ok = watch->events.fd >= 0 && copy_paths(watch, files) &&
         loop_watch(watch->loop, &watch->events);
    if (!ok) {
        file_watch_fini(watch);
        return false;
    }
    watch_folders(watch);
    watch->known = known;
    deadline_arm(watch->loop, &watch->settle, SETTLE_MS); /* they may have changed since */
    return true;
}

void file_watch_again(struct file_watch *watch)
{
    watch->known = ~watch->known;
    deadline_arm(watch->loop, &watch->settle, SETTLE_MS);
}

void file_watch_fini(struct file_watch *watch)
{
    deadline_disarm(&watch->settle);
    deadline_disarm(&watch->look);
    if (watch->events.loop != NULL)
        loop_unwatch(&watch->events);
    if (watch->events.fd >= 0)
        close(watch->events.fd);
    watch->events.fd = -1;
    for (size_t i = 0; i < watch->files.count; i++)
        free((char *)(uintptr_t)watch->files.items[i].data);
    free(watch->files.items);
    watch->files.items = NULL;
    watch->files.count = 0;
}
