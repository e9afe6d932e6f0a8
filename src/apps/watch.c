/* Noticing that files of an app changed: inotify on every folder below what is watched.
 * Runs in: master's loop. */
#include "apps/apps_internal.h"
#include "base/diag.h"
#include "base/list.h"
#include "base/slice.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDERS_MAX = 20000, DEPTH_MAX = 40, QUIET_MS = 100 };

static const uint32_t events_wanted = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
                                      IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB;

struct folder {
    int descriptor;
    char *path; /* owned */
};

struct watch {
    struct loop *loop;
    struct io io;
    struct app_spec *spec;  /* one reference */
    struct folder *folders; /* owned */
    size_t count, capacity;
    struct deadline quiet;
    void (*on_change)(void *context);
    void *context;
};

static bool is_ignored(const struct watch *watch, const char *path)
{
    static const char *const always[] = {"node_modules", "__pycache__", "logs"};
    const char *name = strrchr(path, '/');

    name = name == NULL ? path : name + 1;
    if (name[0] == '.')
        return true;
    for (size_t i = 0; i < COUNT(always); i++) {
        if (strcmp(name, always[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < watch->spec->ignore_watch.count; i++) {
        const char *pattern = watch->spec->ignore_watch.items[i];

        if (fnmatch(pattern, name, 0) == 0 || fnmatch(pattern, path, 0) == 0)
            return true;
    }
    return false;
}

static bool remember(struct watch *watch, int descriptor, const char *path)
{
    for (size_t i = 0; i < watch->count; i++) {
        if (watch->folders[i].descriptor == descriptor)
            return true;
    }
    if (watch->count == watch->capacity) {
        size_t capacity = watch->capacity == 0 ? 32 : watch->capacity * 2;
        struct folder *folders = realloc(watch->folders, capacity * sizeof *folders);

        if (folders == NULL)
            return false;
        watch->folders = folders;
        watch->capacity = capacity;
    }
    watch->folders[watch->count] = (struct folder){descriptor, strdup(path)};
    return watch->folders[watch->count++].path != NULL;
}

static bool is_folder(const char *path)
{
    struct stat stat_;

    return lstat(path, &stat_) == 0 && S_ISDIR(stat_.st_mode);
}

/* `path` and the folders below it. Links are not followed: they may lead in circles. */
static bool add(struct watch *watch, const char *path, unsigned depth)
{
    int descriptor = inotify_add_watch(watch->io.fd, path, events_wanted);
    const struct dirent *entry;
    bool good = descriptor >= 0 && watch->count < FOLDERS_MAX && remember(watch, descriptor, path);
    DIR *dir = good && depth < DEPTH_MAX && is_folder(path) ? opendir(path) : NULL;

    while (dir != NULL && good && (entry = readdir(dir)) != NULL) {
        char below[PATH_MAX];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            snprintf(below, sizeof below, "%s/%s", path, entry->d_name) >= PATH_MAX)
            continue;
        if (is_folder(below) && !is_ignored(watch, below))
            good = add(watch, below, depth + 1) || errno == ENOENT;
    }
    if (dir != NULL)
        closedir(dir);
    return good;
}

static const char *path_of(const struct watch *watch, int descriptor)
{
    for (size_t i = 0; i < watch->count; i++) {
        if (watch->folders[i].descriptor == descriptor)
            return watch->folders[i].path;
    }
    return NULL;
}

static void forget(struct watch *watch, int descriptor)
{
    for (size_t i = 0; i < watch->count; i++) {
        if (watch->folders[i].descriptor != descriptor)
            continue;
        free(watch->folders[i].path);
        watch->folders[i] = watch->folders[--watch->count];
        return;
    }
}

/* Does the file's name end as it has to, to count? */
static bool has_extension(const struct watch *watch, const char *path)
{
    const struct words *wanted = &watch->spec->watch_ext;
    const char *dot = strrchr(path, '.');
    struct slice one;

    for (size_t i = 0; dot != NULL && i < wanted->count; i++) {
        struct slice list = slice_of(wanted->items[i]);

        while (slice_split(&list, ',', &one)) {
            one = slice_trim(one);
            if (slice_eq(one.len > 0 && one.data[0] == '.' ? slice_skip(one, 1) : one,
                         slice_of(dot + 1)))
                return true;
        }
    }
    return wanted->count == 0;
}

/* True: something changed that is not ignored. */
static bool take(struct watch *watch, const struct inotify_event *event)
{
    const char *folder = path_of(watch, event->wd);
    char path[PATH_MAX];

    if ((event->mask & IN_Q_OVERFLOW) != 0)
        return true;
    if ((event->mask & IN_IGNORED) != 0) {
        forget(watch, event->wd);
        return false;
    }
    if (folder == NULL || snprintf(path, sizeof path, "%s%s%s", folder, event->len > 0 ? "/" : "",
                                   event->len > 0 ? event->name : "") >= PATH_MAX)
        return false;
    if (event->len > 0 && is_ignored(watch, path))
        return false;
    if ((event->mask & IN_ISDIR) != 0 && (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0)
        add(watch, path, 0);
    if (event->len > 0 && !has_extension(watch, path))
        return false;
    /* a file that is being written is done when it is closed */
    return (event->mask & IN_CREATE) == 0 || (event->mask & IN_ISDIR) != 0;
}

static void on_events(struct io *io, unsigned events)
{
    struct watch *watch = container_of(io, struct watch, io);
    _Alignas(struct inotify_event) char bytes[16384];
    uint64_t delay_ms = watch->spec->watch_delay_ms;
    bool changed = false;
    ssize_t got;

    (void)events;
    while ((got = read(io->fd, bytes, sizeof bytes)) > 0) {
        for (const char *at = bytes; at < bytes + got;) {
            const struct inotify_event *event = (const void *)at;

            changed = take(watch, event) || changed;
            at += sizeof *event + event->len;
        }
    }
    io->ready &= ~(unsigned)IO_READ;
    if (changed) /* each further change begins the quiet time anew */
        deadline_arm(watch->loop, &watch->quiet, delay_ms > 0 ? delay_ms : QUIET_MS);
}

static void on_quiet(struct deadline *deadline)
{
    struct watch *watch = container_of(deadline, struct watch, quiet);

    watch->on_change(watch->context);
}

static void add_path(struct watch *watch, const char *path, struct diag *diag)
{
    char full[PATH_MAX];
    size_t len;

    if (snprintf(full, sizeof full, "%s%s%s", path[0] == '/' ? "" : watch->spec->cwd,
                 path[0] == '/' ? "" : "/", path) >= PATH_MAX)
        return;
    len = strlen(full);
    while (len > 1 && full[len - 1] == '/')
        full[--len] = '\0';
    if (!add(watch, full, 0))
        diag_errno(diag, "watch all of", full);
}

struct watch *watch_new(struct loop *loop, const struct app_spec *spec,
                        void (*on_change)(void *context), void *context, struct diag *diag)
{
    struct watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return NULL;
    *watch = (struct watch){
        .loop = loop,
        .io = {.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .on_ready = on_events},
        .spec = spec_ref((struct app_spec *)spec),
        .quiet = {.on_expire = on_quiet},
        .on_change = on_change,
        .context = context};
    if (watch->io.fd < 0 || !loop_watch(loop, &watch->io)) {
        diag_errno(diag, "watch the files of", spec->name);
        watch_free(watch);
        return NULL;
    }
    if (spec->watch.words.count == 0)
        add_path(watch, spec->cwd, diag);
    for (size_t i = 0; i < spec->watch.words.count; i++)
        add_path(watch, spec->watch.words.items[i], diag);
    return watch;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    if (watch->io.loop != NULL)
        loop_unwatch(&watch->io);
    if (watch->io.fd >= 0)
        close(watch->io.fd);
    deadline_disarm(&watch->quiet);
    while (watch->count > 0)
        free(watch->folders[--watch->count].path);
    free(watch->folders);
    spec_unref(watch->spec);
    free(watch);
}
