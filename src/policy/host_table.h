/* Host names with wildcards at either end, found without regard to how many there are.
 *
 * Exact names come first, then "*.example.com" (the longest), then "www.example.*" (the longest);
 * ".example.com" is the name itself and everything below it. Case does not count.
 * Runs in: filling: load time; finding: any thread. */
#pragma once

#include "base/map.h"

#include <stdbool.h>

struct host_table {
    struct map exact;
    struct map heads; /* "*.example.com" under "example.com" */
    struct map tails; /* "www.example.*" under "www.example" */
};

/* Takes memory from `arena`. */
void host_table_init(struct host_table *table, struct arena *arena);

enum host_added {
    HOST_ADDED,
    HOST_DUPLICATE, /* replaced nothing: the first one stays */
    HOST_INVALID,   /* a wildcard that is none, or an empty name */
    HOST_NO_MEMORY,
};

/* `name` must live as long as the table; `value` must not be NULL. */
enum host_added host_table_add(struct host_table *table, struct slice name, void *value);

/* The value for a host, or NULL. */
void *host_table_find(const struct host_table *table, struct slice host);
