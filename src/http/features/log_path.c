#include "http/features/log_path.h"

#include "base/list.h"
#include "http/features/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUCKETS = 256 };

/* One path: counted from its first use, kept open once it has been used often enough. */
struct entry {
    struct list link;   /* least recently used first */
    struct entry *next; /* of the same bucket */
    uint64_t hash;
    uint64_t used_ms;
    uint64_t checked_ms;
    unsigned uses;
    int fd; /* owned; -1: not open */
    dev_t device;
    ino_t inode;
    size_t path_bytes;
    char path[];
};

struct log_cache {
    struct list by_use;
    struct entry *buckets[BUCKETS];
    int count;
};

static int open_log(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static bool append_once(const char *path, struct slice line)
{
    int fd = open_log(path);
    bool done;
    int error;

    if (fd < 0)
        return false;
    done = log_write_all(fd, line);
    error = errno;
    close(fd);
    errno = error;
    return done;
}

static struct log_cache *cache_new(void)
{
    struct log_cache *cache = calloc(1, sizeof *cache);

    if (cache != NULL)
        list_init(&cache->by_use);
    return cache;
}

static void entry_free(struct log_cache *cache, struct entry *entry)
{
    struct entry **at = &cache->buckets[entry->hash % BUCKETS];

    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    list_remove(&entry->link);
    if (entry->fd >= 0)
        close(entry->fd);
    free(entry);
    cache->count--;
}

void log_cache_free(struct log_cache *cache)
{
    if (cache == NULL)
        return;
    list_each(it, keep, &cache->by_use) entry_free(cache, container_of(it, struct entry, link));
    free(cache);
}

static void expire(struct log_cache *cache, uint64_t inactive_ms, uint64_t now_ms)
{
    list_each(it, keep, &cache->by_use)
    {
        struct entry *entry = container_of(it, struct entry, link);

        if (now_ms - entry->used_ms < inactive_ms)
            return;
        entry_free(cache, entry);
    }
}

static void make_room(struct log_cache *cache, int max)
{
    while (cache->count >= max)
        entry_free(cache, container_of(cache->by_use.next, struct entry, link));
}

static struct entry *entry_find(struct log_cache *cache, struct slice path, uint64_t hash)
{
    struct entry *entry = cache->buckets[hash % BUCKETS];

    while (entry != NULL &&
           (entry->hash != hash || !slice_eq(slice_make(entry->path, entry->path_bytes), path)))
        entry = entry->next;
    return entry;
}

static struct entry *entry_new(struct log_cache *cache, struct slice path, uint64_t hash)
{
    struct entry *entry = calloc(1, sizeof *entry + path.len + 1);

    if (entry == NULL)
        return NULL;
    memcpy(entry->path, path.data, path.len);
    entry->path_bytes = path.len;
    entry->hash = hash;
    entry->fd = -1;
    entry->next = cache->buckets[hash % BUCKETS];
    cache->buckets[hash % BUCKETS] = entry;
    list_push_back(&cache->by_use, &entry->link);
    cache->count++;
    return entry;
}

/* Is the open file still the one at its path? Asked once per `valid`. */
static void check_moved(struct entry *entry, uint64_t valid_ms, uint64_t now_ms)
{
    struct stat st;

    if (entry->fd < 0 || now_ms - entry->checked_ms < valid_ms)
        return;
    entry->checked_ms = now_ms;
    if (stat(entry->path, &st) == 0 && st.st_ino == entry->inode && st.st_dev == entry->device)
        return;
    close(entry->fd);
    entry->fd = -1;
}

static bool keep_open(struct entry *entry, uint64_t now_ms)
{
    struct stat st;

    entry->fd = open_log(entry->path);
    if (entry->fd < 0 || fstat(entry->fd, &st) != 0)
        return false;
    entry->device = st.st_dev;
    entry->inode = st.st_ino;
    entry->checked_ms = now_ms;
    return true;
}

bool log_path_append(struct log_cache **cache, const struct log_cache_conf *conf, struct slice path,
                     struct slice line, uint64_t now_ms)
{
    uint64_t hash = slice_hash(path);
    struct entry *entry;

    if (conf->max > 0 && *cache == NULL)
        *cache = cache_new();
    if (conf->max == 0 || *cache == NULL)
        return append_once(path.data, line);
    expire(*cache, conf->inactive_ms, now_ms);
    entry = entry_find(*cache, path, hash);
    if (entry == NULL) {
        make_room(*cache, conf->max);
        entry = entry_new(*cache, path, hash);
    }
    if (entry == NULL)
        return append_once(path.data, line);
    list_remove(&entry->link);
    list_push_back(&(*cache)->by_use, &entry->link);
    entry->used_ms = now_ms;
    check_moved(entry, conf->valid_ms, now_ms);
    if (entry->fd < 0 && ++entry->uses < (unsigned)conf->min_uses)
        return append_once(path.data, line);
    if (entry->fd < 0 && !keep_open(entry, now_ms))
        return false;
    return log_write_all(entry->fd, line);
}
