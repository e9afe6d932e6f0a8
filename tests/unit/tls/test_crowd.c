/* Goal: each address is counted for itself, IPv6 by its network, IPv4 in IPv6 clothes by its own.
 */
#include "tests/unit/check.h"

#include "event/address.h"
#include "tls/crowd.h"

static struct address at(const char *text)
{
    struct address address;

    CHECK(address_parse_ip(slice_of(text), 1, &address), text);
    return address;
}

TEST(each_is_counted_for_itself)
{
    struct address a = at("192.0.2.1");
    struct address b = at("192.0.2.2");

    CHECK(crowd_enter(&a, 2));
    CHECK(crowd_enter(&a, 2));
    CHECK(!crowd_enter(&a, 2));
    CHECK(crowd_enter(&b, 2));
    CHECK(crowd_enter(&a, 0)); /* no limit */
    crowd_leave(&a);
    crowd_leave(&a);
    CHECK(crowd_enter(&a, 2));
}

TEST(networks_of_ipv6)
{
    struct address a = at("2001:db8:1:2::1");
    struct address same = at("2001:db8:1:2:ffff::9");
    struct address other = at("2001:db8:1:3::1");

    CHECK(crowd_enter(&a, 1));
    CHECK(!crowd_enter(&same, 1));
    CHECK(crowd_enter(&other, 1));
}

TEST(ipv4_in_ipv6)
{
    struct address a = at("::ffff:198.51.100.1");
    struct address same = at("198.51.100.1");
    struct address other = at("::ffff:198.51.100.2");

    CHECK(crowd_enter(&a, 1));
    CHECK(!crowd_enter(&same, 1));
    CHECK(crowd_enter(&other, 1));
}
