/* Pieces of bodies: bytes in memory, or a range of a file. Runs in: worker, the thread of the
 * exchange's loop. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct exchange;

struct chunk {
    struct chunk *next;
    struct slice bytes; /* memory; empty for a file range */
    struct buf *buf;    /* a reference that keeps `bytes` alive, dropped with the chunk; NULL: the
                           bytes live in an arena or longer */
    int fd; /* >= 0: a file range, the fd is borrowed and outlives the exchange's response */
    off_t offset;
    uint64_t file_bytes;
    char inline_bytes[24]; /* room for framing, so that it needs no memory of its own */
};

/* A chunk from the exchange's free list or arena. NULL: no memory. */
struct chunk *chunk_memory(struct exchange *x, struct slice bytes,
                           struct buf *buf_or_null_takes_reference);
struct chunk *chunk_file(struct exchange *x, int fd, off_t offset, uint64_t bytes);

/* Makes `bytes` a part of `last`: true when they lie behind its own in the same buffer, to the
 * beginning of which they are moved if framing is between. */
bool chunk_join(struct chunk *last, struct slice bytes, const struct buf *buf);

/* Copies bytes behind those of `last` if its buffer has room there and is nobody else's: many small
 * pieces must not cost a buffer each. How many. */
size_t chunk_append(struct chunk *last, struct slice bytes);

/* Drops its buffer reference and keeps the struct for reuse. */
void chunk_release(struct exchange *x, struct chunk *chunk);
void chunk_release_all(struct exchange *x, struct chunk *first);

static inline uint64_t chunk_size(const struct chunk *chunk)
{
    return chunk->fd >= 0 ? chunk->file_bytes : chunk->bytes.len;
}
