/* Goal: loops may pick, report and replace peers at the same time.
 * Method: threads that do, each with a loop of its own; the sums must agree, and ThreadSanitizer
 * must be content. */
#include "tests/unit/balance/bench.h"

#include <pthread.h>

enum { THREADS = 4, PICKS = 3000 };

static struct {
    struct arena *arena;
    struct loop *loops[THREADS];
    struct balance *balance;
    struct upstream *upstream;
} at;

static void *pick_many(void *data)
{
    struct loop *loop = data;

    for (int i = 0; i < PICKS; i++) {
        struct pick pick;

        pick_begin(&pick, at.upstream, NULL, loop);
        CHECK_EQ(pick_next(&pick), PICK_PEER);
        if (i % 64 == 0) {
            pick_report(&pick, OUTCOME_STATUS);
            CHECK_EQ(pick_next(&pick), PICK_PEER);
        }
        pick_report(&pick, OUTCOME_OK);
        pick_end(&pick);
    }
    return NULL;
}

static void run_with(const struct algorithm *algorithm)
{
    struct upstreams *upstreams;
    pthread_t threads[THREADS];
    struct peer_set *set;
    uint64_t requests = 0;

    log_process.level = LOG_LEVEL_ALERT; /* thousands of returns are not worth a line each */
    at.arena = arena_new(4096);
    for (unsigned i = 0; i < THREADS; i++)
        at.loops[i] = loop_new(i);
    at.balance = balance_new(at.loops, THREADS);
    upstreams = upstreams_new(at.arena);
    at.upstream = upstream_new(upstreams, slice_of("app"));
    at.upstream->algorithm = algorithm;
    for (int i = 0; i < 3; i++) {
        struct server server = weighing(i + 1);

        server.name = slice_of("127.0.0.1:1"); /* the same address three times: three peers */
        CHECK_EQ(upstream_add(upstreams, at.upstream, &server, 80), SERVER_ADDED);
    }
    CHECK(balance_start(at.balance, upstreams));
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, pick_many, at.loops[i]);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    set = upstream_peers(at.upstream);
    for (unsigned i = 0; i < set->peer_count; i++) {
        requests += peer_state_counters(set->peers[i].state).requests;
        CHECK_EQ(atomic_load(&set->peers[i].state->active), 0);
    }
    CHECK_EQ(requests, THREADS * (PICKS + (PICKS + 63) / 64));
    peer_set_unref(set);
    arena_drop(at.arena);
    balance_free(at.balance);
    for (unsigned i = 0; i < THREADS; i++)
        loop_free(at.loops[i]);
}

TEST(round_robin_is_shared)
{
    run_with(&round_robin_algorithm);
}

TEST(least_conn_is_shared)
{
    run_with(&least_conn_algorithm);
}

TEST(random_is_shared)
{
    run_with(&random_two_algorithm);
}
