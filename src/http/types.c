#include "http/types.h"

#include "base/arena.h"
#include "base/map.h"
#include "config/loader.h"
#include "http/core_conf.h"

static bool put(struct arena *arena, struct map *types, struct slice extension, struct slice type)
{
    struct slice *value = arena_alloc(arena, sizeof *value);
    struct slice key = arena_copy(arena, extension);

    if (value == NULL || key.data == NULL)
        return false;
    *value = type;
    return map_put(types, key, value, NULL);
}

static struct map *map_make(struct arena *arena)
{
    struct map *types = arena_alloc(arena, sizeof *types);

    if (types != NULL)
        map_init(types, arena, true);
    return types;
}

struct map *types_default(struct arena *arena)
{
    static const struct slice rows[][2] = {
        {SLICE("html"), SLICE("text/html")},
        {SLICE("gif"), SLICE("image/gif")},
        {SLICE("jpg"), SLICE("image/jpeg")},
    };
    struct map *types = map_make(arena);

    for (size_t i = 0; types != NULL && i < COUNT(rows); i++)
        if (!put(arena, types, rows[i][0], rows[i][1]))
            return NULL;
    return types;
}

static bool add_line(struct conf_call *call, struct map *types, const struct node *node)
{
    struct slice type = arena_copy(call->loader->arena, word_text(node->words[0]));

    if (type.data == NULL)
        return conf_error(call, 0, "no memory for the configuration");
    for (size_t i = 1; i < node->word_count; i++)
        if (!put(call->loader->arena, types, word_text(node->words[i]), type))
            return conf_error(call, 0, "no memory for the configuration");
    return true;
}

bool conf_set_types(struct conf_call *call)
{
    struct core_conf *conf = call->conf;
    /* Those of one block add up; what it inherits is replaced by its first. */
    struct map *types = call->first ? map_make(call->loader->arena) : conf->types;

    if (types == NULL)
        return conf_error(call, 0, "no memory for the configuration");
    for (const struct node *node = call->node->children; node != NULL; node = node->next)
        if (!add_line(call, types, node))
            return false;
    conf->types = types;
    return true;
}
