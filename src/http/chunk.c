#include "http/chunk.h"

#include "base/arena.h"
#include "base/buf.h"
#include "http/exchange.h"

#include <string.h>

static struct chunk *chunk_new(struct exchange *x)
{
    struct chunk *chunk = x->free_chunks;

    if (chunk == NULL)
        return arena_alloc(x->subject.arena, sizeof *chunk);
    x->free_chunks = chunk->next;
    return chunk;
}

struct chunk *chunk_memory(struct exchange *x, struct slice bytes,
                           struct buf *buf_or_null_takes_reference)
{
    struct chunk *chunk = chunk_new(x);

    if (chunk == NULL)
        return NULL;
    chunk->next = NULL;
    chunk->bytes = bytes;
    chunk->buf = buf_or_null_takes_reference;
    chunk->fd = -1;
    chunk->offset = 0;
    chunk->file_bytes = 0;
    return chunk;
}

struct chunk *chunk_file(struct exchange *x, int fd, off_t offset, uint64_t bytes)
{
    struct chunk *chunk = chunk_memory(x, slice_make(NULL, 0), NULL);

    if (chunk == NULL)
        return NULL;
    chunk->fd = fd;
    chunk->offset = offset;
    chunk->file_bytes = bytes;
    return chunk;
}

bool chunk_join(struct chunk *last, struct slice bytes, const struct buf *buf)
{
    char *end = (char *)(uintptr_t)last->bytes.data + last->bytes.len;

    if (last->buf != buf || last->fd >= 0 || bytes.data < end)
        return false;
    if (bytes.data > end)
        memmove(end, bytes.data, bytes.len);
    last->bytes.len += bytes.len;
    return true;
}

size_t chunk_append(struct chunk *last, struct slice bytes)
{
    struct buf *buf = last->fd >= 0 ? NULL : last->buf;

    if (buf == NULL || buf->refs != 1 || bytes.len == 0 ||
        last->bytes.data + last->bytes.len != buf->data + buf->end)
        return 0;
    size_t n = bytes.len < buf_room(buf) ? bytes.len : buf_room(buf);

    memcpy(buf->data + buf->end, bytes.data, n);
    buf->end += (uint32_t)n;
    last->bytes.len += n;
    return n;
}

void chunk_release(struct exchange *x, struct chunk *chunk)
{
    buf_unref(chunk->buf);
    chunk->buf = NULL;
    chunk->next = x->free_chunks;
    x->free_chunks = chunk;
}

void chunk_release_all(struct exchange *x, struct chunk *first)
{
    while (first != NULL) {
        struct chunk *next = first->next;

        chunk_release(x, first);
        first = next;
    }
}
