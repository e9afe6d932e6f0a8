/* Counted I/O buffers from a per-thread pool. Runs in: the thread that owns the pool. */
#include "base/buf.h"

#include "base/fetch.h"
#include "base/sanitize.h"

#include <assert.h>
#include <stdlib.h>

enum {
    LARGE_KEPT_MAX = 32,
    /* With a power of two between them the beginnings of all buffers, often the only parts in use,
     * would compete for the same few lines of the caches. */
    SPREAD_BYTES = 256,
    BEGINNING_BYTES = 256, /* of a buffer that is needed next: mostly all that will be used */
};

struct shelf {
    struct buf *free; /* owned */
    size_t count;
    size_t keep_max;
};

struct bufpool {
    struct shelf usual;
    struct shelf large;
    size_t lent;
};

struct bufpool *bufpool_new(size_t keep_max)
{
    struct bufpool *pool = malloc(sizeof *pool);

    if (pool != NULL)
        *pool = (struct bufpool){.usual.keep_max = keep_max, .large.keep_max = LARGE_KEPT_MAX};
    return pool;
}

static void free_shelf(struct shelf *shelf)
{
    while (shelf->free != NULL) {
        struct buf *buf = shelf->free;

        shelf->free = buf->next;
        free(buf);
    }
}

void bufpool_free(struct bufpool *pool)
{
    if (pool == NULL)
        return;
    assert(pool->lent == 0);
    free_shelf(&pool->usual);
    free_shelf(&pool->large);
    free(pool);
}

/* NULL: buffers of this capacity are not kept. */
static struct shelf *shelf_of(struct bufpool *pool, size_t capacity)
{
    if (capacity == BUF_BYTES)
        return &pool->usual;
    return capacity == BUF_LARGE_BYTES ? &pool->large : NULL;
}

static struct buf *take_free(struct shelf *shelf)
{
    struct buf *buf = shelf == NULL ? NULL : shelf->free;

    if (buf != NULL) {
        shelf->free = buf->next;
        shelf->count--;
        if (shelf->free != NULL)
            fetch_memory(shelf->free, BEGINNING_BYTES);
    }
    return buf;
}

struct buf *buf_get_sized(struct bufpool *pool, size_t capacity)
{
    size_t bytes = capacity < BUF_BYTES ? BUF_BYTES : capacity;
    struct buf *buf = take_free(shelf_of(pool, bytes));

    if (bytes > UINT32_MAX)
        return NULL;
    if (buf == NULL)
        buf = malloc(sizeof *buf + bytes + SPREAD_BYTES);
    if (buf == NULL)
        return NULL;
    buf->pool = pool;
    buf->next = NULL;
    buf->refs = 1;
    buf->capacity = (uint32_t)bytes;
    buf->start = 0;
    buf->end = 0;
    pool->lent++;
    return buf;
}

struct buf *buf_get(struct bufpool *pool)
{
    return buf_get_sized(pool, BUF_BYTES);
}

void buf_unref(struct buf *buf)
{
    struct bufpool *pool;

    if (buf == NULL)
        return;
    assert(buf->refs > 0);
    if (--buf->refs > 0)
        return;

    pool = buf->pool;
    assert(pool->lent > 0);
    pool->lent--;
    struct shelf *shelf = shelf_of(pool, buf->capacity);

    if (WITH_ASAN || shelf == NULL || shelf->count >= shelf->keep_max) {
        free(buf);
        return;
    }
    buf->next = shelf->free;
    shelf->free = buf;
    shelf->count++;
}

size_t bufpool_lent(const struct bufpool *pool)
{
    return pool->lent;
}
