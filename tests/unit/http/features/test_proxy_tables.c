/* Goal: every row of proxy_* and grpc_* has its sentence, a default that parses, and bounds that
 * refuse. */
#include "tests/unit/table_walk.h"

#include "config/regex.h"
#include "config/snapshot.h"
#include "http/features/proxy_internal.h"

static void walk_rows(const struct feature *feature)
{
    const struct conf_feature *features[] = {&feature->conf};
    struct snapshot *snapshot = snapshot_new();
    struct table_walk walk = {.features = features, .count = 1, .context = snapshot};

    CHECK(snapshot != NULL);
    snapshot->http_variables = variables_new(snapshot->arena);
    snapshot->regexes = regex_set_new(snapshot->arena, snapshot->http_variables);
    walk.arena = snapshot->arena;
    walk.variables = snapshot->http_variables;
    table_walk(&walk);
    snapshot_unref(snapshot);
}

TEST(rows_of_proxy_hold)
{
    walk_rows(&http_proxy_feature);
}

TEST(rows_of_grpc_hold)
{
    walk_rows(&http_grpc_feature);
}

static void check_shown(const struct feature *feature)
{
    for (size_t i = 0; i < feature->conf.directive_count; i++) {
        const struct directive *row = &feature->conf.directives[i];

        CHECK(row->def != NULL || row->example != NULL, row->name);
    }
}

TEST(every_row_can_be_shown)
{
    check_shown(&http_proxy_feature);
    check_shown(&http_grpc_feature);
}
