#include "policy/host_table.h"

void host_table_init(struct host_table *table, struct arena *arena)
{
    map_init(&table->exact, arena, true);
    map_init(&table->heads, arena, true);
    map_init(&table->tails, arena, true);
}

static enum host_added put(struct map *map, struct slice name, void *value)
{
    if (map_get(map, name) != NULL)
        return HOST_DUPLICATE;
    return map_put(map, name, value, NULL) ? HOST_ADDED : HOST_NO_MEMORY;
}

static enum host_added put_both(struct host_table *table, struct slice name, void *value)
{
    enum host_added added = put(&table->exact, name, value);

    return added == HOST_ADDED ? put(&table->heads, name, value) : added;
}

enum host_added host_table_add(struct host_table *table, struct slice name, void *value)
{
    static const struct slice head = SLICE("*.");
    static const struct slice tail = SLICE(".*");
    bool has_head = slice_starts(name, head);
    bool has_tail = slice_ends(name, tail);
    bool has_dot = name.len > 0 && name.data[0] == '.';
    struct slice middle = name;

    if (has_head)
        middle = slice_skip(middle, head.len);
    else if (has_dot)
        middle = slice_skip(middle, 1);
    if (has_tail && middle.len >= tail.len)
        middle.len -= tail.len;
    if (middle.len == 0 || slice_find(middle, '*') >= 0 || ((has_head || has_dot) && has_tail))
        return HOST_INVALID;
    if (has_dot)
        return put_both(table, middle, value);
    return put(has_head ? &table->heads : has_tail ? &table->tails : &table->exact, middle, value);
}

static void *find_head(const struct map *heads, struct slice host)
{
    ptrdiff_t dot;

    while ((dot = slice_find(host, '.')) >= 0) {
        host = slice_skip(host, (size_t)dot + 1);
        void *value = map_get(heads, host);

        if (value != NULL)
            return value;
    }
    return NULL;
}

static void *find_tail(const struct map *tails, struct slice host)
{
    for (size_t n = host.len; n > 0; n--) {
        void *value = host.data[n - 1] == '.' ? map_get(tails, slice_head(host, n - 1)) : NULL;

        if (value != NULL)
            return value;
    }
    return NULL;
}

void *host_table_find(const struct host_table *table, struct slice host)
{
    void *value = map_get(&table->exact, host);

    if (value == NULL && table->heads.count > 0)
        value = find_head(&table->heads, host);
    if (value == NULL && table->tails.count > 0)
        value = find_tail(&table->tails, host);
    return value;
}
