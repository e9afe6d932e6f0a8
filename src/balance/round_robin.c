/* Round robin in nginx's smooth weighted order.
 *
 * Every candidate gains its effective weight; the one that has most is taken and pays the sum of
 * all. So {5, 1, 1} gives a a b a c a a, not a a a a a b c. A failure lowers the effective weight,
 * every turn gives one unit back. Runs in: worker, loop thread, under the upstream's lock. */
#include "balance/algorithm_internal.h"
#include "balance/upstream.h"

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

struct peer *round_robin_choose(struct pick *pick, const struct group *group)
{
    struct round_robin turn = {0};

    for (unsigned i = group->first; i < group->first + group->count; i++) {
        if (pick_may_use(pick, i))
            round_robin_offer(&turn, &pick->set->peers[i]);
    }
    return round_robin_take(&turn);
}

const struct algorithm round_robin_algorithm = {
    .name = "round_robin",
    .choose = round_robin_choose,
};
