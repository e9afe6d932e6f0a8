#include "base/clock.h"
#include "base/list.h"

#include "tests/unit/check.h"

#include <stdlib.h>

static const struct {
    const char *text;
    time_t when;
} dates[] = {
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
    {"Sun Nov  6 08:49:37 1994", 784111777},
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Thu Jan  1 00:00:00 1970", 0},
    {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
    {"Tue, 29 Feb 2000 12:00:00 GMT", 951825600},
    {"Thu, 29 Feb 2024 23:59:60 GMT", 1709251200}, /* a leap second */
    {"Mon, 29 Feb 2024 00:00:00 GMT", 1709164800}, /* the weekday is not compared */
    {"Sunday, 01-Jan-69 00:00:00 GMT", 3124224000},
    {"Thursday, 01-Jan-70 00:00:00 GMT", 0},
    {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
    {"Mon, 01 Jan 0001 00:00:00 GMT", -62135596800},
    {"Thu Nov 16 08:49:37 2023", 1700124577},
};

TEST(dates_of_all_three_forms)
{
    for (size_t i = 0; i < COUNT(dates); i++) {
        time_t when = 42;

        CHECK(clock_parse_http_date(slice_of(dates[i].text), &when), dates[i].text);
        CHECK_EQ(when, dates[i].when, dates[i].text);
    }
}

static const char *const not_dates[] = {
    "",
    "yesterday",
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 GMT ",
    " Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 31 Nov 1994 08:49:37 GMT",
    "Wed, 29 Feb 2023 00:00:00 GMT",
    "Thu, 29 Feb 1900 00:00:00 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 0000 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 06 Nov 1994 08:60:00 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, 06 Nov +994 08:49:37 GMT",
    "Sun, 06-Nov-94 08:49:37 GMT",
    "Sun Nov 6 08:49:37 1994",
    "Sun Nov 006 08:49:37 1994",
    "784111777",
};

TEST(what_is_no_date_is_refused)
{
    for (size_t i = 0; i < COUNT(not_dates); i++) {
        time_t when = 42;

        CHECK(!clock_parse_http_date(slice_of(not_dates[i]), &when), not_dates[i]);
        CHECK_EQ(when, 42, not_dates[i]);
    }
}

/* Goal: no cut date is taken for a shorter one, and nothing behind the slice is read. */
TEST(cut_dates_are_refused)
{
    time_t when;

    for (size_t i = 0; i < COUNT(dates); i++) {
        struct slice whole = slice_of(dates[i].text);

        for (size_t len = 0; len < whole.len; len++)
            CHECK(!clock_parse_http_date(slice_head(whole, len), &when), "%zu of %s", len,
                  dates[i].text);
    }
}

/* Goal: our own calendar is that of libc. Method: each step is a prime number of seconds. */
TEST(written_dates_are_those_of_libc)
{
    for (time_t when = 0; when <= 253402300799; when += 86028121) {
        char ours[30];
        char theirs[64];
        struct tm tm;
        time_t back;

        clock_http_date(when, ours);
        gmtime_r(&when, &tm);
        strftime(theirs, sizeof theirs, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        CHECK_STR(ours, theirs);
        CHECK(clock_parse_http_date(slice_of(ours), &back), ours);
        CHECK_EQ(back, when, ours);
    }
}

TEST(times_out_of_range_are_bounded)
{
    char text[30];

    clock_http_date(-5, text);
    CHECK_STR(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    clock_http_date(INT64_MAX, text);
    CHECK_STR(text, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void check_texts(const struct clock *clock)
{
    time_t second = (time_t)(clock->wall_ms / 1000);
    char want[64];
    struct tm tm;

    CHECK_EQ(clock->text_for, second);
    localtime_r(&second, &tm);
    strftime(want, sizeof want, "%d/%b/%Y:%H:%M:%S %z", &tm);
    CHECK_STR(clock->log_local, want);
    strftime(want, sizeof want, "%Y/%m/%d %H:%M:%S", &tm);
    CHECK_STR(clock->log_error, want);
    strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S%z", &tm);
    memmove(want + 23, want + 22, 3);
    want[22] = ':';
    CHECK_STR(clock->log_iso, want);
}

TEST(texts_follow_the_time_zone)
{
    static const char *const zones[] = {"UTC0", "WIB-7", "NST3:30", "IST-5:30"};

    for (size_t i = 0; i < COUNT(zones); i++) {
        struct clock clock = {.now_ms = 0};

        setenv("TZ", zones[i], 1);
        tzset();
        clock_update(&clock);
        check_texts(&clock);
    }
    unsetenv("TZ");
    tzset();
}

TEST(update_reads_both_clocks)
{
    struct clock clock = {.now_ms = 0};
    uint64_t before = clock_monotonic_ms();

    clock_update(&clock);
    CHECK(clock.now_ms >= before);
    CHECK(clock.now_ms <= clock_monotonic_us() / 1000);
    CHECK(clock.wall_ms / 1000 >= 1700000000);
}
