/* Goal: a first message is accepted once within its window, declined when it cannot be told, and
 * more of them than can be remembered are declined, not forgotten. */
#include "tests/unit/check.h"

#include "tls/replay.h"

#include <stdio.h>
#include <string.h>

enum { START_MS = 1000000 };

static bool is_first(unsigned number, uint64_t now_ms)
{
    char random[32] = {0};

    memcpy(random, &number, sizeof number);
    return replay_is_first(slice_make(random, sizeof random), now_ms);
}

TEST(once_within_the_window)
{
    CHECK(is_first(1, START_MS));
    CHECK(!is_first(1, START_MS));
    CHECK(is_first(2, START_MS + REPLAY_WINDOW_MS - 1));
    CHECK(!is_first(1, START_MS + REPLAY_WINDOW_MS)); /* the generation before */
    CHECK(!is_first(2, START_MS + REPLAY_WINDOW_MS));
    CHECK(!is_first(2, START_MS + 2 * REPLAY_WINDOW_MS - 2)); /* a window after it came */
}

TEST(more_than_is_remembered_are_declined)
{
    uint64_t now_ms = START_MS + 10 * REPLAY_WINDOW_MS;
    unsigned accepted = 0;

    for (unsigned i = 0; i < REPLAY_MAX + 10; i++)
        accepted += is_first(1000 + i, now_ms);
    CHECK_EQ(accepted, REPLAY_MAX);
    CHECK(!is_first(1000, now_ms));
    CHECK(is_first(999, now_ms + REPLAY_WINDOW_MS));
}

TEST(blind_after_a_start)
{
    uint64_t now_ms = START_MS + 20 * REPLAY_WINDOW_MS;

    replay_begin(now_ms);
    replay_begin(now_ms + 5000); /* only the first call counts */
    CHECK(!is_first(7, now_ms));
    CHECK(!is_first(8, now_ms + REPLAY_WINDOW_MS - 1));
    CHECK(is_first(7, now_ms + REPLAY_WINDOW_MS));
}
