/* Memory that dies together.
 *
 * An arena hands out pieces and takes all of them back at once: one per exchange, one per config
 * generation. There is no free of a single small piece. Runs in: any process; one thread per arena.
 * With ASan each piece is its own malloc, so that an overrun is seen. */
#pragma once

#include "base/slice.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct arena;

/* NULL if there is no memory. The caller owns the arena and ends it with arena_drop(). */
struct arena *arena_new(size_t first_block_bytes);

/* Runs what arena_on_drop() registered, then gives everything back. NULL is fine. */
void arena_drop(struct arena *arena);

/* As arena_drop(), but keeps the first block for the next user: an exchange's arena is reset, not
 * freed. */
void arena_reset(struct arena *arena);

/* `size_bytes` aligned for any type, not initialised, or NULL. Valid until arena_drop(). */
void *arena_alloc(struct arena *arena, size_t size_bytes)
    __attribute__((malloc, warn_unused_result));

/* The same, filled with zero bytes. */
void *arena_zalloc(struct arena *arena, size_t size_bytes)
    __attribute__((malloc, warn_unused_result));

/* `size_bytes` without alignment: for text. */
char *arena_bytes(struct arena *arena, size_t size_bytes)
    __attribute__((malloc, warn_unused_result));

/* A copy; `.data` is NULL if there is no memory (also for an empty source `.data` is not NULL). The
 * copy is followed by a NUL byte that is not counted, so that it can be passed to system calls. */
struct slice arena_copy(struct arena *arena, struct slice s);

/* As asprintf, in the arena; `.data` is NULL if there is no memory. A NUL follows, uncounted. */
struct slice arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct slice arena_vprintf(struct arena *arena, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Gives back a piece that has become useless, if it was large enough to lie alone (an array that
 * has grown); else nothing happens. It must not be used afterwards. */
void arena_release(struct arena *arena, void *piece);

/* Runs `fn(data)` at the drop (or reset), last added first: for what is not memory. False: not
 * registered, the caller still owns the thing. */
bool arena_on_drop(struct arena *arena, void (*fn)(void *data), void *data)
    __attribute__((warn_unused_result));

/* Bytes taken from the system so far: for limits and metrics. */
size_t arena_bytes_held(const struct arena *arena);
