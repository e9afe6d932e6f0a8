/* The peer with the fewest requests under way in all loops, by weight; equals take turns in the
 * smooth weighted order. Runs in: worker, loop thread, under the upstream's lock. */
#include "balance/algorithm_internal.h"
#include "balance/upstream.h"

#include <stddef.h>

/* Requests per weight, compared without dividing: <0, 0, >0. */
static int compare_load(const struct peer *a, const struct peer *b)
{
    uint64_t x = (uint64_t)atomic_load_explicit(&a->state->active, memory_order_relaxed) *
                 (uint64_t)b->server->weight;
    uint64_t y = (uint64_t)atomic_load_explicit(&b->state->active, memory_order_relaxed) *
                 (uint64_t)a->server->weight;

    return x < y ? -1 : x > y;
}

static struct peer *choose(struct pick *pick, const struct group *group)
{
    struct peer *peers = pick->set->peers;
    unsigned end = group->first + group->count;
    struct peer *best = NULL;
    struct round_robin turn = {0};
    bool several = false;

    for (unsigned i = group->first; i < end; i++) {
        int order;

        if (!pick_may_use(pick, i))
            continue;
        order = best == NULL ? -1 : compare_load(&peers[i], best);
        if (order < 0) {
            best = &peers[i];
            several = false;
        } else if (order == 0) {
            several = true;
        }
    }
    if (!several)
        return best;
    for (unsigned i = (unsigned)(best - peers); i < end; i++) {
        if (pick_may_use(pick, i) && compare_load(&peers[i], best) == 0)
            round_robin_offer(&turn, &peers[i]);
    }
    return round_robin_take(&turn) != NULL ? turn.best : best;
}

const struct algorithm least_conn_algorithm = {
    .name = "least_conn",
    .choose = choose,
};
