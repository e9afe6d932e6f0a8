/* Requests in a second and their mean latency, from totals that come at odd moments. */
#include "apps/rate.h"
#include "tests/unit/check.h"

#include <math.h>

static bool near(double a, double b)
{
    return fabs(a - b) < 0.01;
}

TEST(a_steady_stream)
{
    struct rate rate = {.answered = 0};
    uint64_t now_ms = 1000000;

    for (int i = 0; i < 20; i++) {
        now_ms += 250;
        rate_add(&rate, 25, 25 * 4000, now_ms);
    }
    CHECK_EQ(rate.answered, 500u);
    CHECK(near(rate.per_second, 100), "%f", rate.per_second);
    CHECK(near(rate.latency_ms, 4), "%f", rate.latency_ms);
}

TEST(silence_is_zero_and_then_it_begins_anew)
{
    struct rate rate = {.answered = 0};

    rate_look(&rate, 5000);
    CHECK(rate.per_second == 0 && rate.latency_ms == 0);
    rate_add(&rate, 100, 100 * 1000, 100000);
    rate_look(&rate, 101000);
    CHECK(near(rate.per_second, 80), "%f", rate.per_second);
    rate_look(&rate, 102500);
    CHECK(rate.per_second == 0 && rate.latency_ms == 0);
    /* an hour later: the hour does not count */
    rate_add(&rate, 10, 10 * 500, 3700000);
    rate_add(&rate, 10, 10 * 500, 3700750);
    CHECK(near(rate.per_second, 20), "%f", rate.per_second);
    CHECK(near(rate.latency_ms, 0.5), "%f", rate.latency_ms);
}

TEST(one_request_now_and_then)
{
    struct rate rate = {.answered = 0};
    uint64_t now_ms = 1000000;

    for (int i = 0; i < 4; i++)
        rate_add(&rate, 1, 7000, now_ms += 5000);
    CHECK(near(rate.per_second, 0.2), "%f", rate.per_second);
    CHECK(near(rate.latency_ms, 7), "%f", rate.latency_ms);
}
