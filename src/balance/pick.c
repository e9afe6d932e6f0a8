/* Choosing peers for one request. Runs in: worker, loop thread. */
#include "balance/pick.h"

#include "balance/algorithm_internal.h"
#include "balance/balance_internal.h"
#include "balance/health_internal.h"
#include "balance/sources_internal.h"
#include "balance/upstream.h"
#include "balance/wait.h"
#include "balance/wait_internal.h"
#include "base/arena.h"
#include "config/variable.h"
#include "event/loop.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

enum {
    BITS = 64,
    MISSES_MAX = 20, /* of a method that hashes or draws: then round robin, as in nginx */
    LOOKS_MAX = 8,   /* at instances that come back while nobody is found */
    EWMA_SHARE = 8,  /* a new sample counts for an eighth */
};

/* ---- peers tried. Without memory for a bitmap of a large set bits are shared, and some peers are
 * left out. */

static bool was_tried(const struct pick *pick, unsigned index)
{
    if (pick->tried == &pick->tried_few)
        return pick->tried_few >> index % BITS & 1;
    return pick->tried[index / BITS] >> index % BITS & 1;
}

static void set_tried(struct pick *pick, unsigned index)
{
    if (pick->tried == &pick->tried_few)
        pick->tried_few |= (uint64_t)1 << index % BITS;
    else
        pick->tried[index / BITS] |= (uint64_t)1 << index % BITS;
}

static void forget_tried(struct pick *pick)
{
    unsigned words = pick->set == NULL ? 0 : (pick->set->peer_count + BITS - 1) / BITS;

    pick->tried = &pick->tried_few;
    pick->tried_few = 0;
    if (words > 1 && pick->subject != NULL) {
        pick->tried = arena_zalloc(pick->subject->arena, words * sizeof(uint64_t));
        if (pick->tried == NULL)
            pick->tried = &pick->tried_few;
    }
}

/* ---- what methods ask */

/* An old set may name instances that have died or drain by now. */
static bool has_left(const struct peer *peer)
{
    return peer->instance != NULL &&
           !atomic_load_explicit(&peer->instance->ready, memory_order_relaxed);
}

bool pick_may_use(struct pick *pick, unsigned index)
{
    const struct peer *peer = &pick->set->peers[index];
    bool failed;

    if (was_tried(pick, index) || peer->server->down || has_left(peer))
        return false;
    failed = health_failed(peer, pick->set->single, loop_now_ms(pick->loop));
    if (failed && (!pick->last_resort || health_silent(peer->state)))
        return false;
    if (peer->server->max_conns > 0 &&
        atomic_load_explicit(&peer->state->active, memory_order_relaxed) >=
            peer->server->max_conns) {
        pick->busy = true;
        return false;
    }
    return true;
}

bool pick_miss(struct pick *pick)
{
    return ++pick->misses <= MISSES_MAX;
}

unsigned group_at_weight(const struct peer_set *set, const struct group *group, unsigned weight)
{
    unsigned index = group->first;

    assert(weight < group->total_weight);
    while (weight >= (unsigned)set->peers[index].server->weight) {
        weight -= (unsigned)set->peers[index].server->weight;
        index++;
    }
    assert(index < group->first + group->count);
    return index;
}

/* ---- choosing */

static struct group primaries(const struct peer_set *set)
{
    return (struct group){.count = set->primary_count, .total_weight = set->total_weight[0]};
}

static struct group backups(const struct peer_set *set)
{
    return (struct group){.first = set->primary_count,
                          .count = set->peer_count - set->primary_count,
                          .total_weight = set->total_weight[1]};
}

static struct peer *choose_in_rotation(struct pick *pick)
{
    const struct algorithm *method = pick->upstream->algorithm;
    struct group first = primaries(pick->set);
    struct group then = backups(pick->set);
    struct peer *peer;

    if (pick->misses > MISSES_MAX)
        method = &round_robin_algorithm;
    peer = method->choose(pick, &first);
    if (peer == NULL && then.count > 0)
        peer = method->choose(pick, &then);
    return peer;
}

/* Peers marked failed: better than a 502 without having asked. */
static struct peer *choose_last_resort(struct pick *pick)
{
    struct group first = primaries(pick->set);
    struct group then = backups(pick->set);
    struct peer *peer;

    pick->last_resort = true;
    peer = round_robin_choose(pick, &first);
    if (peer == NULL && then.count > 0)
        peer = round_robin_choose(pick, &then);
    return peer;
}

/* False: it has left in this moment. */
static bool begin_attempt(struct pick *pick, struct peer *peer)
{
    struct peer_state *state = peer->state;
    uint64_t now_ms = loop_now_ms(pick->loop);
    uint64_t checked_ms = atomic_load_explicit(&state->checked_ms, memory_order_relaxed);

    if (peer->instance != NULL && !app_instance_begin(peer->instance, pick->tries == 0))
        return false;
    set_tried(pick, (unsigned)(peer - pick->set->peers));
    /* After fail_timeout one request tries it; the others wait for how that ends. */
    if (now_ms > checked_ms + peer->server->fail_timeout_ms)
        atomic_store_explicit(&state->checked_ms, now_ms, memory_order_relaxed);
    atomic_fetch_add_explicit(&state->active, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&state->requests, 1, memory_order_relaxed);
    pick->peer = peer;
    pick->begun_ms = now_ms;
    pick->tries++;
    return true;
}

static bool choose_single(struct pick *pick)
{
    return pick_may_use(pick, 0) && begin_attempt(pick, &pick->set->peers[0]);
}

/* The lock covers the counting, so that max_conns holds for all loops. */
static bool choose_locked(struct pick *pick)
{
    struct peer *peer;

    pthread_mutex_lock(&pick->upstream->lock);
    do {
        peer = pick->last_resort ? NULL : choose_in_rotation(pick);
        if (peer == NULL)
            peer = choose_last_resort(pick);
    } while (peer != NULL && !begin_attempt(pick, peer));
    pthread_mutex_unlock(&pick->upstream->lock);
    return peer != NULL;
}

static bool choose(struct pick *pick)
{
    if (pick->set == NULL)
        return false;
    if (pick->set->single && pick->set->peers[0].server->max_conns == 0)
        return choose_single(pick);
    return choose_locked(pick);
}

/* ---- the set may be replaced while a pick is under way */

static struct peer_set *current_set(struct upstream *upstream)
{
    if (!upstream->dynamic)
        return atomic_load_explicit(&upstream->set, memory_order_acquire);
    return upstream_peers(upstream);
}

static void release_set(struct pick *pick, struct peer_set *set)
{
    if (pick->upstream->dynamic)
        peer_set_unref(set);
}

/* The same address may be another process by now. */
static bool is_same(const struct peer *a, const struct peer *b)
{
    return a->state == b->state && a->instance == b->instance;
}

/* Peers that were tried in `old` count as tried in the set the pick has now. */
static void carry_tried(struct pick *pick, const struct pick *old)
{
    for (unsigned i = 0; old->set != NULL && i < old->set->peer_count; i++) {
        if (!was_tried(old, i))
            continue;
        for (unsigned j = 0; j < pick->set->peer_count; j++) {
            if (is_same(&pick->set->peers[j], &old->set->peers[i]))
                set_tried(pick, j);
        }
    }
}

/* True: there is another set now, and the pick has moved to it. */
static bool move_on(struct pick *pick)
{
    struct pick old = *pick;
    struct peer_set *set;

    if (!pick->upstream->dynamic)
        return false;
    set = upstream_peers(pick->upstream);
    if (set == NULL || set == pick->set) {
        peer_set_unref(set);
        return false;
    }
    if (old.tried == &pick->tried_few)
        old.tried = &old.tried_few;
    pick->set = set;
    pick->keyed = false;
    pick->last_resort = false;
    pick->busy = false;
    forget_tried(pick);
    carry_tried(pick, &old);
    release_set(pick, old.set);
    return true;
}

/* ---- the public face */

void pick_begin(struct pick *pick, struct upstream *upstream, struct subject *subject,
                struct loop *loop)
{
    if (upstream->stands_for != NULL)
        upstream = upstream->stands_for;
    *pick = (struct pick){.upstream = upstream, .subject = subject, .loop = loop};
    pick->set = current_set(upstream);
    forget_tried(pick);
    if (upstream->algorithm->begin != NULL)
        upstream->algorithm->begin(pick);
}

static unsigned changes_of(const struct pick *pick)
{
    const struct sources *sources = pick->upstream->sources;

    return sources == NULL ? 0 : atomic_load_explicit(&sources->changes, memory_order_acquire);
}

/* An instance may be told as leaving and, before the news of its return has been counted, be ready
 * again: whoever looked in between has seen nobody and has nothing to wait for. */
static bool is_back(const struct pick *pick)
{
    for (unsigned i = 0; pick->set != NULL && i < pick->set->peer_count; i++) {
        const struct app_instance *instance = pick->set->peers[i].instance;

        if (instance != NULL && !was_tried(pick, i) &&
            atomic_load_explicit(&instance->ready, memory_order_seq_cst))
            return true;
    }
    return false;
}

/* What changes while it looks is looked at, too; what changes afterwards is not missed by who then
 * waits. */
static enum pick_result look(struct pick *pick)
{
    unsigned looks = 0;

    do {
        do {
            pick->changes = changes_of(pick);
            if (choose(pick))
                return PICK_PEER;
        } while (move_on(pick));
        if (pick_hopes(pick))
            return PICK_WAIT;
    } while (pick->changes != changes_of(pick) || (is_back(pick) && ++looks < LOOKS_MAX));
    if (pick->set == NULL)
        return PICK_UNRESOLVED;
    return pick->busy ? PICK_BUSY : PICK_NONE;
}

enum pick_result pick_next(struct pick *pick)
{
    assert(pick->peer == NULL);
    pick->result = look(pick);
    return pick->result;
}

static void end_attempt(struct pick *pick)
{
    unsigned before = atomic_fetch_sub_explicit(&pick->peer->state->active, 1,
                                                memory_order_relaxed);

    assert(before > 0);
    if (pick->tunnel)
        app_instance_tunnel(pick->peer->instance, -1);
    if (pick->peer->instance != NULL)
        app_instance_end(pick->peer->instance);
    pick->tunnel = false;
    pick->peer = NULL;
}

static void lower_weight(struct upstream *upstream, struct peer *peer)
{
    pthread_mutex_lock(&upstream->lock);
    peer->effective_weight -= peer->server->weight / (int)peer->server->max_fails;
    if (peer->effective_weight < 0)
        peer->effective_weight = 0;
    pthread_mutex_unlock(&upstream->lock);
}

void pick_report(struct pick *pick, enum outcome outcome)
{
    struct balance *balance = pick->upstream->balance;
    struct health_report report = {
        .peer = pick->peer,
        .outcome = outcome,
        .begun_ms = pick->begun_ms,
        .now_ms = loop_now_ms(pick->loop),
        .single = pick->set->single,
        .last_resort = pick->last_resort,
        .probes = balance == NULL ? NULL : balance_probes(balance, pick->loop),
        .log = pick->subject == NULL ? NULL : pick->subject->log,
    };

    assert(pick->peer != NULL);
    pick->lost = pick->peer->instance != NULL &&
                 (outcome == OUTCOME_REFUSED || outcome == OUTCOME_RESET);
    if (health_note(&report))
        lower_weight(pick->upstream, pick->peer);
    end_attempt(pick);
}

static void average(atomic_uint *ewma_us, uint64_t sample_us)
{
    int64_t before = atomic_load_explicit(ewma_us, memory_order_relaxed);
    int64_t sample = sample_us > UINT32_MAX ? UINT32_MAX : (int64_t)sample_us;
    int64_t after = before == 0 ? sample : before + (sample - before) / EWMA_SHARE;

    /* Two loops at once may lose a sample: it is an average. */
    if (sample_us > 0)
        atomic_store_explicit(ewma_us, (unsigned)(after > 0 ? after : 1), memory_order_relaxed);
}

void pick_measure(struct pick *pick, const struct pick_times *times)
{
    assert(pick->peer != NULL);
    average(&pick->peer->state->connect_ewma_us, times->connect_us);
    average(&pick->peer->state->header_ewma_us, times->header_us);
    average(&pick->peer->state->response_ewma_us, times->response_us);
    if (pick->peer->instance != NULL) {
        const struct app_times all = {.queue_us = pick->waited_us + times->connect_us,
                                      .total_us = pick->waited_us + times->response_us};

        app_instance_answered(pick->peer->instance, &all);
    }
}

void pick_tunnel(struct pick *pick)
{
    assert(pick->peer != NULL && !pick->tunnel);
    pick->tunnel = pick->peer->instance != NULL;
    if (pick->tunnel)
        app_instance_tunnel(pick->peer->instance, 1);
}

bool pick_has_more(const struct pick *pick)
{
    struct pick asked;

    if (pick->set == NULL)
        return false;
    asked = *pick;
    if (asked.tried == &pick->tried_few)
        asked.tried = &asked.tried_few;
    asked.last_resort = true;
    for (unsigned i = 0; i < pick->set->peer_count; i++) {
        if (pick_may_use(&asked, i))
            return true;
    }
    return false;
}

void pick_end(struct pick *pick)
{
    if (pick->upstream == NULL)
        return;
    pick_wait_end(pick);
    if (pick->peer != NULL)
        end_attempt(pick);
    release_set(pick, pick->set);
    pick->set = NULL;
    pick->upstream = NULL;
}

const char *pick_why(const struct pick *pick)
{
    bool may_be_app = pick->upstream->has_apps && pick->result != PICK_BUSY;
    const char *app = may_be_app ? pick_app_why(pick) : NULL;

    if (app != NULL)
        return app;
    switch (pick->result) {
    case PICK_BUSY:
        return "all upstream servers have max_conns requests already";
    case PICK_UNRESOLVED:
        return "no server name of the upstream could be resolved yet";
    case PICK_PEER:
    case PICK_WAIT:
    case PICK_NONE:
        break;
    }
    return pick->tries > 0 ? "no live upstreams left" : "no live upstreams";
}
