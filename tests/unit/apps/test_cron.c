/* Times that come again. */
#include "apps/cron.h"
#include "base/list.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

static time_t at(const char *text)
{
    struct tm when = {.tm_isdst = -1};

    CHECK(strptime(text, "%Y-%m-%d %H:%M:%S", &when) != NULL, text);
    return mktime(&when);
}

TEST(next_time)
{
    static const struct {
        const char *pattern, *after, *next;
    } cases[] = {
        {"* * * * *", "2026-01-31 12:00:00", "2026-01-31 12:01:00"},
        {"*/5 * * * *", "2026-01-31 12:03:10", "2026-01-31 12:05:00"},
        {"0 3 * * *", "2026-01-31 12:00:00", "2026-02-01 03:00:00"},
        {"0 0 29 2 *", "2026-01-31 12:00:00", "2028-02-29 00:00:00"},
        {"30 8 * * mon-fri", "2026-01-30 09:00:00", "2026-02-02 08:30:00"},
        {"0 0 13 * 5", "2026-01-10 00:00:00", "2026-01-13 00:00:00"}, /* either of the two */
        {"0 0 * * 7", "2026-01-31 12:00:00", "2026-02-01 00:00:00"},
        {"15,45 10-12/2 * jun *", "2026-06-01 10:15:00", "2026-06-01 10:45:00"},
        {"*/10 * * * * *", "2026-01-31 12:00:05", "2026-01-31 12:00:10"}, /* with seconds */
        {"@daily", "2026-01-31 12:00:00", "2026-02-01 00:00:00"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cron cron;

        CHECK(cron_parse(cases[i].pattern, &cron), cases[i].pattern);
        CHECK_EQ(cron_next(&cron, at(cases[i].after)), at(cases[i].next), cases[i].pattern);
    }
}

TEST(an_hour_that_summer_time_leaves_out)
{
    struct cron cron;

    setenv("TZ", "Europe/Berlin", 1);
    tzset();
    CHECK(cron_parse("30 2 * * *", &cron));
    /* 2026-03-29 has no 02:30: any later time, but no standstill */
    CHECK(cron_next(&cron, at("2026-03-28 12:00:00")) > at("2026-03-28 23:00:00"));
    setenv("TZ", "UTC", 1);
    tzset();
}

TEST(what_is_no_pattern)
{
    static const char *const cases[] = {
        "",           "* * * *",       "60 * * * *",  "* 24 * * *",  "* * 0 * *",
        "* * * 13 *", "* * * * 8",     "5-1 * * * *", "*/0 * * * *", "a * * * *",
        "1, * * * *", "* * * * * * *", "@never"};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cron cron;

        CHECK(!cron_parse(cases[i], &cron), cases[i]);
    }
}

TEST(a_day_that_never_comes)
{
    struct cron cron;

    CHECK(cron_parse("0 0 31 2 *", &cron));
    CHECK_EQ(cron_next(&cron, at("2026-01-31 12:00:00")), 0);
}
