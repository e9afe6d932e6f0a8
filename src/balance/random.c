/* random [two]: a random peer by weight; of two random ones the less loaded.
 * Runs in: worker, loop thread, under the upstream's lock. */
#include "balance/algorithm_internal.h"
#include "balance/upstream.h"

#include <stddef.h>
#include <sys/random.h>

/* xorshift64*: spreading load needs no secrets. */
static uint64_t random_next(void)
{
    static _Thread_local uint64_t seed;

    if (seed == 0 && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
        seed = (uint64_t)(uintptr_t)&seed;
    seed |= seed == 0;
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545f4914f6cdd1du >> 32;
}

/* A peer that may be used and is not `other`, or NULL after too many misses. */
static struct peer *draw(struct pick *pick, const struct group *group, const struct peer *other)
{
    do {
        unsigned weight = (unsigned)(random_next() % group->total_weight);
        unsigned index = group_at_weight(pick->set, group, weight);

        if (&pick->set->peers[index] != other && pick_may_use(pick, index))
            return &pick->set->peers[index];
    } while (pick_miss(pick));
    return NULL;
}

static struct peer *choose(struct pick *pick, const struct group *group)
{
    struct peer *peer = group->count < 2 ? NULL : draw(pick, group, NULL);

    return peer != NULL ? peer : round_robin_choose(pick, group);
}

static bool is_busier(const struct peer *a, const struct peer *b)
{
    uint64_t a_active = atomic_load_explicit(&a->state->active, memory_order_relaxed);
    uint64_t b_active = atomic_load_explicit(&b->state->active, memory_order_relaxed);

    return a_active * (uint64_t)b->server->weight > b_active * (uint64_t)a->server->weight;
}

static struct peer *choose_two(struct pick *pick, const struct group *group)
{
    struct peer *first = group->count < 2 ? NULL : draw(pick, group, NULL);
    struct peer *second = first == NULL ? NULL : draw(pick, group, first);

    if (second == NULL)
        return round_robin_choose(pick, group);
    return is_busier(second, first) ? first : second;
}

const struct algorithm random_algorithm = {
    .name = "random",
    .refused = SERVER_BACKUP | SERVER_SLOW_START,
    .choose = choose,
};

const struct algorithm random_two_algorithm = {
    .name = "random two",
    .refused = SERVER_BACKUP | SERVER_SLOW_START,
    .choose = choose_two,
};
