/* Goal: the values that texts stand for (which texts are accepted: test_nginx_verdicts.c). */
#include "tests/unit/check.h"

#include "config/directive.h"

static const struct {
    const char *text;
    uint64_t ms;
} times[] = {
    {"0", 0},          {"1", 1000},        {"500ms", 500},           {"1s", 1000},
    {"1m", 60000},     {"1h30m", 5400000}, {"1h 30m", 5400000},      {"1d", 86400000},
    {"1w", 604800000}, {"1s 5ms", 1005},   {"1 30", 31000},          {"1s5", 6000},
    {"5ms5", 5005},    {"1hm", 3600000},   {"2w 1d 1s", 1296001000},
};

TEST(times_have_their_value)
{
    uint64_t value;

    for (size_t i = 0; i < COUNT(times); i++) {
        CHECK(conf_parse_msec(slice_of(times[i].text), &value), times[i].text);
        CHECK_EQ(value, times[i].ms, times[i].text);
    }
    CHECK(conf_parse_sec((struct slice)SLICE("1y 1M 1d"), &value));
    CHECK_EQ(value, (365 + 30 + 1) * 86400);
}

static const struct {
    const char *text;
    size_t bytes;
} sizes[] = {
    {"0", 0},        {"1", 1},        {"8k", 8192},    {"8K", 8192},
    {"1m", 1 << 20}, {"3M", 3 << 20}, {"1g", 1 << 30}, {"2G", (size_t)2 << 30},
};

TEST(sizes_have_their_value)
{
    size_t value;

    for (size_t i = 0; i < COUNT(sizes); i++) {
        CHECK(conf_parse_bytes(slice_of(sizes[i].text), &value), sizes[i].text);
        CHECK_EQ(value, sizes[i].bytes, sizes[i].text);
    }
    CHECK(!conf_parse_bytes((struct slice)SLICE("8589934592g"), &value), "2^63");
    CHECK(conf_parse_bytes((struct slice)SLICE("8589934591g"), &value), "less");
}

TEST(numbers_have_bounds)
{
    int64_t value;

    CHECK(conf_parse_int((struct slice)SLICE("5"), 5, 6, &value));
    CHECK_EQ(value, 5);
    CHECK(!conf_parse_int((struct slice)SLICE("4"), 5, 6, &value));
    CHECK(!conf_parse_int((struct slice)SLICE("7"), 5, 6, &value));
    CHECK(!conf_parse_int((struct slice)SLICE("9223372036854775808"), 0, INT64_MAX, &value));
}
