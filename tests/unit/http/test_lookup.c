/* Goal: a value is found by its name in query strings and cookies by nginx's rules.
 * Method: inputs beside what nginx answers for them. */
#include "tests/unit/check.h"

#include "base/list.h"
#include "http/features/lookup.h"

static const struct {
    const char *in;
    const char *name;
    const char *want; /* NULL: none */
} queries[] = {
    {"a=1&b=2", "b", "2"},   {"a=1&b=2", "a", "1"}, {"A=1", "a", "1"},    {"a=1&a=2", "a", "1"},
    {"ba=1&a=2", "a", "2"},  {"a", "a", NULL},      {"a=", "a", ""},      {"", "a", NULL},
    {"a=%20&b", "a", "%20"}, {"&&a==&", "a", "="},  {"x=a=1", "a", NULL}, {"a=1", "", NULL},
};

static const struct {
    const char *in;
    const char *name;
    const char *want;
} cookies[] = {
    {"a=1; b=2", "b", "2"},  {"a=1;b=2", "b", "2"},
    {"a=1, b=2", "b", "2"},  {"a=1, b=2", "a", "1, b=2"},
    {"A=1", "a", "1"},       {"  a = 1 ; b=2", "a", "1 "},
    {"ab=1; a=2", "a", "2"}, {"a; a=2", "a", "2"},
    {"", "a", NULL},         {"a", "a", NULL},
    {"a=", "a", ""},         {"x=a=1", "a", NULL},
};

TEST(query_values)
{
    for (size_t i = 0; i < COUNT(queries); i++) {
        struct slice value = {0};
        bool found = parse_query_value(slice_of(queries[i].in), slice_of(queries[i].name), &value);

        CHECK_EQ(found, queries[i].want != NULL, queries[i].in);
        if (found)
            CHECK_SLICE(value, queries[i].want, queries[i].in);
    }
}

TEST(cookie_values)
{
    for (size_t i = 0; i < COUNT(cookies); i++) {
        struct slice value = {0};
        bool found = parse_cookie_value(slice_of(cookies[i].in), slice_of(cookies[i].name), &value);

        CHECK_EQ(found, cookies[i].want != NULL, cookies[i].in);
        if (found)
            CHECK_SLICE(value, cookies[i].want, cookies[i].in);
    }
}
