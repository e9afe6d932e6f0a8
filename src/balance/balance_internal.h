/* The inside of struct balance. Runs in: worker, any thread. */
#pragma once

#include "balance/balance.h"
#include "balance/registry_internal.h"

struct balance_loop {
    struct loop *loop;     /* borrowed */
    struct pool *pool;     /* owned */
    struct probes *probes; /* owned */
    struct nudge *sweep;   /* owned: connections to instances that leave are to be closed */
};

struct balance {
    struct registry registry;
    struct resolver *resolver; /* owned */
    struct roster *roster;     /* owned */
    unsigned loop_count;
    struct balance_loop loops[];
};

struct probes *balance_probes(struct balance *balance, const struct loop *loop);

struct pool *pool_new(struct loop *loop);
void pool_free(struct pool *pool);

/* Closes idle connections to instances that leave. */
void pool_close_retired(struct pool *pool);
