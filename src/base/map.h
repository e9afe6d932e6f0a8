/* Hash map from byte strings to pointers: for things found by name at load time and at run time.
 *
 * Keys are borrowed (they must outlive the map); values are the caller's. Open addressing with
 * stored hashes; grows by doubling; there is no removal of single keys. Lookups take no lock and
 * change nothing, so a filled map may be read by any number of threads. Runs in: any process. */
#pragma once

#include "base/slice.h"

struct arena;

struct map_entry {
    struct slice key; /* borrowed */
    uint64_t hash;
    void *value; /* NULL: the place is free */
};

struct map {
    struct map_entry *entries; /* arena (when given) or owned */
    size_t count;
    size_t capacity; /* power of two, or 0 */
    struct arena *arena;
    bool nocase; /* ASCII letters compare equal in both cases */
};

/* An empty map that takes its memory from `arena`, or from the heap if that is NULL. */
void map_init(struct map *map, struct arena *arena, bool nocase);

/* Gives back the heap memory of a map without an arena. */
void map_fini(struct map *map);

/* Room for `count` keys without growing. False: no memory. */
bool map_reserve(struct map *map, size_t count) __attribute__((warn_unused_result));

/* Adds or replaces; `value` must not be NULL. `*old` (may be NULL) receives what was there. False:
 * no memory, nothing changed. */
bool map_put(struct map *map, struct slice key, void *value, void **old)
    __attribute__((warn_unused_result));

/* The value, or NULL. */
void *map_get(const struct map *map, struct slice key);

/* The next entry in use at or after `*position` (start with 0), or NULL at the end. Order is not
 * defined. */
struct map_entry *map_next(const struct map *map, size_t *position);
