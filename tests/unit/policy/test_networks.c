/* Goal: the longest prefix and the narrowest range count.
 * Method: nested networks and ranges, asked at their edges. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/list.h"
#include "policy/networks.h"

static const char *find(const struct networks *networks, const char *text)
{
    struct address address;

    CHECK(address_parse_ip(slice_of(text), 0, &address), text);
    return networks_find(networks, &address);
}

TEST(longest_prefix)
{
    struct arena *arena = arena_new(4096);
    struct networks networks;
    static const char *const nets[] = {"0.0.0.0/0", "10.0.0.0/8",    "10.1.0.0/16",
                                       "10.1.2.3",  "2001:db8::/32", "::1"};

    networks_init(&networks, arena);
    for (size_t i = 0; i < COUNT(nets); i++) {
        struct address_block block;
        bool host_bits;

        CHECK(address_block_parse(slice_of(nets[i]), &block, &host_bits), nets[i]);
        CHECK_EQ(networks_add(&networks, &block, nets[i]), NETWORK_ADDED, nets[i]);
        CHECK_EQ(networks_add(&networks, &block, nets[i]), NETWORK_REPLACED, nets[i]);
    }
    CHECK_STR(find(&networks, "9.9.9.9"), "0.0.0.0/0");
    CHECK_STR(find(&networks, "10.2.0.1"), "10.0.0.0/8");
    CHECK_STR(find(&networks, "10.1.2.4"), "10.1.0.0/16");
    CHECK_STR(find(&networks, "10.1.2.3"), "10.1.2.3");
    CHECK_STR(find(&networks, "::ffff:10.1.2.3"), "10.1.2.3");
    CHECK_STR(find(&networks, "2001:db8:1::1"), "2001:db8::/32");
    CHECK_STR(find(&networks, "::1"), "::1");
    CHECK_STR(find(&networks, "::2"), NULL);
    arena_drop(arena);
}

static bool add_ranges(struct networks *networks, const char *const *ranges, size_t count)
{
    const struct address_range *overlap;

    for (size_t i = 0; i < count; i++) {
        struct address_range range = {.value = ranges[i]};

        CHECK(parse_address_range(slice_of(ranges[i]), &range), ranges[i]);
        CHECK(networks_add_range(networks, &range));
    }
    return networks_finish(networks, &overlap);
}

TEST(narrowest_range)
{
    struct arena *arena = arena_new(4096);
    struct networks networks;
    static const char *const ranges[] = {
        "10.0.0.0-10.0.0.255", "10.0.0.10-10.0.0.20", "10.0.0.0-10.0.0.3",    "10.0.0.12",
        "0.0.0.0-0.0.0.0",     "255.255.255.255",     "10.0.0.250-10.0.0.255"};

    networks_init(&networks, arena);
    CHECK(add_ranges(&networks, ranges, COUNT(ranges)));
    CHECK_STR(find(&networks, "10.0.0.0"), ranges[2]);
    CHECK_STR(find(&networks, "10.0.0.3"), ranges[2]);
    CHECK_STR(find(&networks, "10.0.0.4"), ranges[0]);
    CHECK_STR(find(&networks, "10.0.0.10"), ranges[1]);
    CHECK_STR(find(&networks, "10.0.0.12"), ranges[3]);
    CHECK_STR(find(&networks, "10.0.0.13"), ranges[1]);
    CHECK_STR(find(&networks, "10.0.0.21"), ranges[0]);
    CHECK_STR(find(&networks, "10.0.0.255"), ranges[6]);
    CHECK_STR(find(&networks, "10.0.1.0"), NULL);
    CHECK_STR(find(&networks, "0.0.0.0"), ranges[4]);
    CHECK_STR(find(&networks, "255.255.255.255"), ranges[5]);
    CHECK_STR(find(&networks, "0.0.0.1"), NULL);
    arena_drop(arena);
}

TEST(overlapping_ranges_are_refused)
{
    struct arena *arena = arena_new(4096);
    struct networks networks;
    static const char *const ranges[] = {"10.0.0.0-10.0.0.9", "10.0.0.5-10.0.0.20"};
    struct address_range range;

    networks_init(&networks, arena);
    CHECK(!add_ranges(&networks, ranges, COUNT(ranges)));
    CHECK(!parse_address_range(slice_of("10.0.0.9-10.0.0.1"), &range));
    CHECK(!parse_address_range(slice_of("10.0.0.9-x"), &range));
    CHECK(!parse_address_range(slice_of(""), &range));
    arena_drop(arena);
}
