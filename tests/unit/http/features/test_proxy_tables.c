/* Goal: every row of proxy_* has its sentence, a default that parses, and bounds that refuse. */
#include "tests/unit/table_walk.h"

#include "config/regex.h"
#include "config/snapshot.h"
#include "http/features/proxy_internal.h"

TEST(the_tables_hold)
{
    const struct conf_feature *features[] = {&http_proxy_feature.conf};
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

TEST(every_row_can_be_shown)
{
    for (size_t i = 0; i < http_proxy_feature.conf.directive_count; i++) {
        const struct directive *row = &http_proxy_feature.conf.directives[i];

        CHECK(row->def != NULL || row->example != NULL, row->name);
    }
}
