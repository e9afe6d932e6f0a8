/* Restart now, later, or give up. */
#include "apps/policy.h"
#include "apps/spec.h"
#include "base/list.h"
#include "tests/unit/check.h"

static struct app_spec usual(void)
{
    return (struct app_spec){
        .autorestart = true, .min_uptime_ms = 1000, .max_restarts = 16, .crash_window_ms = 30000};
}

/* Lives `life_ms`, again and again: how often until it is given up; `tries` if never. */
static unsigned lives(const struct app_spec *spec, uint64_t life_ms, int code, unsigned tries)
{
    struct policy_memory memory = {0};
    struct policy_end end = {
        .spec = spec, .exit_code = code, .was_ready = true, .now_ms = 1000, .created_ms = 1000};

    for (unsigned i = 1; i <= tries; i++) {
        const char *why = NULL;
        uint64_t delay_ms;

        end.started_ms = end.now_ms;
        end.now_ms += life_ms;
        if (policy_decide(&end, &memory, &delay_ms, &why) == POLICY_GIVE_UP) {
            CHECK(why != NULL);
            return i;
        }
        end.now_ms += delay_ms;
    }
    return tries;
}

TEST(unstable_starts_are_counted)
{
    struct app_spec spec = usual();

    CHECK_EQ(lives(&spec, 10, 1, 100), 16);
    CHECK_EQ(lives(&spec, 10, 0, 100), 16);
}

TEST(a_steady_rate_of_failures_ends_too)
{
    struct app_spec spec = usual();

    CHECK(lives(&spec, 1100, 1, 1000) < 60);
    CHECK_EQ(lives(&spec, 2000, 1, 1000), 1000, "killed every two seconds by somebody");
    CHECK_EQ(lives(&spec, 1100, 0, 1000), 1000, "a job that is done is no failure");
    spec.crash_window_ms = 0;
    CHECK_EQ(lives(&spec, 1100, 1, 1000), 1000);
}

TEST(wanted_ends)
{
    struct app_spec spec = usual();
    int codes[] = {0, 3};
    struct policy_memory memory = {0};
    struct policy_end end = {.spec = &spec, .exit_code = 3, .now_ms = 5, .started_ms = 1};
    uint64_t delay_ms;
    const char *why;

    spec.stop_exit_codes = (struct codes){codes, COUNT(codes)};
    CHECK_EQ(policy_decide(&end, &memory, &delay_ms, &why), POLICY_STOP);
    end.exit_code = 4;
    CHECK_EQ(policy_decide(&end, &memory, &delay_ms, &why), POLICY_RESTART);
    spec.autorestart = false;
    CHECK_EQ(policy_decide(&end, &memory, &delay_ms, &why), POLICY_STOP);
}

TEST(backoff_grows_by_half_up_to_15_s)
{
    static const uint64_t want[] = {100, 150, 225, 337, 505};
    struct app_spec spec = usual();
    struct policy_memory memory = {0};
    struct policy_end end = {.spec = &spec, .exit_code = 1, .created_ms = 1};
    uint64_t delay_ms = 0;
    const char *why;

    spec.backoff_ms = 100;
    spec.restart_delay_ms = 7;
    spec.crash_window_ms = 0;
    spec.min_uptime_ms = 0;
    for (unsigned i = 0; i < COUNT(want); i++) {
        end.started_ms = end.now_ms + delay_ms;
        end.now_ms = end.started_ms + 5;
        CHECK_EQ(policy_decide(&end, &memory, &delay_ms, &why), POLICY_RESTART);
        CHECK_EQ(delay_ms, want[i]);
    }
    for (unsigned i = 0; i < 30; i++)
        CHECK_EQ(policy_decide(&end, &memory, &delay_ms, &why), POLICY_RESTART);
    CHECK_EQ(delay_ms, 15000);
    end.started_ms = end.now_ms;
    end.now_ms += 30001;
    policy_decide(&end, &memory, &delay_ms, &why);
    CHECK_EQ(delay_ms, 100, "it ran long enough");
}
