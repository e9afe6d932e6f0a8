/* ip_hash: the same peer for the same client network, with nginx's numbers, so that clients keep
 * their peer when a config moves here. Of IPv4 the first three octets count, of IPv6 all sixteen.
 * Runs in: worker, loop thread, under the upstream's lock. */
#include "balance/algorithm_internal.h"
#include "balance/upstream.h"
#include "config/variable.h"

#include <stddef.h>

enum {
    HASH_START = 89,
    HASH_FACTOR = 113,
    HASH_MODULUS = 6271,
};

/* The bytes that count. A client without an internet address (unix:) counts as three zeros. */
static struct slice client_network(const struct address *client)
{
    static const char none[3];

    if (client != NULL && client->any.sa_family == AF_INET)
        return slice_make((const char *)&client->in.sin_addr, 3);
    if (client != NULL && client->any.sa_family == AF_INET6)
        return slice_make((const char *)&client->in6.sin6_addr, 16);
    return slice_make(none, sizeof(none));
}

static void begin(struct pick *pick)
{
    pick->key = client_network(pick->subject == NULL ? NULL : pick->subject->client);
    pick->hash = HASH_START;
}

static struct peer *choose(struct pick *pick, const struct group *group)
{
    while (group->count >= 2) {
        unsigned index;

        for (size_t i = 0; i < pick->key.len; i++) {
            pick->hash = (pick->hash * HASH_FACTOR + (unsigned char)pick->key.data[i]) %
                         HASH_MODULUS;
        }
        index = group_at_weight(pick->set, group, pick->hash % group->total_weight);
        if (pick_may_use(pick, index))
            return &pick->set->peers[index];
        if (!pick_miss(pick))
            break;
    }
    return round_robin_choose(pick, group);
}

const struct algorithm ip_hash_algorithm = {
    .name = "ip_hash",
    .refused = SERVER_BACKUP | SERVER_SLOW_START,
    .begin = begin,
    .choose = choose,
};
