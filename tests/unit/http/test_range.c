/* Goal: Range fields mean what RFC 9110, 14.1.2 says, with nginx's answers to what is odd.
 * Method: texts against bodies of 10 bytes, written back as "start-end" pairs. */
#include "tests/unit/check.h"

#include "base/list.h"
#include "http/features/not_modified.h"
#include "http/features/range.h"

#include <stdio.h>

static const struct {
    const char *in;
    enum ranges_result want;
    const char *ranges; /* half open */
} cases[] = {
    {"0-1", RANGES_OK, "0-2 "},
    {"3-", RANGES_OK, "3-10 "},
    {"-2", RANGES_OK, "8-10 "},
    {"-20", RANGES_OK, "0-10 "},
    {"9-20", RANGES_OK, "9-10 "},
    {"0-0,9-9", RANGES_OK, "0-1 9-10 "},
    {" 5-6 , 1-2", RANGES_OK, "5-7 1-3 "},
    {"0-1,20-30", RANGES_OK, "0-2 "},
    {"0 - 1", RANGES_OK, "0-2 "},
    {"10-", RANGES_BAD, ""},
    {"10-12", RANGES_BAD, ""},
    {"-0", RANGES_BAD, ""},
    {"", RANGES_BAD, ""},
    {"x", RANGES_BAD, ""},
    {"1", RANGES_BAD, ""},
    {"1-x", RANGES_BAD, ""},
    {"1-2x", RANGES_BAD, ""},
    {"-", RANGES_BAD, ""},
    {"--1", RANGES_BAD, ""},
    {"1-2,", RANGES_BAD, ""},
    {",1-2", RANGES_BAD, ""},
    {"5-2", RANGES_BAD, ""},
    {"99999999999999999999-", RANGES_BAD, ""},
    {"0-9999999999999999999", RANGES_BAD, ""},
    {"0-9,0-0", RANGES_WHOLE, ""},
    {"0-0,1-1,2-2,3-3", RANGES_WHOLE, ""},
};

TEST(ranges)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct byte_range ranges[8];
        char text[100] = "";
        size_t n = 0;
        size_t count;
        enum ranges_result got = parse_ranges(slice_of(cases[i].in), 10, 3, ranges, &count);

        CHECK_EQ(got, cases[i].want, cases[i].in);
        for (size_t k = 0; got == RANGES_OK && k < count; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%llu-%llu ",
                                  (unsigned long long)ranges[k].start,
                                  (unsigned long long)ranges[k].end);
        CHECK_STR(text, cases[i].ranges, cases[i].in);
    }
}

TEST(an_empty_body_has_no_ranges)
{
    struct byte_range ranges[2];
    size_t count;

    CHECK_EQ(parse_ranges(slice_of("0-"), 0, 1, ranges, &count), RANGES_WHOLE);
    CHECK_EQ(parse_ranges(slice_of("5-"), 0, 1, ranges, &count), RANGES_BAD);
}

static const struct {
    const char *list;
    const char *etag;
    bool weak;
    bool want;
} tags[] = {
    {"\"a\"", "\"a\"", false, true},
    {"\"b\"", "\"a\"", false, false},
    {"\"b\", \"a\"", "\"a\"", false, true},
    {"W/\"a\"", "\"a\"", false, false},
    {"W/\"a\"", "\"a\"", true, true},
    {"\"a\"", "W/\"a\"", true, true},
    {"W/\"a\"", "W/\"a\"", false, false},
    {"*", "\"a\"", false, true},
    {"*", "", false, true},
    {"\"a\"", "", true, false},
    {"\"x,\"a\"", "\"a\"", true, false},
    {"\"a,b\",\"c\"", "\"a,b\"", true, true},
    {"\"a,b\",\"c\"", "\"c\"", true, true},
    {"\"a", "\"a\"", true, false},
    {"", "\"a\"", true, false},
    {" , ,\"a\"", "\"a\"", true, true},
};

TEST(lists_of_tags)
{
    for (size_t i = 0; i < COUNT(tags); i++)
        CHECK_EQ(etag_list_has(slice_of(tags[i].list), slice_of(tags[i].etag), tags[i].weak),
                 tags[i].want, tags[i].list);
}
