/* The pace of apps: when they grow, shrink and sleep. */
#include "apps/scale.h"
#include "base/list.h"
#include "tests/unit/check.h"

static const struct scale_bounds bounds = {
    .min = 2, .max = 4, .per_instance = 8, .quiet_ms = 60000, .idle_ms = 0};

/* One look a second. */
static enum scale_verdict look(struct scale_memory *memory, struct scale_sample *sample)
{
    sample->now_ms += 1000;
    return scale_decide(&bounds, sample, memory);
}

TEST(too_much_for_a_second_is_one_more)
{
    static const struct scale_sample pressed[] = {
        {.count = 2, .ready = 2, .active = 17},
        {.count = 2, .ready = 2, .waiting = 1},
    };

    for (size_t i = 0; i < COUNT(pressed); i++) {
        struct scale_memory memory = {.requests = 0};
        struct scale_sample sample = pressed[i];

        CHECK_EQ(look(&memory, &sample), SCALE_STAY);
        CHECK_EQ(look(&memory, &sample), SCALE_GROW);
        CHECK_EQ(look(&memory, &sample), SCALE_GROW);
    }
}

TEST(who_starts_is_waited_for)
{
    struct scale_memory memory = {.requests = 0};
    struct scale_sample sample = {.count = 3, .ready = 2, .active = 40};

    for (int i = 0; i < 10; i++)
        CHECK_EQ(look(&memory, &sample), SCALE_STAY);
    sample.ready = 3;
    CHECK_EQ(look(&memory, &sample), SCALE_GROW);
}

TEST(neither_bounds_nor_cpus_are_passed)
{
    struct scale_memory memory = {.requests = 0};
    struct scale_sample sample = {.count = 4, .ready = 4, .active = 400};

    for (int i = 0; i < 10; i++)
        CHECK_EQ(look(&memory, &sample), SCALE_STAY);
    sample = (struct scale_sample){
        .now_ms = sample.now_ms, .count = 3, .ready = 3, .active = 400, .cpus_busy = true};
    for (int i = 0; i < 10; i++)
        CHECK_EQ(look(&memory, &sample), SCALE_STAY);
    sample.cpus_busy = false;
    CHECK_EQ(look(&memory, &sample), SCALE_GROW);
}

TEST(a_queue_counts_while_there_are_requests)
{
    struct scale_memory memory = {.requests = 0};
    struct scale_sample sample = {.count = 2, .ready = 2, .active = 1, .queue_us = 50000};

    sample.requests = 10;
    CHECK_EQ(look(&memory, &sample), SCALE_STAY);
    CHECK_EQ(look(&memory, &sample), SCALE_STAY); /* no new one: an old average */
    sample.requests = 11;
    CHECK_EQ(look(&memory, &sample), SCALE_STAY);
    sample.requests = 12;
    CHECK_EQ(look(&memory, &sample), SCALE_GROW);
}

TEST(quiet_takes_one_away_at_a_time)
{
    struct scale_memory memory = {.requests = 0};
    struct scale_sample sample = {.count = 4, .ready = 4, .active = 12};
    unsigned shrunk = 0;

    for (int i = 0; i < 61; i++)
        shrunk += look(&memory, &sample) == SCALE_SHRINK;
    CHECK_EQ(shrunk, 1u);
    sample.count = sample.ready = 3;
    sample.active = 9; /* two would have more than half of what is enough */
    for (int i = 0; i < 200; i++)
        CHECK_EQ(look(&memory, &sample), SCALE_STAY);
    sample.active = 0;
    for (int i = 0; i < 200; i++)
        shrunk += look(&memory, &sample) == SCALE_SHRINK;
    CHECK(shrunk > 1);
    sample.count = sample.ready = 2;
    for (int i = 0; i < 200; i++)
        CHECK_EQ(look(&memory, &sample), SCALE_STAY);
}

TEST(sleeps_when_nobody_asks)
{
    struct scale_bounds tired = {
        .min = 1, .max = 1, .per_instance = 8, .quiet_ms = 60000, .idle_ms = 10000};
    struct scale_sample sample = {.now_ms = 5000, .count = 1, .ready = 1, .is_watched = true};
    struct scale_memory memory = {.requests = 0};

    for (; sample.now_ms < 15000; sample.now_ms += 1000)
        CHECK_EQ(scale_decide(&tired, &sample, &memory), SCALE_STAY);
    CHECK_EQ(scale_decide(&tired, &sample, &memory), SCALE_SLEEP);

    sample.active = 1; /* one long request is somebody */
    CHECK_EQ(scale_decide(&tired, &sample, &memory), SCALE_STAY);
    sample.active = 0;
    sample.now_ms += 9000;
    CHECK_EQ(scale_decide(&tired, &sample, &memory), SCALE_STAY);
    sample.requests = 1;
    sample.now_ms += 1000;
    CHECK_EQ(scale_decide(&tired, &sample, &memory), SCALE_STAY);
    sample.is_watched = false; /* nobody who could tell */
    sample.now_ms += 20000;
    CHECK_EQ(scale_decide(&tired, &sample, &memory), SCALE_STAY);
    sample.is_watched = true;
    sample.now_ms += 10000;
    CHECK_EQ(scale_decide(&tired, &sample, &memory), SCALE_SLEEP);
}
