#include "base/list.h"

#include "tests/unit/check.h"

struct item {
    int number;
    struct list link;
};

static int number_of(const struct list *link)
{
    return container_of(link, struct item, link)->number;
}

TEST(both_ends)
{
    struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    struct list list;

    list_init(&list);
    CHECK(list_empty(&list));
    CHECK(list_pop_front(&list) == NULL);
    list_push_back(&list, &items[1].link);
    list_push_back(&list, &items[2].link);
    list_push_front(&list, &items[0].link);
    for (int i = 0; i < 3; i++) {
        struct list *link = list_pop_front(&list);

        CHECK_EQ(number_of(link), i);
        CHECK(!list_linked(link));
    }
    CHECK(list_empty(&list));
}

TEST(members_may_leave_while_walking)
{
    struct item items[6] = {{.number = 0}};
    struct list list;
    int left = 0;

    list_init(&list);
    for (int i = 0; i < 6; i++) {
        items[i].number = i;
        list_push_back(&list, &items[i].link);
    }
    list_each(link, next, &list)
    {
        if (number_of(link) % 2 == 0)
            list_remove(link);
    }
    list_each(link, next, &list)
    {
        CHECK_EQ(number_of(link) % 2, 1);
        left++;
    }
    CHECK_EQ(left, 3);
    CHECK(!list_linked(&items[0].link));
    CHECK(list_linked(&items[1].link));
}
