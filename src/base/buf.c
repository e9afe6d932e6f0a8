/* Counted I/O buffers from a per-thread pool. Runs in: the thread that owns the pool. */
#include "base/buf.h"

#include "base/sanitize.h"

#include <assert.h>
#include <stdlib.h>

_Static_assert(sizeof(struct buf) + BUF_BYTES <= 16384 - 16, "a buffer and malloc's head: 16 KiB");

struct bufpool {
    struct buf *free; /* owned */
    size_t free_count;
    size_t keep_max;
    size_t lent;
};

struct bufpool *bufpool_new(size_t keep_max)
{
    struct bufpool *pool = malloc(sizeof *pool);

    if (pool != NULL)
        *pool = (struct bufpool){.keep_max = keep_max};
    return pool;
}

void bufpool_free(struct bufpool *pool)
{
    if (pool == NULL)
        return;
    assert(pool->lent == 0);
    while (pool->free != NULL) {
        struct buf *buf = pool->free;

        pool->free = buf->next;
        free(buf);
    }
    free(pool);
}

static struct buf *take_free(struct bufpool *pool)
{
    struct buf *buf = pool->free;

    if (buf != NULL) {
        pool->free = buf->next;
        pool->free_count--;
    }
    return buf;
}

struct buf *buf_get_sized(struct bufpool *pool, size_t capacity)
{
    size_t bytes = capacity < BUF_BYTES ? BUF_BYTES : capacity;
    struct buf *buf = bytes == BUF_BYTES ? take_free(pool) : NULL;

    if (bytes > UINT32_MAX)
        return NULL;
    if (buf == NULL)
        buf = malloc(sizeof *buf + bytes);
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
    if (WITH_ASAN || buf->capacity != BUF_BYTES || pool->free_count >= pool->keep_max) {
        free(buf);
        return;
    }
    buf->next = pool->free;
    pool->free = buf;
    pool->free_count++;
}

size_t bufpool_lent(const struct bufpool *pool)
{
    return pool->lent;
}
