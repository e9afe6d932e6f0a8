#include "base/arena.h"
#include "base/sanitize.h"

#include "tests/unit/check.h"

#include <stdalign.h>
#include <stdint.h>

TEST(pieces_are_aligned_and_apart)
{
    struct arena *arena = arena_new(256);
    unsigned char *pieces[200];

    CHECK(arena != NULL);
    for (size_t i = 0; i < 200; i++) {
        pieces[i] = arena_alloc(arena, i * 7);
        CHECK(pieces[i] != NULL);
        CHECK_EQ((uintptr_t)pieces[i] % alignof(max_align_t), 0, "piece %zu", i);
        memset(pieces[i], (int)i, i * 7);
    }
    for (size_t i = 0; i < 200; i++) {
        for (size_t at = 0; at < i * 7; at++)
            CHECK_EQ(pieces[i][at], (unsigned char)i, "piece %zu byte %zu", i, at);
    }
    arena_drop(arena);
}

TEST(pieces_of_any_size)
{
    static const size_t sizes[] = {0, 1, 4096, 16384, 16385, 65536, 1000000};
    struct arena *arena = arena_new(0);

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *zeros = arena_zalloc(arena, sizes[i]);

        CHECK(zeros != NULL, "%zu bytes", sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++)
            CHECK_EQ(zeros[at], 0);
    }
    arena_drop(arena);
}

TEST(too_much_is_refused)
{
    struct arena *arena = arena_new(100);
    volatile size_t much = SIZE_MAX;

    CHECK(arena_alloc(arena, much) == NULL);
    CHECK(arena_alloc(arena, much - 64) == NULL);
    CHECK(arena_bytes(arena, much) == NULL);
    CHECK(arena_copy(arena, slice_make("", much)).data == NULL);
    CHECK(arena_alloc(arena, 10) != NULL, "and the arena works as before");
    arena_drop(arena);
}

TEST(a_large_piece_does_not_end_the_block_in_use)
{
    struct arena *arena = arena_new(4096);
    char *before = arena_bytes(arena, 10);
    char *large = arena_bytes(arena, 100000);
    char *after = arena_bytes(arena, 10);

    CHECK(large != NULL);
    if (!WITH_ASAN)
        CHECK(after == before + 10);
    arena_drop(arena);
}

TEST(reset_keeps_the_first_block)
{
    struct arena *arena = arena_new(1024);
    size_t held = arena_bytes_held(arena);

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            CHECK(arena_alloc(arena, 100) != NULL);
        CHECK(arena_bytes_held(arena) >= 10000);
        arena_reset(arena);
        CHECK_EQ(arena_bytes_held(arena), held);
    }
    arena_drop(arena);
}

TEST(copies_are_terminated)
{
    struct arena *arena = arena_new(0);
    struct slice copy = arena_copy(arena, slice_make("a\0b", 3));
    struct slice empty = arena_copy(arena, slice_of(NULL));

    CHECK_BYTES(copy.data, copy.len + 1, "a\0b\0", 4);
    CHECK(empty.data != NULL);
    CHECK_EQ(empty.len, 0);
    CHECK_STR(empty.data, "");
    arena_drop(arena);
}

/* Goal: the text is whole wherever the block ends: it may fit, not fit, or fit without its NUL. */
TEST(printf_at_every_distance_from_the_end)
{
    for (size_t fill = 0; fill < 600; fill++) {
        struct arena *arena = arena_new(512);
        struct slice text;

        CHECK(arena_bytes(arena, fill) != NULL);
        text = arena_printf(arena, "%s:%d", "name", 12345);
        CHECK_SLICE(text, "name:12345", "after %zu bytes", fill);
        CHECK_STR(text.data, "name:12345");
        CHECK_SLICE(arena_printf(arena, "%s", ""), "");
        CHECK_SLICE(text, "name:12345", "not written over");
        arena_drop(arena);
    }
}

static char order[8];

static void note(void *data)
{
    size_t len = strlen(order);

    order[len] = *(const char *)data;
    order[len + 1] = '\0';
}

TEST(drop_and_reset_clean_up_last_first)
{
    struct arena *arena = arena_new(0);

    order[0] = '\0';
    CHECK(arena_on_drop(arena, note, "a"));
    CHECK(arena_on_drop(arena, note, "b"));
    arena_reset(arena);
    CHECK_STR(order, "ba");
    CHECK(arena_on_drop(arena, note, "c"));
    arena_drop(arena);
    CHECK_STR(order, "bac");
    arena_drop(NULL);
}
