/* Counted I/O buffers from a per-thread pool.
 *
 * A connection borrows a buffer when bytes arrive and gives it back when none are left, so that
 * idle connections own none. Slices into a buffer stay valid while a reference is held. Counts are
 * plain integers. Runs in: worker; a pool and its buffers belong to one thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    BUF_BYTES = 16384 - 64,      /* capacity of a pooled buffer */
    BUF_LARGE_BYTES = 4 * 16384, /* of a large one, for bodies: a few of them are kept as well */
};

struct bufpool;

struct buf {
    struct bufpool *pool; /* borrowed */
    struct buf *next;     /* for whoever holds it: chains; the pool's free list */
    uint32_t refs;
    uint32_t capacity; /* bytes in data[] */
    uint32_t start;    /* first byte not consumed: for the holder */
    uint32_t end;      /* one past the last byte filled: for the holder */
    char data[];
};

/* Keeps at most `keep_max` free buffers, and a few large ones. NULL: no memory. */
struct bufpool *bufpool_new(size_t keep_max);

/* All buffers must be back. NULL is fine. */
void bufpool_free(struct bufpool *pool);

/* One buffer of BUF_BYTES with one reference, or NULL. */
struct buf *buf_get(struct bufpool *pool);

/* One buffer of at least `capacity` bytes, or NULL. Pooled if that is BUF_BYTES or less, or
 * BUF_LARGE_BYTES. */
struct buf *buf_get_sized(struct bufpool *pool, size_t capacity);

static inline struct buf *buf_ref(struct buf *buf)
{
    buf->refs++;
    return buf;
}

/* The last reference gives the buffer back to the pool. NULL is fine. */
void buf_unref(struct buf *buf);

/* Buffers lent out now: tests check that it returns to zero. */
size_t bufpool_lent(const struct bufpool *pool);

static inline size_t buf_used(const struct buf *buf)
{
    return buf->end - buf->start;
}

static inline size_t buf_room(const struct buf *buf)
{
    return buf->capacity - buf->end;
}
