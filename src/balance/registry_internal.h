/* All peer states of a worker, found by upstream name and address. Runs in: worker, any thread. */
#pragma once

#include "balance/peer.h"

#include <pthread.h>

struct registry {
    pthread_mutex_t lock;
    struct peer_state **buckets; /* owned */
    size_t bucket_count;         /* power of two */
    size_t count;
};

struct peer_key {
    struct slice upstream;
    const struct address *address;
    unsigned ordinal; /* of equal addresses in one set */
};

bool registry_init(struct registry *registry);
void registry_fini(struct registry *registry); /* no state may be in use any more */

/* The state of that peer, made at first use, with a reference for the caller. NULL: no memory. */
struct peer_state *registry_get(struct registry *registry, const struct peer_key *key);
