/* Memory that dies together: bump allocation in a chain of growing blocks. Runs in: any process.
 *
 *   first block             [ struct arena | pieces ... ]   kept by arena_reset()
 *   more -> block -> block  [ struct block | pieces ... ]   twice as large each time, to BLOCK_MAX
 *
 * With ASan every piece is a block of its own, so that the red zones of malloc surround it. */
#include "base/arena.h"

#include "base/sanitize.h"

#include <assert.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ALIGNMENT = alignof(max_align_t),
    BLOCK_MIN = 512,
    BLOCK_MAX = 64 * 1024,
    PIECE_MAX = BLOCK_MAX / 4, /* larger ones get a block of their own */
};

struct block {
    struct block *next;
    size_t bytes; /* of the only piece; 0: there may be several */
    alignas(max_align_t) char data[];
};

struct cleanup {
    struct cleanup *next;
    void (*fn)(void *data);
    void *data;
};

struct arena {
    char *at;                 /* first free byte of the block in use */
    char *end;                /* one past its last byte */
    struct block *more;       /* owned: all blocks but the first, newest first */
    struct cleanup *cleanups; /* in the arena itself, newest first */
    size_t block_bytes;       /* of the next block */
    size_t held;              /* bytes taken from the system */
    size_t first_bytes;       /* of the first block, with this struct */
    alignas(max_align_t) char first[];
};

static void start_over(struct arena *arena)
{
    arena->at = arena->first;
    arena->end = (char *)arena + arena->first_bytes;
    arena->more = NULL;
    arena->cleanups = NULL;
    arena->held = arena->first_bytes;
    arena->block_bytes = arena->first_bytes < BLOCK_MAX / 2 ? arena->first_bytes * 2 : BLOCK_MAX;
}

struct arena *arena_new(size_t first_block_bytes)
{
    size_t bytes = first_block_bytes < BLOCK_MIN ? BLOCK_MIN : first_block_bytes;
    struct arena *arena = malloc(bytes);

    if (arena == NULL)
        return NULL;
    arena->first_bytes = bytes;
    start_over(arena);
    return arena;
}

static void run_cleanups(struct arena *arena)
{
    while (arena->cleanups != NULL) {
        struct cleanup *cleanup = arena->cleanups;

        arena->cleanups = cleanup->next;
        cleanup->fn(cleanup->data);
    }
}

static void free_blocks(struct arena *arena)
{
    while (arena->more != NULL) {
        struct block *block = arena->more;

        arena->more = block->next;
        free(block);
    }
}

void arena_drop(struct arena *arena)
{
    if (arena == NULL)
        return;
    run_cleanups(arena);
    free_blocks(arena);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    run_cleanups(arena);
    free_blocks(arena);
    start_over(arena);
}

/* A block with room for `size_bytes`, on the chain so that it is freed; NULL: no memory. */
static struct block *add_block(struct arena *arena, size_t size_bytes)
{
    struct block *block;

    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    block = malloc(sizeof *block + size_bytes);
    if (block == NULL)
        return NULL;
    block->next = arena->more;
    arena->more = block;
    arena->held += sizeof *block + size_bytes;
    return block;
}

/* The piece that did not fit in the block in use. */
static void *alloc_slowly(struct arena *arena, size_t size_bytes)
{
    bool alone = WITH_ASAN || size_bytes > PIECE_MAX;
    size_t block_bytes = arena->block_bytes;
    struct block *block;

    while (!alone && block_bytes < size_bytes * 4 && block_bytes < BLOCK_MAX)
        block_bytes *= 2;
    block = add_block(arena, alone ? size_bytes : block_bytes - sizeof *block);
    if (block == NULL)
        return NULL;
    block->bytes = alone ? size_bytes : 0;
    if (alone)
        return block->data;

    arena->at = block->data + size_bytes;
    arena->end = (char *)block + block_bytes;
    arena->block_bytes = block_bytes < BLOCK_MAX / 2 ? block_bytes * 2 : BLOCK_MAX;
    assert(arena->at <= arena->end);
    return block->data;
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    size_t padding = -(uintptr_t)arena->at & (ALIGNMENT - 1);
    size_t room = (size_t)(arena->end - arena->at);
    char *piece = arena->at + padding;

    if (WITH_ASAN || padding > room || size_bytes > room - padding)
        return alloc_slowly(arena, size_bytes);
    arena->at = piece + size_bytes;
    return piece;
}

void *arena_zalloc(struct arena *arena, size_t size_bytes)
{
    void *piece = arena_alloc(arena, size_bytes);

    return piece == NULL ? NULL : memset(piece, 0, size_bytes);
}

void arena_release(struct arena *arena, void *piece)
{
    struct block **place = &arena->more;

    while (*place != NULL && (void *)(*place)->data != piece)
        place = &(*place)->next;
    if (*place == NULL || (*place)->bytes == 0)
        return;
    struct block *block = *place;

    *place = block->next;
    arena->held -= sizeof *block + block->bytes;
    free(block);
}

char *arena_bytes(struct arena *arena, size_t size_bytes)
{
    char *piece = arena->at;

    if (WITH_ASAN || size_bytes > (size_t)(arena->end - arena->at))
        return alloc_slowly(arena, size_bytes);
    arena->at += size_bytes;
    return piece;
}

struct slice arena_copy(struct arena *arena, struct slice s)
{
    char *copy = s.len == SIZE_MAX ? NULL : arena_bytes(arena, s.len + 1);

    if (copy == NULL)
        return slice_make(NULL, 0);
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return slice_make(copy, s.len);
}

struct slice arena_printf(struct arena *arena, const char *format, ...)
{
    struct slice text;
    va_list args;

    va_start(args, format);
    text = arena_vprintf(arena, format, args);
    va_end(args);
    return text;
}

struct slice arena_vprintf(struct arena *arena, const char *format, va_list args)
{
    size_t room = WITH_ASAN ? 0 : (size_t)(arena->end - arena->at);
    char *text = arena->at;
    va_list again;
    int len;

    /* Mostly the text fits where the next piece would begin: then it is made only once. */
    va_copy(again, args);
    len = vsnprintf(room == 0 ? NULL : text, room, format, args);
    if (len < 0) {
        text = NULL;
    } else if ((size_t)len < room) {
        arena->at += len + 1;
    } else {
        text = arena_bytes(arena, (size_t)len + 1);
        if (text != NULL)
            vsnprintf(text, (size_t)len + 1, format, again);
    }
    va_end(again);
    return slice_make(text, text == NULL ? 0 : (size_t)len);
}

bool arena_on_drop(struct arena *arena, void (*fn)(void *data), void *data)
{
    struct cleanup *cleanup = arena_alloc(arena, sizeof *cleanup);

    assert(fn != NULL);
    if (cleanup == NULL)
        return false;
    *cleanup = (struct cleanup){.next = arena->cleanups, .fn = fn, .data = data};
    arena->cleanups = cleanup;
    return true;
}

size_t arena_bytes_held(const struct arena *arena)
{
    return arena->held;
}
