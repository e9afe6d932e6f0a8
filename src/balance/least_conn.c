/* The peer with the fewest requests under way in all loops, by weight; equals take turns in the
 * smooth weighted order. Runs in: worker, loop thread, under the upstream's lock. */
#include "balance/algorithm_internal.h"
#include "balance/health_internal.h"
#include "balance/upstream.h"
#include "event/loop.h"

#include <stddef.h>

/* slow_start: less of the weight counts at first. */
static uint64_t weight_now(const struct pick *pick, const struct peer *peer)
{
    return (uint64_t)peer->server->weight * health_share(peer, loop_now_ms(pick->loop));
}

/* Requests per weight, compared without dividing: <0, 0, >0. */
static int compare_load(const struct pick *pick, const struct peer *a, const struct peer *b)
{
    uint64_t x = atomic_load_explicit(&a->state->active, memory_order_relaxed) *
                 weight_now(pick, b);
    uint64_t y = atomic_load_explicit(&b->state->active, memory_order_relaxed) *
                 weight_now(pick, a);

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
        order = best == NULL ? -1 : compare_load(pick, &peers[i], best);
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
        if (pick_may_use(pick, i) && compare_load(pick, &peers[i], best) == 0 &&
            round_robin_has_turn(pick, &peers[i]))
            round_robin_offer(&turn, &peers[i]);
    }
    return round_robin_take(&turn) != NULL ? turn.best : best;
}

const struct algorithm least_conn_algorithm = {
    .name = "least_conn",
    .choose = choose,
};
