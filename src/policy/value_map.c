#include "policy/value_map.h"

#include "base/arena.h"
#include "base/log.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/snapshot.h"
#include "config/variable.h"
#include "policy/host_table.h"

struct map_pattern {
    struct map_pattern *next;
    struct regex *regex;
    struct slice text;
    struct template *value;
};

struct value_map {
    struct template *source;
    struct host_table table; /* -> struct template; without `hostnames` only its exact names */
    struct map_pattern *patterns;
    struct map_pattern **last_pattern;
    struct template *fallback; /* NULL: the empty text */
    bool hostnames;
    bool is_volatile;
};

/* ---- evaluation */

/* False: one gave up, and may have been the one that matches. */
static bool find_pattern(const struct value_map *map, struct slice text, struct subject *subject,
                         const struct template **value)
{
    *value = NULL;
    for (const struct map_pattern *it = map->patterns; it != NULL; it = it->next) {
        enum regex_match match = regex_match(it->regex, text, subject);

        if (match == REGEX_YES)
            *value = it->value;
        if (match == REGEX_FAILED) {
            log_about(subject->log, LOG_LEVEL_ALERT, 0, "matching \"%.*s\" gave up at a limit",
                      SLICE_ARG(it->text));
            subject->undecided++;
        }
        if (match != REGEX_NO)
            return match == REGEX_YES;
    }
    return true;
}

static bool get(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct value_map *map = (const struct value_map *)v->data;
    const struct template *value;
    struct slice source;
    struct slice key;

    if (!template_eval(map->source, subject, &source))
        return false;
    key = source;
    if (map->hostnames && slice_ends(key, slice_of(".")))
        key.len--;
    value = map->hostnames ? host_table_find(&map->table, key) : map_get(&map->table.exact, key);
    if (value == NULL && !find_pattern(map, source, subject, &value))
        return false;
    if (value == NULL)
        value = map->fallback;
    *text = slice_make("", 0);
    return value == NULL || template_eval(value, subject, text);
}

/* ---- loading */

/* An entry of the block, while it is loaded: errors are about the entry. */
struct entry_call {
    struct conf_call call;
    struct value_map *map;
};

static struct template *compile(struct conf_call *call, size_t index)
{
    const char *error;
    struct template *made = template_compile(call->loader->variables, call->loader->arena,
                                             conf_arg(call, index), &error);

    if (made == NULL)
        (void)conf_error(call, index, "%s", error);
    return made;
}

static bool add_pattern(struct entry_call *entry, struct slice pattern, struct template *value)
{
    struct conf_call *call = &entry->call;
    const struct snapshot *snapshot = call->loader->context;
    bool nocase = slice_starts(pattern, slice_of("~*"));
    struct map_pattern *made = arena_zalloc(call->loader->arena, sizeof *made);
    const char *error;

    if (made == NULL)
        return conf_error(call, 0, "no memory");
    made->text = arena_copy(call->loader->arena, slice_skip(pattern, nocase ? 2 : 1));
    made->regex = regex_compile(snapshot->regexes, made->text, nocase, &error);
    made->value = value;
    if (made->regex == NULL)
        return conf_error(call, 0, "%s", error);
    *entry->map->last_pattern = made;
    entry->map->last_pattern = &made->next;
    return true;
}

static bool add_name(struct entry_call *entry, struct slice name, struct template *value)
{
    struct conf_call *call = &entry->call;
    struct slice key = arena_copy(call->loader->arena, name);
    enum host_added added;

    if (key.data == NULL)
        return conf_error(call, 0, "no memory");
    if (entry->map->hostnames)
        added = host_table_add(&entry->map->table, key, value);
    else if (map_get(&entry->map->table.exact, key) != NULL)
        added = HOST_DUPLICATE;
    else
        added = map_put(&entry->map->table.exact, key, value, NULL) ? HOST_ADDED : HOST_NO_MEMORY;
    switch (added) {
    case HOST_DUPLICATE:
        return conf_error(call, 0, "conflicting parameter \"%.*s\"", SLICE_ARG(name));
    case HOST_INVALID:
        return conf_error(call, 0, "invalid hostname or wildcard \"%.*s\"", SLICE_ARG(name));
    case HOST_NO_MEMORY:
        return conf_error(call, 0, "no memory");
    default:
        return true;
    }
}

static bool load_pair(struct entry_call *entry)
{
    struct conf_call *call = &entry->call;
    struct slice name = conf_arg(call, 0);
    struct template *value = compile(call, 1);

    if (value == NULL)
        return false;
    if (slice_eq(name, slice_of("default"))) {
        if (entry->map->fallback != NULL)
            return conf_error(call, 0, "duplicate default map parameter");
        entry->map->fallback = value;
        return true;
    }
    if (slice_starts(name, slice_of("~")))
        return add_pattern(entry, name, value);
    if (slice_starts(name, slice_of("\\")))
        name = slice_skip(name, 1);
    return add_name(entry, name, value);
}

/* `hostnames` and `volatile` are about the whole block, wherever they stand. */
static bool load_flag(struct entry_call *entry)
{
    if (slice_eq(conf_arg(&entry->call, 0), slice_of("hostnames")))
        entry->map->hostnames = true;
    else if (slice_eq(conf_arg(&entry->call, 0), slice_of("volatile")))
        entry->map->is_volatile = true;
    else
        return conf_error(&entry->call, 0, "invalid number of the map parameters");
    return true;
}

static bool load_entries(struct conf_call *call, struct value_map *map)
{
    bool loaded = true;

    for (int flags = 1; flags >= 0; flags--) {
        for (const struct node *node = call->node->children; node != NULL; node = node->next) {
            struct entry_call entry = {.call = *call, .map = map};
            bool is_flag = node->word_count == 1;

            entry.call.node = node;
            if (is_flag != (flags == 1))
                continue;
            if (node->is_block || node->word_count > 2)
                loaded = conf_error(&entry.call, 0, "invalid number of the map parameters");
            else if (!(is_flag ? load_flag(&entry) : load_pair(&entry)))
                loaded = false;
        }
    }
    return loaded;
}

static bool set_map(struct conf_call *call)
{
    struct loader *loader = call->loader;
    struct value_map *map = arena_zalloc(loader->arena, sizeof *map);
    struct slice name = conf_arg(call, 2);
    struct variable variable = {.get = get, .flags = VARIABLE_CHANGEABLE};

    if (map == NULL)
        return conf_error(call, 0, "no memory");
    if (name.len < 2 || name.data[0] != '$')
        return conf_error(call, 2, "invalid variable name \"%.*s\"", SLICE_ARG(name));
    host_table_init(&map->table, loader->arena);
    map->last_pattern = &map->patterns;
    map->source = compile(call, 1);
    if (map->source == NULL || !load_entries(call, map))
        return false;
    variable.name = slice_skip(name, 1);
    variable.data = (uintptr_t)map;
    if (map->is_volatile)
        variable.flags |= VARIABLE_VOLATILE;
    return variables_add(loader->variables, &variable) ||
           conf_error(call, 2, "the duplicate \"%.*s\" variable", SLICE_ARG(variable.name));
}

const struct directive map_directives[MAP_DIRECTIVES] = {
    {.name = "map",
     .contexts = CTX_HTTP | CTX_STREAM,
     .field = CUSTOM,
     .args_min = 2,
     .args_max = 2,
     .block = true,
     .early = true,
     .repeatable = true,
     .set = set_map,
     .doc =
         "Makes a variable whose value depends on a text: by equal text (either case), with "
         "`hostnames` by names with wildcards, by regular expressions (~, ~*) in their order, or "
         "`default`. `volatile`: computed at every use.",
     .example = "map $http_upgrade $connection_upgrade {\n    default upgrade;\n    '' close;\n}"},
    {.name = "map_hash_max_size",
     .contexts = CTX_HTTP | CTX_STREAM,
     .field = NOTHING,
     .args_min = 1,
     .args_max = 1,
     .quiet = true,
     .noop = "tables have the size they need",
     .doc = "Accepted for nginx's sake."},
    {.name = "map_hash_bucket_size",
     .contexts = CTX_HTTP | CTX_STREAM,
     .field = NOTHING,
     .args_min = 1,
     .args_max = 1,
     .quiet = true,
     .noop = "tables have the size they need",
     .doc = "Accepted for nginx's sake."},
};
