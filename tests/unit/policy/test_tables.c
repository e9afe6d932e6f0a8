/* Goal: host tables, shares and forwarded lists answer as nginx does.
 * Method: small tables; hashes from the reference implementation of MurmurHash2. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/list.h"
#include "policy/forwarded.h"
#include "policy/host_table.h"
#include "policy/split_clients.h"

static struct slice value(const char *text)
{
    return slice_of(text);
}

TEST(hosts)
{
    struct arena *arena = arena_new(4096);
    struct host_table table;
    static char exact[] = "exact", head[] = "head", longer[] = "longer", tail[] = "tail",
                both[] = "both";

    host_table_init(&table, arena);
    CHECK_EQ(host_table_add(&table, value("www.example.com"), exact), HOST_ADDED);
    CHECK_EQ(host_table_add(&table, value("*.example.com"), head), HOST_ADDED);
    CHECK_EQ(host_table_add(&table, value("*.a.example.com"), longer), HOST_ADDED);
    CHECK_EQ(host_table_add(&table, value("www.example.*"), tail), HOST_ADDED);
    CHECK_EQ(host_table_add(&table, value(".both.test"), both), HOST_ADDED);
    CHECK_EQ(host_table_add(&table, value("www.example.com"), tail), HOST_DUPLICATE);
    CHECK_EQ(host_table_add(&table, value("a*.example.com"), tail), HOST_INVALID);
    CHECK_EQ(host_table_add(&table, value("*.example.*"), tail), HOST_INVALID);
    CHECK_EQ(host_table_add(&table, value(""), tail), HOST_INVALID);
    CHECK_STR(host_table_find(&table, value("WWW.example.com")), "exact");
    CHECK_STR(host_table_find(&table, value("x.example.com")), "head");
    CHECK_STR(host_table_find(&table, value("x.a.example.com")), "longer");
    CHECK_STR(host_table_find(&table, value("www.example.co.uk")), "tail");
    CHECK_STR(host_table_find(&table, value("both.test")), "both");
    CHECK_STR(host_table_find(&table, value("x.both.test")), "both");
    CHECK_STR(host_table_find(&table, value("example.com")), NULL);
    CHECK_STR(host_table_find(&table, value("")), NULL);
    arena_drop(arena);
}

TEST(shares)
{
    unsigned share;

    CHECK(parse_share(value("0.5%"), &share));
    CHECK_EQ(share, 50);
    CHECK(parse_share(value("100%"), &share));
    CHECK_EQ(share, 10000);
    CHECK(parse_share(value("12.34%"), &share));
    CHECK_EQ(share, 1234);
    CHECK(!parse_share(value("12.345%"), &share));
    CHECK(!parse_share(value("101%"), &share));
    CHECK(!parse_share(value("0%"), &share));
    CHECK(!parse_share(value("5"), &share));
    CHECK(!parse_share(value("%"), &share));
    CHECK(!parse_share(value("99999999999999%"), &share));
    CHECK_EQ(murmur_hash2(value("")), 0);
    CHECK_EQ(murmur_hash2(value("a")), 0x92685f5e);
}

static const struct {
    const char *list;
    bool recursive;
    const char *want; /* NULL: the client stays */
} lists[] = {
    {"1.2.3.4", false, "1.2.3.4"},
    {"9.9.9.9, 1.2.3.4", false, "1.2.3.4"},
    {"9.9.9.9, 10.0.0.2", false, "10.0.0.2"},
    {"8.8.8.8, 9.9.9.9, 10.0.0.2", true, "9.9.9.9"},
    {"9.9.9.9, junk, 10.0.0.2", true, "10.0.0.2"},
    {"1.2.3.4:80", false, "1.2.3.4"},
    {"[2001:db8::1]:80", false, "2001:db8::1"},
    {"2001:db8::1", false, "2001:db8::1"},
    {"80", false, NULL},
    {"unix:/x", false, NULL},
    {"", true, NULL},
    {",", true, NULL},
};

TEST(forwarded)
{
    struct access_rule rule = {0};
    struct access_rules trusted = {.first = &rule};
    bool host_bits;

    CHECK(address_block_parse(value("10.0.0.0/8"), &rule.block, &host_bits));
    for (size_t i = 0; i < COUNT(lists); i++) {
        struct address client;
        char text[ADDRESS_TEXT_BYTES];
        bool found;

        CHECK(address_parse_ip(value("10.0.0.1"), 0, &client));
        found = forwarded_client(value(lists[i].list), &trusted, lists[i].recursive, &client);
        CHECK_EQ(found, lists[i].want != NULL, lists[i].list);
        CHECK_SLICE(slice_make(text, address_host_text(&client, text)),
                    found ? lists[i].want : "10.0.0.1", lists[i].list);
    }
}
