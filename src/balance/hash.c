/* hash KEY [consistent]: the same peer for the same key.
 *
 * Both forms give the places nginx gives. Plain: CRC-32 of the key as Cache::Memcached uses it.
 * Consistent: a ketama ring of 160 points per weight, CRC-32 of HOST, NUL, PORT and the point
 * before, as Cache::Memcached::Fast uses it; a server that comes or goes moves only the keys near
 * its points. Instances of an app have points of their own, by their number, so that one that is
 * replaced keeps its keys. Runs in: worker, loop thread, under the upstream's lock; prepare: who
 * changes the sources, too. */
#include "balance/algorithm_internal.h"
#include "balance/roster_internal.h"
#include "balance/upstream.h"
#include "config/variable.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { POINTS_PER_WEIGHT = 160 };

struct point {
    uint32_t hash;
    unsigned order; /* the peer; of two equal hashes the server declared first keeps the place */
};

struct ring {
    size_t count;
    struct point points[];
};

static uint32_t crc(uint32_t hash, struct slice bytes)
{
    /* zlib takes NULL as "begin anew" */
    if (bytes.len == 0)
        return hash;
    return (uint32_t)crc32_z(hash, (const unsigned char *)bytes.data, bytes.len);
}

static void begin(struct pick *pick)
{
    struct template *key = pick->upstream->hash_key;

    if (key == NULL || pick->subject == NULL || !template_eval(key, pick->subject, &pick->key))
        pick->key = slice_make(NULL, 0);
}

/* The next place of the key: each further one is made from the key with a counter before it. */
static uint32_t next_place(struct pick *pick)
{
    char counter[16];
    uint32_t hash = 0;

    if (pick->rehash > 0) {
        int len = snprintf(counter, sizeof(counter), "%u", pick->rehash);

        hash = crc(hash, slice_make(counter, (size_t)len));
    }
    hash = crc(hash, pick->key);
    pick->rehash++;
    pick->hash += (hash >> 16) & 0x7fff;
    return pick->hash;
}

static struct peer *choose(struct pick *pick, const struct group *group)
{
    while (group->count >= 2 && pick->key.len > 0) {
        unsigned index = group_at_weight(pick->set, group, next_place(pick) % group->total_weight);

        if (pick_may_use(pick, index))
            return &pick->set->peers[index];
        if (!pick_miss(pick))
            break;
    }
    return round_robin_choose(pick, group);
}

const struct algorithm hash_algorithm = {
    .name = "hash",
    .refused = SERVER_BACKUP | SERVER_SLOW_START,
    .begin = begin,
    .choose = choose,
};

/* ---- consistent */

/* "host:8080" is cut before the digits; a name without port, and a path, are taken whole. */
static void split_name(struct slice name, struct slice *host, struct slice *port)
{
    size_t digits = 0;

    *host = name;
    *port = slice_make(NULL, 0);
    if (name.len >= 5 && strncasecmp(name.data, "unix:", 5) == 0) {
        *host = slice_skip(name, 5);
        return;
    }
    while (digits < name.len && name.data[name.len - digits - 1] >= '0' &&
           name.data[name.len - digits - 1] <= '9')
        digits++;
    if (digits < name.len && name.data[name.len - digits - 1] == ':') {
        *host = slice_head(name, name.len - digits - 1);
        *port = slice_skip(name, name.len - digits);
    }
}

static uint32_t base_of(const struct peer *peer)
{
    struct slice host, port;
    char number[16];

    if (peer->instance == NULL) {
        split_name(peer->server->name, &host, &port);
    } else {
        host = peer->server->name;
        port = slice_make(number,
                          (size_t)snprintf(number, sizeof(number), "%u", peer->instance->id));
    }
    return crc(crc(crc(0, host), slice_make("", 1)), port);
}

static void add_points(struct ring *ring, const struct peer *peer, unsigned order)
{
    uint32_t base = base_of(peer);
    uint32_t hash = 0;

    for (int i = 0; i < peer->server->weight * POINTS_PER_WEIGHT; i++) {
        char before[4] = {(char)(hash & 0xff), (char)(hash >> 8 & 0xff), (char)(hash >> 16 & 0xff),
                          (char)(hash >> 24)};

        hash = crc(base, slice_make(before, sizeof(before)));
        ring->points[ring->count++] = (struct point){.hash = hash, .order = order};
    }
}

static int compare_points(const void *a, const void *b)
{
    const struct point *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void drop_equals(struct ring *ring)
{
    size_t kept = 0;

    for (size_t i = 0; i < ring->count; i++) {
        if (kept == 0 || ring->points[kept - 1].hash != ring->points[i].hash)
            ring->points[kept++] = ring->points[i];
    }
    ring->count = kept;
}

/* Addresses of one server share its points: names of one server stand together in a set. */
static bool has_points(const struct peer_set *set, unsigned index)
{
    return index == 0 || set->peers[index].instance != NULL ||
           set->peers[index].server != set->peers[index - 1].server;
}

static bool prepare(const struct upstream *upstream, struct peer_set *set)
{
    size_t points = 0;
    struct ring *ring;

    (void)upstream;
    for (unsigned i = 0; i < set->primary_count; i++) {
        if (has_points(set, i))
            points += (size_t)set->peers[i].server->weight * POINTS_PER_WEIGHT;
    }
    ring = malloc(sizeof(*ring) + points * sizeof(struct point));
    if (ring == NULL)
        return false;
    ring->count = 0;
    for (unsigned i = 0; i < set->primary_count; i++) {
        if (has_points(set, i))
            add_points(ring, &set->peers[i], i);
    }
    assert(ring->count == points);
    qsort(ring->points, ring->count, sizeof(struct point), compare_points);
    drop_equals(ring);
    set->ring = ring;
    return true;
}

/* The first point at or after the hash; one past the last means the first. */
static uint32_t find_point(const struct ring *ring, uint32_t hash)
{
    size_t low = 0, high = ring->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ring->points[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low;
}

/* Of the addresses behind one server name, in turns. */
static struct peer *choose_of_server(struct pick *pick, const struct group *group,
                                     const struct server *server)
{
    struct round_robin turn = {0};

    for (unsigned i = group->first; i < group->first + group->count; i++) {
        struct peer *peer = &pick->set->peers[i];

        if (peer->server != server && !slice_eq(peer->server->name, server->name))
            continue;
        if (pick_may_use(pick, i))
            round_robin_offer(&turn, peer);
    }
    return round_robin_take(&turn);
}

static struct peer *choose_consistent(struct pick *pick, const struct group *group)
{
    const struct ring *ring = pick->set->ring;

    if (ring == NULL || ring->count == 0 || group->count < 2 || pick->key.len == 0)
        return round_robin_choose(pick, group);
    if (!pick->keyed) {
        pick->hash = find_point(ring, crc(0, pick->key));
        pick->keyed = true;
    }
    do {
        unsigned place = ring->points[pick->hash % ring->count].order;
        struct peer *peer = &pick->set->peers[place];

        if (peer->instance == NULL)
            peer = choose_of_server(pick, group, peer->server);
        else if (!pick_may_use(pick, place))
            peer = NULL;
        if (peer != NULL)
            return peer;
        pick->hash++;
    } while (pick_miss(pick));
    return round_robin_choose(pick, group);
}

const struct algorithm consistent_hash_algorithm = {
    .name = "hash consistent",
    .refused = SERVER_BACKUP | SERVER_SLOW_START,
    .begin = begin,
    .choose = choose_consistent,
    .prepare = prepare,
};
