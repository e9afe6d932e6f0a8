/* Asking for memory ahead. Runs in: any. */
#pragma once

#include <stddef.h>

/* Tells the processor that `bytes` at `at` will be needed in a moment. With hundreds of requests
 * under way theirs is not in the caches any more, and lines that are asked for come side by side,
 * while each that is missed is waited for. Nothing is read: any address will do. */
static inline void fetch_memory(const void *at, size_t bytes)
{
    const char *line = at;

    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(line + i, 1);
}
