/* Goal: day.js's letters, with what is in brackets as it is. */
#include "apps/sink.h"
#include "apps/stamp.h"
#include "base/list.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *format;
    const char *want;
} cases[] = {
    {"YYYY-MM-DDTHH:mm:ss", "2026-01-02T03:04:05"},
    {"SSS Z", "678 +00:00"},
    {"D.M.YY H:m:s", "2.1.26 3:4:5"},
    {"[at] HH [o'clock]", "at 03 o'clock"},
    {"[YYYY", "[2026"},
    {"[]HH", "03"},
    {"hh A", "03 AM"},
};

TEST(dates_as_day_js_writes_them)
{
    char text[256];

    setenv("TZ", "UTC0", 1);
    tzset();
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len = stamp_time(cases[i].format, 1767323045678, text, sizeof text);

        CHECK_EQ(strcmp(text, cases[i].want), 0, cases[i].format);
        CHECK_EQ(len, strlen(cases[i].want), cases[i].format);
    }
}

/* Method: a literal far longer than the room. */
TEST(a_long_literal_is_cut)
{
    char format[400];
    char text[128];

    memset(format, 'x', sizeof format);
    format[0] = '[';
    format[398] = ']';
    format[399] = '\0';
    CHECK(stamp_time(format, 0, text, sizeof text) < sizeof text);
}
