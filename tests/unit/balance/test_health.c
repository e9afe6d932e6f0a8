/* Goal: a peer whose connections fail is out of rotation, and back well within a second of its
 * return. Method: a unix socket that is not there, and then is. */
#include "tests/unit/balance/bench.h"

#include "event/socket.h"

#include <stdio.h>
#include <unistd.h>

static struct {
    struct bench bench;
    char names[2][64];
} at;

static void begin(uint64_t fail_timeout_ms)
{
    struct server server = server_default();

    server.fail_timeout_ms = fail_timeout_ms;
    bench_begin(&at.bench, &round_robin_algorithm);
    for (int i = 0; i < 2; i++) {
        snprintf(at.names[i], sizeof(at.names[i]), "unix:/tmp/pelayan-health-%d-%d", (int)getpid(),
                 i);
        bench_server(&at.bench, server, at.names[i]);
    }
    bench_start(&at.bench);
}

static int listen_at(const char *name)
{
    struct listen_options options = {.backlog = 16};

    CHECK(address_parse(slice_of(name), 0, &options.address));
    return socket_listen(&options);
}

/* Asks once, as a proxy would; the number of the peer that answered, or -1. */
static int ask(void)
{
    struct pick pick;
    int answer = -1;

    pick_begin(&pick, at.bench.upstream, NULL, at.bench.loop);
    while (answer < 0 && pick_next(&pick) == PICK_PEER) {
        struct connect_options options = {0};
        bool done;
        int fd = socket_connect(peer_address(pick.peer), &options, &done);

        if (fd >= 0) {
            close(fd);
            answer = pick.peer->server->name.data[pick.peer->server->name.len - 1] - '0';
        }
        pick_report(&pick, fd >= 0 ? OUTCOME_OK : OUTCOME_REFUSED);
    }
    pick_end(&pick);
    return answer;
}

static void turn_for(uint64_t ms)
{
    for (uint64_t until = loop_now_ms(at.bench.loop) + ms; loop_now_ms(at.bench.loop) < until;)
        loop_turn(at.bench.loop, 10);
}

static bool is_failed(int index)
{
    struct peer_set *set = upstream_peers(at.bench.upstream);
    bool failed = atomic_load(&set->peers[index].state->failed_ms) != 0;

    peer_set_unref(set);
    return failed;
}

static void wait_until_back(int index, uint64_t at_most_ms)
{
    uint64_t begun = loop_now_ms(at.bench.loop);

    while (is_failed(index) && loop_now_ms(at.bench.loop) < begun + at_most_ms)
        loop_turn(at.bench.loop, 10);
    CHECK(!is_failed(index));
}

TEST(a_refusing_peer_is_probed_and_comes_back)
{
    int second, first, answers = 0;

    begin(10000);
    second = listen_at(at.names[1]);
    CHECK_EQ(ask(), 1);
    CHECK(is_failed(0));
    turn_for(250);
    CHECK(is_failed(0), "still away");
    first = listen_at(at.names[0]);
    wait_until_back(0, 1100);
    for (int i = 0; i < 8; i++)
        answers += ask();
    CHECK(answers > 1 && answers < 7, "%d of 8 by the second", answers);
    close(first);
    close(second);
    unlink(at.names[0] + 5);
    unlink(at.names[1] + 5);
    bench_end(&at.bench);
}

TEST(all_are_asked_when_all_have_failed)
{
    int first;

    begin(10000);
    CHECK_EQ(ask(), -1);
    CHECK(is_failed(0));
    CHECK(is_failed(1));
    first = listen_at(at.names[0]);
    CHECK_EQ(ask(), 0, "the last resort");
    CHECK(!is_failed(0));
    close(first);
    unlink(at.names[0] + 5);
    bench_end(&at.bench);
}

TEST(a_probed_peer_stays_out_longer_than_fail_timeout)
{
    int second;

    begin(20);
    second = listen_at(at.names[1]);
    CHECK_EQ(ask(), 1);
    turn_for(60);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(ask(), 1);
    CHECK(is_failed(0));
    close(second);
    unlink(at.names[1] + 5);
    bench_end(&at.bench);
}
