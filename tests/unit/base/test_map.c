#include "base/arena.h"
#include "base/map.h"

#include "tests/unit/check.h"

#include <stdio.h>

enum { MANY = 5000 };

static int values[MANY];

static void fill_and_look(struct map *map, struct arena *keys)
{
    size_t position = 0;
    size_t seen = 0;

    for (int i = 0; i < MANY; i++)
        CHECK(map_put(map, arena_printf(keys, "Key-%d", i), &values[i], NULL));
    CHECK_EQ(map->count, MANY);
    for (int i = 0; i < MANY; i++) {
        char key[32];

        snprintf(key, sizeof key, "Key-%d", i);
        CHECK(map_get(map, slice_of(key)) == &values[i], key);
        snprintf(key, sizeof key, "Key-%d-", i);
        CHECK(map_get(map, slice_of(key)) == NULL, key);
    }
    while (map_next(map, &position) != NULL)
        seen++;
    CHECK_EQ(seen, MANY);
}

TEST(finds_all_it_was_given)
{
    struct arena *arena = arena_new(0);
    struct map map;

    map_init(&map, NULL, false);
    fill_and_look(&map, arena);
    map_fini(&map);
    CHECK_EQ(map.count, 0);

    map_init(&map, arena, true);
    fill_and_look(&map, arena);
    map_fini(&map);
    arena_drop(arena);
}

TEST(an_empty_map_has_nothing)
{
    struct map map;
    size_t position = 0;

    map_init(&map, NULL, false);
    CHECK(map_get(&map, slice_of("")) == NULL);
    CHECK(map_next(&map, &position) == NULL);
    map_fini(&map);
}

TEST(put_replaces_and_tells_what_was_there)
{
    struct map map;
    void *old = &map;

    map_init(&map, NULL, false);
    CHECK(map_put(&map, slice_of(""), &values[0], &old));
    CHECK(old == NULL);
    CHECK(map_put(&map, slice_of(""), &values[1], &old));
    CHECK(old == &values[0]);
    CHECK(map_get(&map, slice_of(NULL)) == &values[1]);
    CHECK_EQ(map.count, 1);
    map_fini(&map);
}

TEST(case_counts_only_when_asked)
{
    struct map map;

    for (int nocase = 0; nocase < 2; nocase++) {
        map_init(&map, NULL, nocase != 0);
        CHECK(map_put(&map, slice_of("Content-Type"), &values[0], NULL));
        CHECK_EQ(map_get(&map, slice_of("content-TYPE")) != NULL, nocase != 0);
        CHECK(map_get(&map, slice_of("Content-Type")) != NULL);
        map_fini(&map);
    }
}

TEST(reserve_makes_room_at_once)
{
    static char bytes[1008];
    struct map map;
    struct map_entry *entries;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * i / 7);
    map_init(&map, NULL, false);
    CHECK(map_reserve(&map, 1000));
    entries = map.entries;
    for (int i = 0; i < 1000; i++)
        CHECK(map_put(&map, slice_make(bytes + i, 8), &values[i], NULL));
    CHECK(map.entries == entries);
    CHECK(!map_reserve(&map, SIZE_MAX / 2), "more than there can be");
    CHECK(map.entries == entries);
    map_fini(&map);
}
