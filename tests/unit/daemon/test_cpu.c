/* CPU masks as worker_cpu_affinity writes them. */
#include "tests/unit/check.h"

#include "daemon/cpu.h"

TEST(the_rightmost_digit_is_core_0)
{
    cpu_set_t mask;

    CHECK(cpu_parse_mask(slice_of("0101"), &mask));
    CHECK_EQ(CPU_COUNT(&mask), 2);
    CHECK(CPU_ISSET(0, &mask));
    CHECK(CPU_ISSET(2, &mask));
    CHECK(!cpu_parse_mask(slice_of(""), &mask));
    CHECK(!cpu_parse_mask(slice_of("012"), &mask));
}

TEST(auto_goes_round_the_allowed_ones)
{
    cpu_set_t allowed;
    cpu_set_t mask;

    CHECK(cpu_parse_mask(slice_of("1010"), &allowed));
    for (unsigned i = 0; i < 4; i++) {
        cpu_mask_auto(&allowed, i, &mask);
        CHECK_EQ(CPU_COUNT(&mask), 1);
        CHECK(CPU_ISSET(i % 2 == 0 ? 1 : 3, &mask), "loop %u", i);
    }
    CHECK(cpu_count_usable() >= 1);
}
