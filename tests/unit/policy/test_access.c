/* Goal: the first rule that has the client decides.
 * Method: a list with an exception in it, asked about addresses of each family. */
#include "tests/unit/check.h"

#include "base/list.h"
#include "policy/access.h"

static const struct {
    const char *client;
    enum access_verdict want;
} cases[] = {
    {"10.0.0.1:5", ACCESS_DENIED},      {"10.1.2.3:5", ACCESS_ALLOWED},
    {"11.0.0.1:5", ACCESS_SILENT},      {"[2001:db8::1]:5", ACCESS_ALLOWED},
    {"[2001:db9::1]:5", ACCESS_SILENT}, {"unix:/run/x", ACCESS_DENIED},
};

static void add(struct access_rule *rule, struct access_rule *next, const char *text, bool deny)
{
    bool host_bits;

    *rule = (struct access_rule){.next = next, .deny = deny};
    CHECK(address_block_parse(slice_of(text), &rule->block, &host_bits), text);
}

TEST(first_match_decides)
{
    struct access_rule rules[4];
    struct access_rules list = {.first = rules};

    add(&rules[0], &rules[1], "10.0.0.1", true);
    add(&rules[1], &rules[2], "10.0.0.0/8", false);
    add(&rules[2], &rules[3], "2001:db8::/32", false);
    add(&rules[3], NULL, "unix:", true);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct address client;

        CHECK(address_parse(slice_of(cases[i].client), 0, &client), cases[i].client);
        CHECK_EQ(access_check(&list, &client), cases[i].want, cases[i].client);
    }
}

TEST(all_is_everybody)
{
    struct access_rule rule = {.everybody = true, .deny = true};
    struct access_rules list = {.first = &rule};
    struct address client;

    CHECK(address_parse(slice_of("11.0.0.1:5"), 0, &client));
    CHECK_EQ(access_check(&list, &client), ACCESS_DENIED);
    CHECK_EQ(access_check(&(struct access_rules){0}, &client), ACCESS_SILENT);
}
