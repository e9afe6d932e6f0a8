/* Goal: instances may come and go while all loops pick, wait and report. Method: threads that do,
 * each with a loop of its own, and one that tells of changes; ThreadSanitizer must be content. */
#include "balance/wait.h"
#include "tests/unit/balance/bench.h"

#include <pthread.h>
#include <stdio.h>

enum { THREADS = 3, REQUESTS = 2000 };

static struct {
    struct loop *loops[THREADS + 1];
    struct balance *balance;
    struct upstream *upstream;
    atomic_uint running;
} at;

static void on_change(void *data)
{
    pick_wait_end(data);
}

static void ask_once(struct loop *loop)
{
    struct pick pick;
    const struct waiting waiting = {
        .wait_ms = 60000, .limit = 1000, .on_change = on_change, .data = &pick};
    uint64_t rest_ms;

    pick_begin(&pick, at.upstream, NULL, loop);
    while (pick_next(&pick) == PICK_WAIT) {
        if (pick_wait(&pick, &waiting, &rest_ms) != WAIT_BEGUN)
            continue;
        while (pick.waiter != NULL)
            loop_turn(loop, 1000);
    }
    CHECK(pick.peer != NULL);
    pick_report(&pick, OUTCOME_OK);
    pick_end(&pick);
}

static void *ask_many(void *data)
{
    for (int i = 0; i < REQUESTS; i++)
        ask_once(data);
    atomic_fetch_sub(&at.running, 1);
    return NULL;
}

static const char *const notices[] = {
    "web online 2\n0 127.0.0.1:1 ready\n1 127.0.0.1:2 ready",
    "web online 2\n0 127.0.0.1:1 draining\n1 127.0.0.1:2 ready",
    "web starting 2\n1 127.0.0.1:2 draining",
    "web idle 2",
    "web online 2\n0 127.0.0.1:1 ready",
};

TEST(instances_come_and_go_under_load)
{
    struct arena *arena = arena_new(4096);
    struct upstreams *upstreams = upstreams_new(arena);
    struct server server = server_default();
    pthread_t threads[THREADS];

    log_process.level = LOG_LEVEL_EMERG;
    for (unsigned i = 0; i <= THREADS; i++)
        at.loops[i] = loop_new(i);
    at.balance = balance_new(at.loops, THREADS + 1);
    at.upstream = upstream_new(upstreams, slice_of("web"));
    server.kind = SERVER_APP;
    server.name = slice_of("web");
    CHECK_EQ(upstream_add(upstreams, at.upstream, &server, 80), SERVER_ADDED);
    CHECK(balance_start(at.balance, upstreams));
    balance_take_app(at.balance, 1, slice_of("web starting 1"));
    atomic_store(&at.running, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, ask_many, at.loops[i + 1]);
    for (unsigned i = 0; atomic_load(&at.running) > 0; i++) {
        balance_take_app(at.balance, 1, slice_of(notices[i % COUNT(notices)]));
        loop_turn(at.loops[0], 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    arena_drop(arena);
    balance_free(at.balance);
    for (unsigned i = 0; i <= THREADS; i++)
        loop_free(at.loops[i]);
}
