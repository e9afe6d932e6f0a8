/* Walks the tables of features: what must hold of every row whoever wrote it.
 *
 * Included by the test of a list of features (config's own, http's, stream's), which calls
 * table_walk() in a TEST. The rules: a name and a sentence for every row; a place to stand; a
 * setter exactly where the kind needs one; words for ENUM and BITS; a default that its own parser
 * accepts and that a user could write; bounds that refuse the value just outside. Runs in: test
 * binaries. */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "config/files.h"
#include "config/loader.h"
#include "config/tree.h"
#include "config/variable.h"

#include "tests/unit/check.h"

#include <stdio.h>

struct table_walk {
    const struct conf_feature *const *features;
    size_t count;
    struct arena *arena;         /* of the settings */
    struct variables *variables; /* those the defaults may name */
    void *context;               /* loader->context, for setters that need it */
};

static inline void table_walk_row(const struct conf_feature *feature, const struct directive *row)
{
    enum conf_kind kind = row->field.kind;
    size_t len = row->doc == NULL ? 0 : strlen(row->doc);

    CHECK(row->name != NULL && row->name[0] != '\0', feature->name);
    CHECK(len > 3, "%s: a sentence", row->name);
    CHECK(row->doc[len - 1] == '.', "%s: the sentence ends in a full stop", row->name);
    CHECK(row->contexts != 0, "%s: stands somewhere", row->name);
    CHECK_EQ(kind == CONF_CUSTOM, row->set != NULL, "%s: `set` goes with CUSTOM", row->name);
    CHECK(!row->block || kind == CONF_CUSTOM || kind == CONF_NOTHING, "%s: block", row->name);
    CHECK(!row->repeatable || kind == CONF_CUSTOM || kind == CONF_NOTHING, "%s: repeatable",
          row->name);
    CHECK(!row->early || row->block, "%s: early is for blocks", row->name);
    CHECK(!row->nests || (row->block && !row->early), "%s: nests is for blocks", row->name);
    CHECK_EQ(kind == CONF_ENUM || kind == CONF_BITS, row->words != NULL, "%s: words", row->name);
    CHECK(kind != CONF_NOTHING || row->noop != NULL || row->quiet, "%s: why nothing", row->name);
    CHECK(row->args_max == 0 || row->args_min <= row->args_max, "%s: arguments", row->name);
    CHECK(row->max == 0 || row->min <= row->max, "%s: bounds", row->name);
}

/* Loads `text` as one directive into `conf` by its row; true when that was accepted. */
static inline bool table_walk_accepts(const struct table_walk *walk, size_t feature,
                                      const struct directive *row, const char *value)
{
    const struct conf_feature *real = walk->features[feature];
    struct directive anywhere = *row;
    struct conf_feature alone = {.name = real->name,
                                 .conf_bytes = real->conf_bytes,
                                 .directives = &anywhere,
                                 .directive_count = 1};
    const struct conf_feature *list[] = {&alone};
    struct config_files *files = config_files_from_disk();
    struct scope root = {0};
    struct diag diag;
    struct tree tree;
    struct loader loader = {.arena = walk->arena,
                            .diag = &diag,
                            .tree = &tree,
                            .variables = walk->variables,
                            .prefix = "/",
                            .conf_prefix = "/",
                            .context = walk->context};
    char text[512];
    bool accepted;

    anywhere.contexts = CTX_ANYWHERE;
    snprintf(text, sizeof text, "%s %s;", row->name, value);
    diag_init(&diag);
    CHECK(files != NULL && config_files_add(files, "/walk.conf", slice_of(text)), row->name);
    tree_init(&tree, files);
    tree_parse(&tree, files, "/walk.conf", &diag);
    CHECK(loader_init(&loader, list, 1), row->name);
    loader_run(&loader, &root);
    accepted = !diag_failed(&diag);
    loader_fini(&loader);
    tree_fini(&tree);
    config_files_free(files);
    diag_fini(&diag);
    return accepted;
}

static inline bool table_walk_is_number(const struct directive *row)
{
    enum conf_kind kind = row->field.kind;

    return kind == CONF_INT || kind == CONF_MSEC || kind == CONF_SEC || kind == CONF_BYTES ||
           kind == CONF_BUFFERS;
}

/* A value of the row's kind, in its smallest unit. */
static inline void table_walk_number(const struct directive *row, int64_t value, char out[64])
{
    const char *unit = row->field.kind == CONF_MSEC      ? "ms"
                       : row->field.kind == CONF_SEC     ? "s"
                       : row->field.kind == CONF_BUFFERS ? " 4k"
                                                         : "";

    snprintf(out, 64, "%lld%s", (long long)value, unit);
}

static inline void table_walk_bounds(const struct table_walk *walk, size_t feature,
                                     const struct directive *row)
{
    char value[64];

    if (!table_walk_is_number(row))
        return;
    if (row->min > 0) {
        table_walk_number(row, row->min - 1, value);
        CHECK(!table_walk_accepts(walk, feature, row, value), "%s %s: below", row->name, value);
    }
    if (row->max != 0) {
        table_walk_number(row, row->max + 1, value);
        CHECK(!table_walk_accepts(walk, feature, row, value), "%s %s: above", row->name, value);
    }
}

/* Values that no row of the kind can take. */
static inline void table_walk_nonsense(const struct table_walk *walk, size_t feature,
                                       const struct directive *row)
{
    enum conf_kind kind = row->field.kind;

    if (table_walk_is_number(row) || kind == CONF_FLAG || kind == CONF_ENUM || kind == CONF_BITS) {
        CHECK(!table_walk_accepts(walk, feature, row, "no-such-value"), row->name);
        CHECK(!table_walk_accepts(walk, feature, row, "\"\""), "%s: empty", row->name);
    }
}

static inline void table_walk_default(const struct table_walk *walk, size_t feature,
                                      const struct directive *row)
{
    enum conf_kind kind = row->field.kind;

    if (row->def == NULL || row->block || kind == CONF_CUSTOM || kind == CONF_NOTHING)
        return;
    CHECK(table_walk_accepts(walk, feature, row, row->def), "%s %s: the default", row->name,
          row->def);
}

/* Every feature's defaults at once, as in a real load: also those of CUSTOM rows. */
static inline void table_walk_defaults(const struct table_walk *walk)
{
    struct scope root = {0};
    struct diag diag;
    struct tree tree = {0};
    struct loader loader = {.arena = walk->arena,
                            .diag = &diag,
                            .tree = &tree,
                            .variables = walk->variables,
                            .prefix = "/",
                            .conf_prefix = "/",
                            .context = walk->context};

    diag_init(&diag);
    CHECK(loader_init(&loader, walk->features, walk->count));
    loader_run(&loader, &root);
    CHECK(!diag_failed(&diag), diag.first == NULL ? "" : diag.first->message);
    loader_fini(&loader);
    diag_fini(&diag);
}

static inline void table_walk(const struct table_walk *walk)
{
    for (size_t i = 0; i < walk->count; i++) {
        for (size_t j = 0; j < walk->features[i]->directive_count; j++) {
            const struct directive *row = &walk->features[i]->directives[j];

            table_walk_row(walk->features[i], row);
            if (row->check != NULL)
                continue; /* may need what the row alone does not bring */
            table_walk_default(walk, i, row);
            table_walk_bounds(walk, i, row);
            table_walk_nonsense(walk, i, row);
        }
    }
    table_walk_defaults(walk);
}
