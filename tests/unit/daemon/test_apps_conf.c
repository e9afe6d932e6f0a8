/* The rows of apps { }: made from the keys of apps, each with its sentence and its bounds. */
#include "apps/spec.h"
#include "base/list.h"
#include "daemon/apps_conf.h"
#include "tests/unit/table_walk.h"

static const struct directive *row_of(const char *name, enum context context)
{
    const struct conf_feature *feature = apps_conf_feature();

    for (size_t i = 0; i < feature->directive_count; i++) {
        const struct directive *row = &feature->directives[i];

        if (strcmp(row->name, name) == 0 && (row->contexts & context) != 0)
            return row;
    }
    return NULL;
}

TEST(the_rows_are_sound)
{
    const struct conf_feature *list[] = {apps_conf_feature()};
    struct table_walk walk = {.features = list, .count = 1};

    walk.arena = arena_new(4096);
    table_walk(&walk);
    arena_drop(walk.arena);
}

TEST(every_key_is_a_directive)
{
    for (size_t i = 0; i < app_option_count; i++) {
        const struct option *option = &app_options[i];
        bool is_for_files = option->kind == OPTION_NOTHING || strcmp(option->name, "name") == 0 ||
                            strcmp(option->name, "deploy") == 0;

        CHECK_EQ(row_of(option->name, CTX_APP) == NULL, is_for_files, option->name);
    }
    CHECK(row_of("directory", CTX_APP) != NULL);
    CHECK(row_of("command", CTX_APP) != NULL);
    CHECK_STR(row_of("kill_timeout", CTX_APP)->def, "1600ms");
    CHECK_STR(row_of("autorestart", CTX_APP)->def, "on");
    CHECK_STR(row_of("drain_timeout", CTX_APP)->def, "30s");
}

static bool fits(const struct option *option, int64_t number)
{
    json_t *value = json_integer((json_int_t)number);
    struct diag diag;
    bool good;

    diag_init(&diag);
    good = option_fits(option, value, &diag);
    CHECK_EQ(good, !diag_failed(&diag), option->name);
    diag_fini(&diag);
    json_decref(value);
    return good;
}

TEST(every_bound_refuses)
{
    unsigned bounded = 0;

    for (size_t i = 0; i < app_option_count; i++) {
        const struct option *option = &app_options[i];

        if (option->max == 0)
            continue;
        bounded++;
        CHECK(fits(option, option->max), option->name);
        CHECK(!fits(option, option->max + 1), option->name);
        CHECK(!fits(option, option->min - 1), option->name);
    }
    CHECK(bounded > 10);
}
