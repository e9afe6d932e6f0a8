/* Round robin in nginx's smooth weighted order.
 *
 * Every candidate gains its effective weight; the one that has most is taken and pays the sum of
 * all. So {5, 1, 1} gives a a b a c a a, not a a a a a b c. A failure lowers the effective weight,
 * every turn gives one unit back. Runs in: worker, loop thread, under the upstream's lock. */
#include "balance/algorithm_internal.h"
#include "balance/health_internal.h"
#include "balance/upstream.h"
#include "event/loop.h"

#include <stddef.h>

void round_robin_offer(struct round_robin *turn, struct peer *peer)
{
    peer->current_weight += peer->effective_weight;
    turn->total += peer->effective_weight;
    if (peer->effective_weight < peer->server->weight)
        peer->effective_weight++;
    if (turn->best == NULL || peer->current_weight > turn->best->current_weight)
        turn->best = peer;
}

struct peer *round_robin_take(struct round_robin *turn)
{
    if (turn->best != NULL)
        turn->best->current_weight -= turn->total;
    return turn->best;
}

bool round_robin_has_turn(const struct pick *pick, const struct peer *peer)
{
    unsigned share = health_share(peer, loop_now_ms(pick->loop));
    unsigned credit;

    if (share == HEALTH_FULL)
        return true;
    credit = share + atomic_load_explicit(&peer->state->slow_credit, memory_order_relaxed);
    atomic_store_explicit(&peer->state->slow_credit, credit % HEALTH_FULL, memory_order_relaxed);
    return credit >= HEALTH_FULL;
}

struct peer *round_robin_choose(struct pick *pick, const struct group *group)
{
    unsigned end = group->first + group->count;
    struct round_robin turn = {0};

    for (unsigned i = group->first; i < end; i++) {
        if (pick_may_use(pick, i) && round_robin_has_turn(pick, &pick->set->peers[i]))
            round_robin_offer(&turn, &pick->set->peers[i]);
    }
    for (unsigned i = group->first; turn.best == NULL && i < end; i++) {
        if (pick_may_use(pick, i)) /* a slow one is better than nobody */
            round_robin_offer(&turn, &pick->set->peers[i]);
    }
    return round_robin_take(&turn);
}

const struct algorithm round_robin_algorithm = {
    .name = "round_robin",
    .choose = round_robin_choose,
};
