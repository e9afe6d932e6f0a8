/* From addresses to values: by networks (the longest prefix counts) or by ranges (the narrowest).
 * Runs in: filling: load time; finding: any thread. */
#pragma once

#include "event/address.h"

struct arena;
struct network_node;

enum { ADDRESS_BYTES = 16 };

/* A range, both ends in it; IPv4 is ::ffff:a.b.c.d. */
struct address_range {
    unsigned char first[ADDRESS_BYTES];
    unsigned char last[ADDRESS_BYTES];
    const void *value;
    unsigned order; /* of several equal ranges the latest counts */
};

struct networks {
    struct arena *arena; /* borrowed */
    struct network_node *v4;
    struct network_node *v6;
    struct address_range *ranges; /* after ranges_finish(): sorted, apart from each other */
    size_t range_count;
    size_t range_capacity;
};

enum network_added {
    NETWORK_ADDED,
    NETWORK_REPLACED, /* there was a value for the same network */
    NETWORK_NO_MEMORY,
};

void networks_init(struct networks *networks, struct arena *arena);

/* `value` NULL: forgets the network. */
enum network_added networks_add(struct networks *networks, const struct address_block *block,
                                const void *value);

/* "10.0.0.1-10.0.0.9" or one address, or an IPv6 range. False: malformed, or the wrong way round.
 */
bool parse_address_range(struct slice text, struct address_range *range);

bool networks_add_range(struct networks *networks, const struct address_range *range);

/* Makes ranges that lie in others holes in those. False: two overlap in part (`*overlap` is one of
 * them), or no memory (`*overlap` NULL). */
bool networks_finish(struct networks *networks, const struct address_range **overlap);

/* NULL: none. */
const void *networks_find(const struct networks *networks, const struct address *address);
