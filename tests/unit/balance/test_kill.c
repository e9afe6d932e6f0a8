/* Goal: two backends that die and return by turns cost no request, and the death of both is over
 * within a second of their return. Method: two loops in two threads ask for a connection every few
 * ms, as two loops of a worker do; the test opens and closes the listening sockets meanwhile. */
#include "tests/unit/balance/bench.h"

#include "event/socket.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { LOOPS = 2, ROUNDS = 4 };

static struct {
    struct loop *loops[LOOPS];
    struct upstream *upstream;
    atomic_bool stop;
    atomic_uint asked, failed;
    char names[2][64];
} at;

static bool ask(struct loop *loop)
{
    struct pick pick;
    bool answered = false;

    pick_begin(&pick, at.upstream, NULL, loop);
    while (!answered && pick_next(&pick) == PICK_PEER) {
        struct connect_options options = {0};
        bool done;
        int fd = socket_connect(peer_address(pick.peer), &options, &done);

        answered = fd >= 0;
        if (fd >= 0)
            close(fd);
        pick_report(&pick, answered ? OUTCOME_OK : OUTCOME_REFUSED);
    }
    pick_end(&pick);
    return answered;
}

static void *run(void *data)
{
    struct loop *loop = data;

    while (!atomic_load(&at.stop)) {
        atomic_fetch_add(&at.failed, !ask(loop));
        atomic_fetch_add(&at.asked, 1);
        loop_turn(loop, 5);
    }
    return NULL;
}

static int listen_at(const char *name)
{
    struct listen_options options = {.backlog = 1024};

    CHECK(address_parse(slice_of(name), 0, &options.address));
    return socket_listen(&options);
}

static void stop_listening(int *fd, const char *name)
{
    close(*fd);
    unlink(name + 5);
    *fd = -1;
}

static bool is_out(unsigned index)
{
    struct peer_set *set = upstream_peers(at.upstream);
    bool out = atomic_load(&set->peers[index].state->failed_ms) != 0;

    peer_set_unref(set);
    return out;
}

/* At most 1.5 s: the longest pause between two probes, and some for a busy machine. */
static void wait_until(unsigned index, bool out)
{
    for (int i = 0; i < 150 && is_out(index) != out; i++)
        usleep(10000);
    CHECK_EQ(is_out(index), out);
}

TEST(killing_one_of_two_by_turns_costs_no_request)
{
    struct arena *arena = arena_new(4096);
    struct upstreams *upstreams = upstreams_new(arena);
    struct balance *balance;
    pthread_t threads[LOOPS];
    int fds[2];

    for (unsigned i = 0; i < LOOPS; i++)
        at.loops[i] = loop_new(i);
    balance = balance_new(at.loops, LOOPS);
    at.upstream = upstream_new(upstreams, slice_of("app"));
    for (unsigned i = 0; i < 2; i++) {
        struct server server = server_default();

        snprintf(at.names[i], sizeof(at.names[i]), "unix:/tmp/pelayan-kill-%d-%u", (int)getpid(),
                 i);
        server.name = slice_of(at.names[i]);
        CHECK_EQ(upstream_add(upstreams, at.upstream, &server, 80), SERVER_ADDED);
        fds[i] = listen_at(at.names[i]);
    }
    CHECK(balance_start(balance, upstreams));
    for (unsigned i = 0; i < LOOPS; i++)
        pthread_create(&threads[i], NULL, run, at.loops[i]);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned victim = round % 2;

        stop_listening(&fds[victim], at.names[victim]);
        wait_until(victim, true);
        usleep(200000);
        fds[victim] = listen_at(at.names[victim]);
        wait_until(victim, false);
    }
    atomic_store(&at.stop, true);
    for (unsigned i = 0; i < LOOPS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(atomic_load(&at.failed), 0, "of %u", atomic_load(&at.asked));
    CHECK(atomic_load(&at.asked) > 50);
    for (unsigned i = 0; i < 2; i++)
        stop_listening(&fds[i], at.names[i]);
    arena_drop(arena);
    balance_free(balance);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_free(at.loops[i]);
}
