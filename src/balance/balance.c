/* What all upstreams of a worker share. Runs in: worker. */
#include "balance/balance.h"

#include "balance/balance_internal.h"
#include "balance/health_internal.h"
#include "balance/nudge_internal.h"
#include "balance/pool.h"
#include "balance/resolver_internal.h"
#include "balance/roster_internal.h"
#include "event/loop.h"

#include <assert.h>
#include <stdlib.h>

static void sweep(void *data)
{
    pool_close_retired(data);
}

static bool begin_loop(struct balance_loop *place, struct loop *loop)
{
    place->loop = loop;
    place->pool = pool_new(loop);
    place->probes = probes_new(loop);
    place->sweep = place->pool == NULL ? NULL : nudge_new(loop, sweep, place->pool);
    return place->probes != NULL && place->sweep != NULL;
}

struct balance *balance_new(struct loop *const *loops, unsigned loop_count)
{
    struct balance *balance = calloc(1, sizeof(*balance) + loop_count * sizeof(balance->loops[0]));
    bool ok;

    if (balance == NULL)
        return NULL;
    balance->loop_count = loop_count;
    ok = registry_init(&balance->registry);
    for (unsigned i = 0; i < loop_count; i++) {
        assert(loop_index(loops[i]) == i);
        ok = begin_loop(&balance->loops[i], loops[i]) && ok;
    }
    balance->resolver = resolver_new();
    balance->roster = roster_new(loops[0]);
    if (!ok || balance->resolver == NULL || balance->roster == NULL) {
        balance_free(balance);
        return NULL;
    }
    return balance;
}

void balance_free(struct balance *balance)
{
    if (balance == NULL)
        return;
    resolver_free(balance->resolver);
    for (unsigned i = 0; i < balance->loop_count; i++) {
        nudge_free(balance->loops[i].sweep);
        probes_free(balance->loops[i].probes);
        pool_free(balance->loops[i].pool);
    }
    roster_free(balance->roster);
    registry_fini(&balance->registry);
    free(balance);
}

struct pool *balance_pool(struct balance *balance, const struct loop *loop)
{
    unsigned index = loop_index(loop);

    assert(index < balance->loop_count);
    return balance->loops[index].pool;
}

struct probes *balance_probes(struct balance *balance, const struct loop *loop)
{
    unsigned index = loop_index(loop);

    assert(index < balance->loop_count);
    return balance->loops[index].probes;
}

struct resolver *balance_resolver(struct balance *balance)
{
    return balance->resolver;
}

struct roster *balance_roster(struct balance *balance)
{
    return balance->roster;
}

void balance_take_app(struct balance *balance, uint64_t version, struct slice text)
{
    roster_take(balance->roster, version, text);
    for (unsigned i = 0; i < balance->loop_count; i++)
        nudge_send(balance->loops[i].sweep);
}
