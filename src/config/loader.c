/* Walks the tree and fills the features' settings. Runs in: any process, at load time. */
#include "config/loader.h"

#include "base/arena.h"
#include "base/diag.h"
#include "config/kinds_internal.h"
#include "config/lexer_internal.h"
#include "config/loader_internal.h"
#include "config/tree_internal.h"
#include "config/variable.h"

#include <assert.h>

enum { DEFAULT_WORDS_MAX = 16 };

static bool bit_is_set(const uint64_t *bits, size_t index)
{
    return bits[index / 64] >> (index % 64) & 1;
}

static void bit_set(uint64_t *bits, size_t index)
{
    bits[index / 64] |= (uint64_t)1 << (index % 64);
}

static bool no_memory(struct loader *loader)
{
    diag_add(loader->diag, DIAG_ERROR, NULL, "no memory for the config");
    return false;
}

/* Rows of one name are chained; which one is meant depends on where the directive stands. */
static bool add_row(struct loader_private *inner, struct entry *entry)
{
    struct entry *first = map_get(&inner->by_name, slice_of(entry->row->name));

    if (first == NULL)
        return map_put(&inner->by_name, slice_of(entry->row->name), entry, NULL);
    while (first->next != NULL)
        first = first->next;
    first->next = entry;
    return true;
}

static bool add_rows(struct loader *loader, size_t row_count)
{
    struct loader_private *inner = loader->inner;
    struct entry *entries = arena_zalloc(loader->scratch, row_count * sizeof *entries + 1);
    size_t bit = 0;

    if (entries == NULL || !map_reserve(&inner->by_name, row_count))
        return false;
    for (size_t i = 0; i < loader->feature_count; i++) {
        const struct conf_feature *feature = loader->features[i];

        for (size_t j = 0; j < feature->directive_count; j++, bit++) {
            entries[bit] = (struct entry){.row = &feature->directives[j], .feature = i, .bit = bit};
            if (!add_row(inner, &entries[bit]))
                return false;
        }
    }
    return true;
}

bool loader_init(struct loader *loader, const struct conf_feature *const *features, size_t count)
{
    size_t row_count = 0;

    loader->features = features;
    loader->feature_count = count;
    loader->inner = NULL;
    loader->scratch = arena_new(1 << 16);
    if (loader->scratch == NULL)
        return false;
    loader->inner = arena_zalloc(loader->scratch, sizeof *loader->inner);
    if (loader->inner == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        row_count += features[i]->directive_count;
        if (features[i]->conf_bytes > 0)
            loader->inner->group_count = i / SETTINGS_GROUP + 1;
    }
    map_init(&loader->inner->by_name, loader->scratch, false);
    map_init(&loader->inner->shared, loader->scratch, false);
    map_init(&loader->inner->said, loader->scratch, false);
    loader->inner->row_words = row_count / 64 + 1;
    loader->inner->feature_words = count / 64 + 1;
    loader->inner->used = arena_zalloc(loader->scratch,
                                       loader->inner->feature_words * sizeof(uint64_t));
    if (loader->inner->used == NULL)
        return false;
    loader->inner->last_pending = &loader->inner->pending;
    return add_rows(loader, row_count);
}

void loader_fini(struct loader *loader)
{
    if (loader->inner != NULL && loader->inner->watched != NULL)
        variables_expect(loader->inner->watched, NULL, NULL);
    arena_drop(loader->scratch);
    loader->scratch = NULL;
    loader->inner = NULL;
}

/* ---- variables used before they are defined */

static void on_pending(void *data, const struct variable *variable)
{
    struct loader *loader = data;
    struct loader_private *inner = loader->inner;
    struct pending *pending = arena_zalloc(loader->scratch, sizeof *pending);

    if (pending == NULL) {
        no_memory(loader);
        return;
    }
    *pending = (struct pending){
        .variable = variable, .variables = loader->variables, .node = inner->current};
    *inner->last_pending = pending;
    inner->last_pending = &pending->next;
}

/* http and stream have registries of their own: the one in use is asked to tell us. */
static void watch_variables(struct loader *loader)
{
    struct loader_private *inner = loader->inner;

    if (loader->variables == inner->watched)
        return;
    if (inner->watched != NULL)
        variables_expect(inner->watched, NULL, NULL);
    if (loader->variables != NULL)
        variables_expect(loader->variables, on_pending, loader);
    inner->watched = loader->variables;
}

/* ---- what equal directives share */

void *loader_shared(struct loader *loader, struct slice key)
{
    return map_get(&loader->inner->shared, key);
}

void loader_share(struct loader *loader, struct slice key, void *thing)
{
    struct loader_private *inner = loader->inner;
    struct slice copy;

    if (inner->last_pending != &inner->pending &&
        container_of(inner->last_pending, struct pending, next)->node == inner->current)
        return;
    copy = arena_copy(loader->scratch, key);
    if (copy.data == NULL || !map_put(&inner->shared, copy, thing, NULL))
        return; /* then each makes its own */
}

/* ---- scopes */

static bool scope_open(struct loader *loader, struct scope *scope)
{
    struct loader_private *inner = loader->inner;
    size_t words = inner->feature_words + inner->row_words;

    assert(inner->depth < COUNT(inner->bits));
    if (inner->bits[inner->depth] == NULL)
        inner->bits[inner->depth] = arena_alloc(loader->scratch, words * sizeof(uint64_t));
    if (inner->bits[inner->depth] == NULL)
        return no_memory(loader);
    memset(inner->bits[inner->depth], 0, words * sizeof(uint64_t));
    scope->own = inner->bits[inner->depth];
    scope->given = scope->own + inner->feature_words;
    inner->depth++;
    return true;
}

static void scope_close(struct loader *loader, struct scope *scope)
{
    assert(loader->inner->depth > 0);
    loader->inner->depth--;
    scope->own = NULL;
    scope->given = NULL;
}

static void *copy_of(struct loader *loader, const void *source, size_t bytes)
{
    void *copy = arena_alloc(loader->arena, bytes);

    return copy == NULL ? NULL : memcpy(copy, source, bytes);
}

/* The scope's own place for a pointer to a feature's settings. NULL: no memory. */
static void **own_place(struct loader *loader, struct scope *scope, size_t feature)
{
    const struct scope *parent = scope->parent;
    size_t at = feature / SETTINGS_GROUP;

    if (parent != NULL && scope->settings == parent->settings) {
        struct settings *copy = copy_of(loader, parent->settings,
                                        loader->inner->group_count * sizeof *copy);

        if (copy == NULL)
            return NULL;
        scope->settings = copy;
    }
    if (parent != NULL && scope->settings[at].group == parent->settings[at].group) {
        struct settings_group *copy = copy_of(loader, parent->settings[at].group, sizeof *copy);

        if (copy == NULL)
            return NULL;
        scope->settings[at].group = copy;
    }
    return &scope->settings[at].group->conf[feature % SETTINGS_GROUP];
}

/* The scope's own copy of a feature's settings, made at the first need. */
static void *own_settings(struct loader *loader, struct scope *scope, size_t feature)
{
    size_t bytes = loader->features[feature]->conf_bytes;
    void **place;
    void *copy;

    assert(scope->own != NULL);
    assert(bytes > 0);
    if (bit_is_set(scope->own, feature))
        return settings_at(scope->settings, feature);
    place = own_place(loader, scope, feature);
    copy = place == NULL ? NULL : copy_of(loader, *place, bytes);
    if (copy == NULL)
        return NULL;
    *place = copy;
    bit_set(scope->own, feature);
    return copy;
}

static size_t feature_of(const struct conf_call *call)
{
    const struct loader *loader = call->loader;

    for (size_t i = 0; i < loader->feature_count; i++) {
        const struct conf_feature *feature = loader->features[i];

        if (call->directive >= feature->directives &&
            call->directive < feature->directives + feature->directive_count)
            return i;
    }
    assert(!"a row of a feature that is not in the list");
    return 0;
}

void *conf_own(struct conf_call *call)
{
    void *conf = own_settings(call->loader, call->scope, feature_of(call));

    if (conf == NULL)
        no_memory(call->loader);
    return conf;
}

/* ---- directives */

static const struct entry *find_entry(const struct loader *loader, const struct scope *scope,
                                      struct slice name)
{
    const struct entry *entry = map_get(&loader->inner->by_name, name);

    while (entry != NULL && !(entry->row->contexts & (scope->context | CTX_ANYWHERE)))
        entry = entry->next;
    return entry;
}

bool loader_uses(const struct loader *loader, const struct conf_feature *feature)
{
    for (size_t i = 0; i < loader->feature_count; i++) {
        if (loader->features[i] == feature)
            return bit_is_set(loader->inner->used, i);
    }
    return false;
}

bool loader_knows(const struct loader *loader, struct slice name)
{
    return map_get(&loader->inner->by_name, name) != NULL;
}

/* Form only: block or not, how many arguments, whether it stands here a second time. */
static bool check_form(struct loader *loader, const struct scope *scope, const struct entry *entry,
                       const struct node *node)
{
    const struct directive *row = entry->row;
    struct arg_range args = directive_args(row);

    if (row->block != node->is_block) {
        report_form(loader, node);
        return false;
    }
    if (node->word_count - 1u < args.min ||
        (node->word_count - 1u > args.max && args.max != UINT8_MAX)) {
        report_arguments(loader, node);
        return false;
    }
    if (!row->repeatable && bit_is_set(scope->given, entry->bit)) {
        report_duplicate(loader, scope, node);
        return false;
    }
    return true;
}

static void load_directive(struct loader *loader, struct scope *scope, const struct entry *entry,
                           const struct node *node)
{
    const struct directive *row = entry->row;
    struct conf_call call = {.loader = loader, .directive = row, .node = node, .scope = scope};
    bool has_conf = loader->features[entry->feature]->conf_bytes > 0 && !row->nests &&
                    row->field.kind != CONF_NOTHING;

    if (!check_form(loader, scope, entry, node))
        return;
    call.first = !bit_is_set(scope->given, entry->bit);
    bit_set(scope->given, entry->bit);
    bit_set(loader->inner->used, entry->feature);
    if (has_conf) {
        call.conf = own_settings(loader, scope, entry->feature);
        if (call.conf == NULL) {
            no_memory(loader);
            return;
        }
    }
    watch_variables(loader);
    loader->inner->current = node;
    (void)conf_store(&call); /* false: it is in loader->diag, and the others are to be heard too */
    loader->inner->current = scope->node;
}

static bool is_late(const struct entry *entry)
{
    return entry != NULL && entry->row->block && !entry->row->early;
}

static void finish_features(struct loader *loader, struct scope *scope)
{
    for (size_t i = 0; i < loader->feature_count; i++) {
        const struct conf_feature *feature = loader->features[i];

        if (feature->finish != NULL && bit_is_set(scope->own, i))
            (void)feature->finish(loader, scope, settings_at(scope->settings, i));
    }
}

static void load_children(struct loader *loader, struct scope *scope, const struct node *first)
{
    bool any_late = false;

    for (const struct node *node = first; node != NULL; node = node->next) {
        const struct entry *entry = find_entry(loader, scope, word_text(node->words[0]));

        if (entry == NULL)
            report_no_row(loader, scope, node);
        else if (!is_late(entry))
            load_directive(loader, scope, entry, node);
        any_late = any_late || is_late(entry);
    }
    finish_features(loader, scope);
    for (const struct node *node = first; any_late && node != NULL; node = node->next) {
        const struct entry *entry = find_entry(loader, scope, word_text(node->words[0]));

        if (is_late(entry))
            load_directive(loader, scope, entry, node);
    }
}

bool loader_block(struct conf_call *call, enum context context, void *block, struct scope *child)
{
    struct loader *loader = call->loader;
    size_t errors_before = loader->diag->error_count;

    *child = (struct scope){.parent = call->scope,
                            .context = context,
                            .block = block,
                            .settings = call->scope->settings,
                            .node = call->node};
    if (!scope_open(loader, child))
        return false;
    load_children(loader, child, call->node->children);
    scope_close(loader, child);
    return loader->diag->error_count == errors_before;
}

/* ---- the root */

/* The words of a row's default, as a user would write them. */
static bool default_words(struct loader *loader, const struct directive *row, struct node *node)
{
    struct lexer lexer;
    struct token token;

    lexer_init(&lexer, arena_printf(loader->scratch, "%s;", row->def));
    node->words[0] = word_make(slice_of(row->name));
    node->word_count = 1;
    for (token = lexer_next(&lexer); token.kind == TOKEN_WORD; token = lexer_next(&lexer)) {
        if (node->word_count == DEFAULT_WORDS_MAX)
            return false;
        node->words[node->word_count++] = word_make(lexer_unescape(&token, loader->scratch));
    }
    return token.kind == TOKEN_SEMICOLON;
}

static void load_default(struct loader *loader, struct scope *root, size_t feature,
                         const struct directive *row)
{
    struct node *node = arena_zalloc(loader->scratch,
                                     sizeof *node + DEFAULT_WORDS_MAX * sizeof node->words[0]);
    struct conf_call call = {.loader = loader,
                             .directive = row,
                             .node = node,
                             .scope = root,
                             .conf = settings_at(root->settings, feature),
                             .first = true};
    struct arg_range args = directive_args(row);

    if (node == NULL) {
        no_memory(loader);
        return;
    }
    node->file = TREE_NO_FILE;
    if (!default_words(loader, row, node) || node->word_count - 1u < args.min ||
        node->word_count - 1u > args.max) {
        diag_add(loader->diag, DIAG_ERROR, NULL, "the default of \"%s\" is not of its form",
                 row->name);
        return;
    }
    loader->inner->current = node;
    (void)conf_store(&call);
    loader->inner->current = NULL;
}

static void load_defaults(struct loader *loader, struct scope *root, size_t index)
{
    const struct conf_feature *feature = loader->features[index];

    for (size_t i = 0; i < feature->directive_count; i++) {
        const struct directive *row = &feature->directives[i];

        if (row->def != NULL && feature->conf_bytes > 0 && !row->block &&
            row->field.kind != CONF_NOTHING)
            load_default(loader, root, index, row);
    }
}

static bool make_groups(struct loader *loader, struct scope *root)
{
    size_t count = loader->inner->group_count;

    root->settings = arena_zalloc(loader->arena, (count + 1) * sizeof *root->settings);
    for (size_t i = 0; root->settings != NULL && i < count; i++) {
        root->settings[i].group = arena_zalloc(loader->arena, sizeof *root->settings[i].group);
        if (root->settings[i].group == NULL)
            return false;
    }
    return root->settings != NULL;
}

static bool open_root(struct loader *loader, struct scope *root)
{
    root->parent = NULL;
    root->context = CTX_MAIN;
    root->node = NULL;
    if (!make_groups(loader, root) || !scope_open(loader, root))
        return false;
    for (size_t i = 0; i < loader->feature_count; i++) {
        if (loader->features[i]->conf_bytes == 0)
            continue;
        void **place = own_place(loader, root, i);

        assert(place != NULL); /* the root copies nothing from a parent */
        *place = arena_zalloc(loader->arena, loader->features[i]->conf_bytes);
        if (*place == NULL)
            return false;
        bit_set(root->own, i);
    }
    return true;
}

void loader_run(struct loader *loader, struct scope *root)
{
    struct loader_private *inner = loader->inner;

    if (!open_root(loader, root)) {
        no_memory(loader);
        return;
    }
    watch_variables(loader);
    for (size_t i = 0; i < loader->feature_count; i++)
        load_defaults(loader, root, i);
    load_children(loader, root, loader->tree->first);
    scope_close(loader, root);
    report_unknown_variables(loader);
    report_sort(loader);
    if (inner->watched != NULL)
        variables_expect(inner->watched, NULL, NULL);
    inner->watched = NULL;
}

/* ---- paths */

static struct slice absolute(struct loader *loader, const char *prefix, struct slice path)
{
    struct slice start = slice_of(prefix);
    bool slash = start.len > 0 && start.data[start.len - 1] != '/';

    if (start.len == 0 || (path.len > 0 && path.data[0] == '/'))
        return arena_copy(loader->arena, path);
    return arena_printf(loader->arena, "%s%s%.*s", prefix, slash ? "/" : "", SLICE_ARG(path));
}

struct slice loader_path(struct loader *loader, struct slice path)
{
    return absolute(loader, loader->prefix, path);
}

struct slice loader_conf_path(struct loader *loader, struct slice path)
{
    return absolute(loader, loader->conf_prefix, path);
}
