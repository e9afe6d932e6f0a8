/* Methods of choosing: one row each. Runs in: worker, any thread, under the upstream's lock. */
#pragma once

#include "balance/peer.h"
#include "balance/pick.h"

#include <stdbool.h>
#include <stdint.h>

struct upstream;

/* The primaries or the backups of a set. */
struct group {
    unsigned first; /* index of the first peer in the set */
    unsigned count;
    unsigned total_weight;
};

enum server_parameter { /* bits: what a method cannot do */
                        SERVER_BACKUP = 1 << 0,
                        SERVER_SLOW_START = 1 << 1,
};

struct algorithm {
    const char *name; /* its directive, or "round_robin" */
    unsigned refused; /* enum server_parameter bits */
    /* Computes the key before the lock is taken. May be NULL. */
    void (*begin)(struct pick *pick);
    /* The peer, or NULL: nobody in the group may be used. Does not mark it as tried. */
    struct peer *(*choose)(struct pick *pick, const struct group *group);
    /* Fills set->ring of a new set; false: no memory. May be NULL. */
    bool (*prepare)(const struct upstream *upstream, struct peer_set *set);
};

extern const struct algorithm round_robin_algorithm;
extern const struct algorithm least_conn_algorithm;
extern const struct algorithm ip_hash_algorithm;
extern const struct algorithm hash_algorithm;
extern const struct algorithm consistent_hash_algorithm;
extern const struct algorithm random_algorithm;
extern const struct algorithm random_two_algorithm;

/* What every method asks of a peer: not tried by this pick, not down, in rotation (or the last
 * resort), below max_conns. */
bool pick_may_use(struct pick *pick, unsigned index);

/* nginx's smooth weighted order among the peers of a group. */
struct peer *round_robin_choose(struct pick *pick, const struct group *group);

/* slow_start: a peer that is back takes part in some of the turns, then in more and more. */
bool round_robin_has_turn(const struct pick *pick, const struct peer *peer);

/* One step of that order: a candidate gains its weight; the best so far is kept. */
struct round_robin {
    struct peer *best;
    int total;
};
void round_robin_offer(struct round_robin *turn, struct peer *peer);
struct peer *round_robin_take(struct round_robin *turn);

/* The peer at `weight` (0 .. group->total_weight - 1) when every peer is as long as its weight; its
 * index in the set. */
unsigned group_at_weight(const struct peer_set *set, const struct group *group, unsigned weight);

/* A place was found unusable: false when a method has looked at so many that it goes on in round
 * robin, as nginx does. */
bool pick_miss(struct pick *pick);
