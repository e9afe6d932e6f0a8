#include "http/type_set.h"

#include "base/arena.h"
#include "config/loader.h"

static bool add(struct conf_call *call, struct map *types, struct slice type)
{
    struct slice copy = arena_copy(call->loader->arena, type);

    /* A set has no values: any address will do. */
    return (copy.data != NULL && map_put(types, copy, types, NULL)) ||
           conf_error(call, 0, "no memory for the configuration");
}

bool conf_type_set(struct conf_call *call, struct type_set *set, struct slice always)
{
    if (call->first) {
        set->any = false;
        set->types = arena_alloc(call->loader->arena, sizeof *set->types);
        if (set->types == NULL)
            return conf_error(call, 0, "no memory for the configuration");
        map_init(set->types, call->loader->arena, true);
        if (always.len > 0 && !add(call, set->types, always))
            return false;
    }
    for (size_t i = 1; i < conf_arg_count(call); i++) {
        struct slice type = conf_arg(call, i);

        if (slice_eq(type, slice_of("*")))
            set->any = true;
        else if (!add(call, set->types, type))
            return false;
    }
    return true;
}

bool type_set_has(const struct type_set *set, struct slice content_type)
{
    ptrdiff_t end = slice_find(content_type, ';');

    if (content_type.len == 0)
        return false;
    if (end >= 0)
        content_type = slice_trim(slice_head(content_type, (size_t)end));
    return set->any || map_get(set->types, content_type) != NULL;
}
