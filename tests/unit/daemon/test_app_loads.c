/* What a worker says of apps: numbers and nothing else. */
#include "base/list.h"
#include "daemon/app_link_internal.h"
#include "tests/unit/check.h"

TEST(loads_are_numbers)
{
    struct worker_says says = {
        .active = json_object(), .answered = json_object(), .tunnels = json_object()};
    json_t *answered;

    CHECK(worker_load_parse(slice_of("web 10 2 1500\n7 3\n12 0 0 0\n13 1 5 2500\n14 2 0 0 1\n"),
                            &says));
    CHECK_SLICE(says.name, "web");
    CHECK_EQ(says.requests, 10u);
    CHECK_EQ(says.waiting, 2u);
    CHECK_EQ(says.queue_us, 1500u);
    CHECK_EQ(json_object_size(says.active), 4u);
    CHECK_EQ(json_object_size(says.tunnels), 1u);
    CHECK_EQ(json_integer_value(json_object_get(says.tunnels, "14")), 1);
    CHECK_EQ(json_integer_value(json_object_get(says.active, "7")), 3);
    CHECK_EQ(json_object_size(says.answered), 1u);
    answered = json_object_get(says.answered, "13");
    CHECK_EQ(json_integer_value(json_array_get(answered, 0)), 5);
    CHECK_EQ(json_integer_value(json_array_get(answered, 1)), 2500);
    json_decref(says.active);
    json_decref(says.answered);
    json_decref(says.tunnels);
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
        "web 1 2 3\n7 8 9 10 11 12",
        "web 1 2 3\n7 8 9 -1",
        "web 1 2 3\n7 8 9 ",
        "web 1 2 3\nx 1",
        "web 1 2 3\n7 -1",
        "web 1 2 3\n 1",
        "web 1 2 3\n1 ",
    };

    for (size_t i = 0; i < COUNT(texts); i++) {
        struct worker_says says = {
            .active = json_object(), .answered = json_object(), .tunnels = json_object()};

        CHECK(!worker_load_parse(slice_of(texts[i]), &says), "%s", texts[i]);
        json_decref(says.active);
        json_decref(says.answered);
        json_decref(says.tunnels);
    }
}
