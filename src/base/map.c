/* Hash map from byte strings to pointers: linear probing, at most two thirds full. Runs in: any. */
#include "base/map.h"

#include "base/arena.h"

#include <assert.h>
#include <stdlib.h>

enum { CAPACITY_MIN = 8 };

void map_init(struct map *map, struct arena *arena, bool nocase)
{
    *map = (struct map){.arena = arena, .nocase = nocase};
}

void map_fini(struct map *map)
{
    if (map->arena == NULL)
        free(map->entries);
    map_init(map, map->arena, map->nocase);
}

static uint64_t hash_of(const struct map *map, struct slice key)
{
    return map->nocase ? slice_hash_nocase(key) : slice_hash(key);
}

static bool same_key(const struct map *map, struct slice a, struct slice b)
{
    return map->nocase ? slice_eq_nocase(a, b) : slice_eq(a, b);
}

/* The entry that holds `key`, or the free one where it belongs. There is always a free one. */
static struct map_entry *locate(const struct map *map, struct slice key, uint64_t hash)
{
    size_t mask = map->capacity - 1;

    assert(map->count < map->capacity);
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *entry = &map->entries[i];

        if (entry->value == NULL)
            return entry;
        if (entry->hash == hash && same_key(map, entry->key, key))
            return entry;
    }
}

static void move_entries(struct map *to, const struct map *from)
{
    size_t mask = to->capacity - 1;
    size_t position = 0;
    struct map_entry *entry;

    while ((entry = map_next(from, &position)) != NULL) {
        size_t i = entry->hash & mask;

        while (to->entries[i].value != NULL)
            i = (i + 1) & mask;
        to->entries[i] = *entry;
    }
}

static bool grow(struct map *map, size_t capacity)
{
    struct map bigger = *map;
    size_t bytes = capacity * sizeof *bigger.entries;

    assert((capacity & (capacity - 1)) == 0);
    bigger.capacity = capacity;
    if (map->arena != NULL)
        bigger.entries = arena_zalloc(map->arena, bytes);
    else
        bigger.entries = calloc(capacity, sizeof *bigger.entries);
    if (bigger.entries == NULL)
        return false;

    move_entries(&bigger, map);
    if (map->arena == NULL)
        free(map->entries);
    else if (map->entries != NULL)
        arena_release(map->arena, map->entries);
    *map = bigger;
    return true;
}

bool map_reserve(struct map *map, size_t count)
{
    size_t capacity = map->capacity == 0 ? CAPACITY_MIN : map->capacity;

    if (count > SIZE_MAX / sizeof(struct map_entry) / 4)
        return false;
    while (count > capacity / 3 * 2)
        capacity *= 2;
    return capacity == map->capacity || grow(map, capacity);
}

bool map_put(struct map *map, struct slice key, void *value, void **old)
{
    uint64_t hash = hash_of(map, key);
    struct map_entry *entry = map->capacity == 0 ? NULL : locate(map, key, hash);

    assert(value != NULL);
    if (entry == NULL || entry->value == NULL) {
        if (!map_reserve(map, map->count + 1))
            return false;
        entry = locate(map, key, hash);
    }
    if (old != NULL)
        *old = entry->value;
    if (entry->value == NULL) {
        entry->key = key;
        entry->hash = hash;
        map->count++;
    }
    entry->value = value;
    return true;
}

void *map_get(const struct map *map, struct slice key)
{
    if (map->count == 0)
        return NULL;
    return locate(map, key, hash_of(map, key))->value;
}

struct map_entry *map_next(const struct map *map, size_t *position)
{
    while (*position < map->capacity) {
        struct map_entry *entry = &map->entries[(*position)++];

        if (entry->value != NULL)
            return entry;
    }
    return NULL;
}
