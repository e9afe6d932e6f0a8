#include "policy/networks.h"

#include "base/arena.h"

#include <stdlib.h>

struct network_node {
    struct network_node *child[2];
    const void *value;
};

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

void networks_init(struct networks *networks, struct arena *arena)
{
    *networks = (struct networks){.arena = arena};
}

/* ---- networks: one bit per level */

static unsigned bit_of(const unsigned char *bytes, unsigned index)
{
    return bytes[index / 8] >> (7 - index % 8) & 1;
}

enum network_added networks_add(struct networks *networks, const struct address_block *block,
                                const void *value)
{
    struct network_node **at = block->family == AF_INET6 ? &networks->v6 : &networks->v4;
    const void *before;

    for (unsigned i = 0;; i++) {
        if (*at == NULL)
            *at = arena_zalloc(networks->arena, sizeof **at);
        if (*at == NULL)
            return NETWORK_NO_MEMORY;
        if (i == block->prefix_bits)
            break;
        at = &(*at)->child[bit_of(block->bytes, i)];
    }
    before = (*at)->value;
    (*at)->value = value;
    return before == NULL ? NETWORK_ADDED : NETWORK_REPLACED;
}

static const void *walk(const struct network_node *node, const unsigned char *bytes, unsigned bits)
{
    const void *value = NULL;

    for (unsigned i = 0; node != NULL; i++) {
        if (node->value != NULL)
            value = node->value;
        node = i == bits ? NULL : node->child[bit_of(bytes, i)];
    }
    return value;
}

/* ---- ranges */

static bool to_bytes(const struct address *address, unsigned char bytes[ADDRESS_BYTES])
{
    if (address->any.sa_family == AF_INET6) {
        memcpy(bytes, &address->in6.sin6_addr, ADDRESS_BYTES);
        return true;
    }
    memcpy(bytes, mapped, sizeof mapped);
    if (address->any.sa_family == AF_INET)
        memcpy(bytes + sizeof mapped, &address->in.sin_addr, 4);
    return address->any.sa_family == AF_INET;
}

bool parse_address_range(struct slice text, struct address_range *range)
{
    struct slice rest = text;
    struct slice first;
    struct address from;
    struct address to;

    if (!slice_split(&rest, '-', &first) || !address_parse_ip(slice_trim(first), 0, &from))
        return false;
    if (rest.data == NULL)
        to = from;
    else if (!address_parse_ip(slice_trim(rest), 0, &to) || to.any.sa_family != from.any.sa_family)
        return false;
    return to_bytes(&from, range->first) && to_bytes(&to, range->last) &&
           memcmp(range->first, range->last, ADDRESS_BYTES) <= 0;
}

static bool grow(struct networks *networks)
{
    size_t capacity = networks->range_capacity * 2 + 64;
    struct address_range *grown = arena_alloc(networks->arena, capacity * sizeof *grown);

    if (grown == NULL)
        return false;
    if (networks->range_count > 0)
        memcpy(grown, networks->ranges, networks->range_count * sizeof *grown);
    networks->ranges = grown;
    networks->range_capacity = capacity;
    return true;
}

bool networks_add_range(struct networks *networks, const struct address_range *range)
{
    if (networks->range_count == networks->range_capacity && !grow(networks))
        return false;
    networks->ranges[networks->range_count] = *range;
    networks->ranges[networks->range_count].order = (unsigned)networks->range_count;
    networks->range_count++;
    return true;
}

/* By beginning; of several that begin together the wider first, of equal ones the earlier. */
static int compare(const void *a, const void *b)
{
    const struct address_range *x = a;
    const struct address_range *y = b;
    int order = memcmp(x->first, y->first, ADDRESS_BYTES);

    if (order == 0)
        order = memcmp(y->last, x->last, ADDRESS_BYTES);
    if (order == 0)
        order = x->order < y->order ? -1 : 1;
    return order;
}

/* False: there is none beyond the last one. */
static bool step_up(unsigned char bytes[ADDRESS_BYTES])
{
    for (int i = ADDRESS_BYTES - 1; i >= 0; i--) {
        if (++bytes[i] != 0)
            return true;
    }
    return false;
}

static void step_down(unsigned char bytes[ADDRESS_BYTES])
{
    for (int i = ADDRESS_BYTES - 1; i >= 0 && bytes[i]-- == 0; i--)
        continue;
}

/* The sweep over sorted ranges: those that are open lie in each other, the innermost last. */
struct sweep {
    struct address_range *out;
    size_t out_count;
    const struct address_range **open;
    size_t open_count;
    unsigned char at[ADDRESS_BYTES]; /* first address not written yet */
};

static void write_until(struct sweep *sweep, const unsigned char last[ADDRESS_BYTES])
{
    struct address_range *piece = &sweep->out[sweep->out_count];

    if (memcmp(sweep->at, last, ADDRESS_BYTES) > 0)
        return;
    *piece = *sweep->open[sweep->open_count - 1];
    memcpy(piece->first, sweep->at, ADDRESS_BYTES);
    memcpy(piece->last, last, ADDRESS_BYTES);
    sweep->out_count++;
    memcpy(sweep->at, last, ADDRESS_BYTES);
    (void)step_up(sweep->at);
}

/* Ends the open ranges that lie before `first` (NULL: all). */
static void close_before(struct sweep *sweep, const unsigned char *first)
{
    while (sweep->open_count > 0) {
        const struct address_range *inner = sweep->open[sweep->open_count - 1];

        if (first != NULL && memcmp(inner->last, first, ADDRESS_BYTES) >= 0)
            return;
        write_until(sweep, inner->last);
        sweep->open_count--;
    }
}

static bool open_range(struct sweep *sweep, const struct address_range *range)
{
    unsigned char before[ADDRESS_BYTES];

    close_before(sweep, range->first);
    if (sweep->open_count > 0) {
        const struct address_range *outer = sweep->open[sweep->open_count - 1];

        if (memcmp(range->last, outer->last, ADDRESS_BYTES) > 0)
            return false;
        memcpy(before, range->first, ADDRESS_BYTES);
        step_down(before);
        if (memcmp(outer->first, range->first, ADDRESS_BYTES) < 0)
            write_until(sweep, before);
    }
    memcpy(sweep->at, range->first, ADDRESS_BYTES);
    sweep->open[sweep->open_count++] = range;
    return true;
}

bool networks_finish(struct networks *networks, const struct address_range **overlap)
{
    size_t count = networks->range_count;
    struct sweep sweep = {0};

    *overlap = NULL;
    if (count == 0)
        return true;
    qsort(networks->ranges, count, sizeof *networks->ranges, compare);
    sweep.out = arena_alloc(networks->arena, 2 * count * sizeof *sweep.out);
    sweep.open = arena_alloc(networks->arena, count * sizeof(struct address_range *));
    if (sweep.out == NULL || sweep.open == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!open_range(&sweep, &networks->ranges[i])) {
            *overlap = &networks->ranges[i];
            return false;
        }
    }
    close_before(&sweep, NULL);
    networks->ranges = sweep.out;
    networks->range_count = sweep.out_count;
    return true;
}

static const void *find_range(const struct networks *networks,
                              const unsigned char bytes[ADDRESS_BYTES])
{
    size_t low = 0;
    size_t high = networks->range_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct address_range *range = &networks->ranges[middle];

        if (memcmp(bytes, range->first, ADDRESS_BYTES) < 0)
            high = middle;
        else if (memcmp(bytes, range->last, ADDRESS_BYTES) > 0)
            low = middle + 1;
        else
            return range->value;
    }
    return NULL;
}

const void *networks_find(const struct networks *networks, const struct address *address)
{
    unsigned char bytes[ADDRESS_BYTES];

    if (!to_bytes(address, bytes))
        return NULL;
    if (networks->range_count > 0)
        return find_range(networks, bytes);
    if (memcmp(bytes, mapped, sizeof mapped) == 0)
        return walk(networks->v4, bytes + sizeof mapped, 32);
    return walk(networks->v6, bytes, 128);
}
