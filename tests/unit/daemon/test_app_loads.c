/* What a worker says of apps: numbers and nothing else. */
#include "base/list.h"
#include "daemon/app_link_internal.h"
#include "tests/unit/check.h"

TEST(loads_are_numbers)
{
    uint64_t numbers[3];
    struct slice name;
    json_t *active = json_object();

    CHECK(worker_load_parse(slice_of("web 10 2 1500\n7 3\n12 0\n"), &name, numbers, active));
    CHECK_SLICE(name, "web");
    CHECK_EQ(numbers[0], 10u);
    CHECK_EQ(numbers[1], 2u);
    CHECK_EQ(numbers[2], 1500u);
    CHECK_EQ(json_object_size(active), 2u);
    CHECK_EQ(json_integer_value(json_object_get(active, "7")), 3);
    json_decref(active);
}

TEST(what_is_no_load_is_refused)
{
    static const char *const texts[] = {
        "",
        "\n",
        "web",
        "web 1 2",
        "web 1 2 3 4",
        "web 1 2 x",
        "web -1 2 3",
        "web  1 2 3",
        "web 1 2 3456789012345678",
        " 1 2 3",
        "web 1 2 3\n7",
        "web 1 2 3\n7 8 9",
        "web 1 2 3\nx 1",
        "web 1 2 3\n7 -1",
        "web 1 2 3\n 1",
        "web 1 2 3\n1 ",
    };

    for (size_t i = 0; i < COUNT(texts); i++) {
        json_t *active = json_object();
        uint64_t numbers[3];
        struct slice name;

        CHECK(!worker_load_parse(slice_of(texts[i]), &name, numbers, active), "%s", texts[i]);
        json_decref(active);
    }
}
