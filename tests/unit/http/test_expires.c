/* Goal: every form of `expires` gives the lifetime nginx gives.
 * Method: texts, a fixed now, and what nginx sends for them. */
#include "tests/unit/check.h"

#include "base/list.h"
#include "http/features/expires.h"

enum { NOW = 1700000000, CHANGED = 1699999000 };

static const struct {
    const char *text;
    bool modified;
    bool valid;
    enum expires_kind kind;
    int64_t max_age;
} cases[] = {
    {"24h", false, true, EXPIRES_ACCESS, 86400},
    {"0", false, true, EXPIRES_ACCESS, 0},
    {"-1", false, true, EXPIRES_ACCESS, -1},
    {"epoch", false, true, EXPIRES_EPOCH, -1},
    {"max", false, true, EXPIRES_MAX, 315360000},
    {"2h", true, true, EXPIRES_MODIFIED, 7200 - 1000},
    {"10", true, true, EXPIRES_MODIFIED, 10 - 1000},
    {"epoch", true, false, EXPIRES_OFF, 0},
    {"@1h", true, false, EXPIRES_OFF, 0},
    {"@25h", false, false, EXPIRES_OFF, 0},
    {"", false, false, EXPIRES_OFF, 0},
    {"soon", false, false, EXPIRES_OFF, 0},
};

TEST(lifetimes)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct expires_rule rule;
        bool valid = parse_expires(slice_of(cases[i].text), cases[i].modified, &rule);

        CHECK_EQ(valid, cases[i].valid, cases[i].text);
        if (!valid)
            continue;
        CHECK_EQ(rule.kind, cases[i].kind, cases[i].text);
        CHECK_EQ(expires_lifetime(&rule, NOW, CHANGED).max_age, cases[i].max_age, cases[i].text);
    }
}

TEST(time_of_day_is_within_a_day)
{
    struct expires_rule rule;

    CHECK(parse_expires(slice_of("@15h30m"), false, &rule));
    for (time_t now = NOW; now < NOW + 90000; now += 601) {
        int64_t age = expires_lifetime(&rule, now, -1).max_age;

        CHECK(age > 0);
        CHECK(age <= 86400 + 3600);
    }
}
