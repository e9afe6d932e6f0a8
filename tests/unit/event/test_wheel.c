#include "event/loop.h"
#include "event/wheel_internal.h"

#include "tests/unit/check.h"

#include <stdlib.h>

enum { MANY = 2000 };

static struct wheel wheel;

struct timed {
    struct deadline deadline;
    uint64_t want_ms;
    int fired;
};

static void on_time(struct deadline *deadline)
{
    struct timed *timed = container_of(deadline, struct timed, deadline);

    CHECK_EQ(deadline->expires_ms, 0);
    CHECK_EQ(wheel.now_ms, timed->want_ms);
    timed->fired++;
}

static void put(struct timed *timed, uint64_t at_ms)
{
    timed->deadline.on_expire = on_time;
    timed->want_ms = at_ms;
    wheel_put(&wheel, &timed->deadline, at_ms);
}

/* The deterministic chance of a test. */
static uint64_t next_random(void)
{
    static uint64_t state = 1;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

TEST(nothing_is_next_in_an_empty_wheel)
{
    wheel_init(&wheel, 12345);
    CHECK_EQ(wheel_next_ms(&wheel), UINT64_MAX);
    wheel_advance(&wheel, 99999999);
    CHECK_EQ(wheel.now_ms, 99999999);
}

/* Goal: each expires exactly when it should, whatever the distance and the start; the wheel never
 * asks to be woken too late, and a wake-up in between costs one look per level at most.
 * Method: the test sleeps by jumping to wheel_next_ms(), as the loop does. */
TEST(every_distance_is_exact)
{
    static const uint64_t starts[] = {1, 63, 64, 4095, 1000000007, UINT64_C(1) << 40};
    static const uint64_t distances[] = {
        1, 2, 63, 64, 65, 4095, 4096, 4097, 262143, 262144, 86400000, 31536000000, 1000000000000};

    for (size_t i = 0; i < COUNT(starts); i++) {
        for (size_t k = 0; k < COUNT(distances); k++) {
            struct timed timed = {.fired = 0};
            int wakes = 0;

            wheel_init(&wheel, starts[i]);
            put(&timed, starts[i] + distances[k]);
            while (timed.fired == 0) {
                uint64_t next = wheel_next_ms(&wheel);

                CHECK(next <= timed.want_ms);
                wheel_advance(&wheel, next);
                CHECK(++wakes <= WHEEL_LEVELS);
            }
            CHECK_EQ(wheel.now_ms, timed.want_ms);
            CHECK_EQ(wheel_next_ms(&wheel), UINT64_MAX);
        }
    }
}

/* Goal: many at once, armed, moved and disarmed at random, each fire once and at their time. */
TEST(many_at_random)
{
    static struct timed many[MANY];
    uint64_t now = 5000;

    wheel_init(&wheel, now);
    for (int round = 0; round < 20000; round++) {
        struct timed *timed = &many[next_random() % MANY];
        uint64_t range = UINT64_C(1) << (next_random() % 20);

        if (next_random() % 4 == 0 && list_linked(&timed->deadline.link)) {
            wheel_remove(&wheel, &timed->deadline);
            timed->deadline.expires_ms = 0;
        } else {
            put(timed, now + 1 + next_random() % range);
        }
        if (next_random() % 8 == 0) {
            now += next_random() % 100;
            while (wheel_next_ms(&wheel) <= now)
                wheel_advance(&wheel, wheel_next_ms(&wheel));
            wheel_advance(&wheel, now);
        }
    }
    for (int i = 0; i < MANY; i++) {
        CHECK(many[i].deadline.expires_ms == 0 || many[i].deadline.expires_ms > now);
        CHECK_EQ(many[i].deadline.expires_ms != 0, list_linked(&many[i].deadline.link));
    }
    while (wheel_next_ms(&wheel) != UINT64_MAX)
        wheel_advance(&wheel, wheel_next_ms(&wheel));
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(many[i].deadline.expires_ms, 0);
}

TEST(moving_later_does_not_touch_the_wheel)
{
    struct timed timed = {.fired = 0};
    struct list *head;

    wheel_init(&wheel, 1000);
    put(&timed, 1010);
    head = timed.deadline.link.next;
    put(&timed, 500000);
    CHECK(timed.deadline.link.next == head);
    wheel_advance(&wheel, 1010);
    CHECK_EQ(timed.fired, 0);
    CHECK_EQ(wheel.now_ms, 1010);
    put(&timed, 2000);
    while (wheel_next_ms(&wheel) != UINT64_MAX)
        wheel_advance(&wheel, wheel_next_ms(&wheel));
    CHECK_EQ(timed.fired, 1, "moved earlier again: it fires at the last word");
}

TEST(an_emptied_slot_wakes_nobody)
{
    struct timed a = {.fired = 0};
    struct timed b = {.fired = 0};

    wheel_init(&wheel, 1000);
    put(&a, 1005);
    put(&b, 1005);
    wheel_remove(&wheel, &a.deadline);
    CHECK_EQ(wheel_next_ms(&wheel), 1005);
    wheel_remove(&wheel, &b.deadline);
    CHECK_EQ(wheel_next_ms(&wheel), UINT64_MAX);
}

TEST(far_away_is_never)
{
    struct timed timed = {.fired = 0};

    wheel_init(&wheel, 1000);
    put(&timed, UINT64_MAX);
    wheel_advance(&wheel, UINT64_C(1) << 41);
    CHECK_EQ(timed.fired, 0);
    CHECK(list_linked(&timed.deadline.link));
}
