/* Snapshots: made, counted, freed. Runs in: worker, any thread; master's validating child. */
#include "config/snapshot.h"

#include "base/arena.h"

#include <assert.h>
#include <string.h>

enum { SNAPSHOT_BLOCK_BYTES = 64 * 1024 };

struct snapshot *snapshot_new(void)
{
    struct arena *arena = arena_new(SNAPSHOT_BLOCK_BYTES);
    struct snapshot *snapshot = arena == NULL ? NULL : arena_zalloc(arena, sizeof *snapshot);

    if (snapshot == NULL) {
        arena_drop(arena);
        return NULL;
    }
    snapshot->arena = arena;
    map_init(&snapshot->log_paths, arena, false);
    atomic_init(&snapshot->refs, 1);
    return snapshot;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    unsigned before = atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);

    assert(before > 0);
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
    unsigned before;

    if (snapshot == NULL)
        return;
    before = atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        arena_drop(snapshot->arena); /* the snapshot itself lives in it */
}

struct log_file *snapshot_log_file(struct snapshot *snapshot, struct slice path)
{
    struct log_file *file = map_get(&snapshot->log_paths, path);

    if (file != NULL)
        return file;
    file = arena_zalloc(snapshot->arena, sizeof *file);
    if (file == NULL)
        return NULL;
    file->fd = -1;
    file->path = arena_copy(snapshot->arena, path);
    if (file->path.data == NULL || !map_put(&snapshot->log_paths, file->path, file, NULL))
        return NULL;
    file->next = snapshot->log_files;
    snapshot->log_files = file;
    return file;
}

bool snapshot_log_user(struct snapshot *snapshot, struct log_file *file, int *fd)
{
    struct log_user *user = arena_alloc(snapshot->arena, sizeof *user);

    if (user == NULL)
        return false;
    *user = (struct log_user){.next = file->users, .fd = fd};
    file->users = user;
    *fd = file->fd;
    return true;
}

void log_file_opened(struct log_file *file, int fd)
{
    file->fd = fd;
    for (struct log_user *user = file->users; user != NULL; user = user->next)
        *user->fd = fd;
}

/* Of `user` there is nothing but the default when the http block is read. */
static void forget_default(struct snapshot *snapshot, const char *user)
{
    struct work_dir **link = &snapshot->work_dirs;

    while (*link != NULL && strcmp((*link)->user, user) != 0)
        link = &(*link)->next;
    if (*link != NULL)
        *link = (*link)->next;
}

bool snapshot_work_dir(struct snapshot *snapshot, const char *user, struct slice path,
                       enum context context)
{
    struct work_dir *dir;

    if (context == CTX_HTTP)
        forget_default(snapshot, user);
    for (dir = snapshot->work_dirs; dir != NULL; dir = dir->next) {
        if (strcmp(dir->user, user) == 0 && slice_eq(dir->path, path))
            return true;
    }
    dir = arena_alloc(snapshot->arena, sizeof *dir);
    if (dir == NULL)
        return false;
    *dir = (struct work_dir){snapshot->work_dirs, user, arena_copy(snapshot->arena, path)};
    if (dir->path.data == NULL)
        return false;
    snapshot->work_dirs = dir;
    return true;
}

bool snapshot_watch_file(struct snapshot *snapshot, struct slice path)
{
    struct watched_file *file = arena_alloc(snapshot->arena, sizeof *file);

    if (file == NULL)
        return false;
    *file = (struct watched_file){snapshot->watched, path};
    snapshot->watched = file;
    return true;
}

bool snapshot_on_open(struct snapshot *snapshot, bool (*open)(void *data, struct diag *diag),
                      void *data)
{
    struct snapshot_opener **last = &snapshot->openers;
    struct snapshot_opener *opener = arena_alloc(snapshot->arena, sizeof *opener);

    if (opener == NULL)
        return false;
    *opener = (struct snapshot_opener){.open = open, .data = data};
    while (*last != NULL)
        last = &(*last)->next;
    *last = opener;
    return true;
}

bool snapshot_open(struct snapshot *snapshot, struct diag *diag)
{
    for (struct snapshot_opener *opener = snapshot->openers; opener != NULL;
         opener = opener->next) {
        if (!opener->open(opener->data, diag))
            return false;
    }
    return true;
}
