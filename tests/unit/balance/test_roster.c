/* Goal: instances of apps are peers from when they are ready until they leave, requests wait for
 * one that is on its way, and the master hears of it. Method: notices as the master sends them, one
 * loop, picks as a relay makes them. */
#include "balance/balance_internal.h"
#include "balance/roster.h"
#include "balance/wait.h"
#include "tests/unit/balance/bench.h"

#include <stdio.h>
#include <stdlib.h>

static struct {
    unsigned wanted, loads;
    uint64_t version, loads_version;
    bool deaf;
    char load[500];
} master;

static bool on_wanted(void *data, struct slice name)
{
    (void)data;
    CHECK(slice_eq(name, slice_of("web")));
    master.wanted++;
    return !master.deaf;
}

static bool on_load(void *data, uint64_t version, struct slice text)
{
    (void)data;
    master.loads_version = version;
    master.loads++;
    snprintf(master.load, sizeof(master.load), "%.*s", SLICE_ARG(text));
    return !master.deaf;
}

static struct server an_app(enum server_kind kind)
{
    struct server server = server_default();

    server.kind = kind;
    return server;
}

static void begin(struct bench *bench, struct server server)
{
    const struct roster_master told = {.wanted = on_wanted, .load = on_load};

    log_process.level = LOG_LEVEL_EMERG;
    memset(&master, 0, sizeof(master));
    bench_begin(bench, &round_robin_algorithm);
    roster_attach(balance_roster(bench->balance), &told);
    bench_server(bench, server, "web");
}

static void notice(struct bench *bench, const char *text)
{
    balance_take_app(bench->balance, ++master.version, slice_of(text));
}

/* The ports of the peers that are asked in `count` requests. */
static const char *ask(struct bench *bench, int count)
{
    static char answers[200];
    size_t len = 0;

    answers[0] = '\0';
    while (count-- > 0) {
        struct pick pick;

        pick_begin(&pick, bench->upstream, NULL, bench->loop);
        if (pick_next(&pick) == PICK_PEER) {
            len += (size_t)snprintf(answers + len, sizeof(answers) - len, "%u ",
                                    address_port(peer_address(pick.peer)));
            pick_report(&pick, OUTCOME_OK);
        } else {
            len += (size_t)snprintf(answers + len, sizeof(answers) - len, "- ");
        }
        pick_end(&pick);
    }
    return answers;
}

TEST(ready_instances_are_peers)
{
    struct bench bench;

    begin(&bench, an_app(SERVER_APP));
    notice(&bench, "web online 2\n0 127.0.0.1:1 ready\n1 127.0.0.1:2 draining");
    bench_start(&bench);
    CHECK_STR(ask(&bench, 2), "1 1 ");
    notice(&bench, "web online 2\n0 127.0.0.1:1 ready\n1 127.0.0.1:2 ready\n2 127.0.0.1:3 ready");
    CHECK_STR(ask(&bench, 6), "1 2 3 1 2 3 ");
    notice(&bench, "web online 2\n1 127.0.0.1:2 ready");
    CHECK_STR(ask(&bench, 2), "2 2 ");
    notice(&bench, "web online 2\nnonsense");
    CHECK_STR(ask(&bench, 1), "2 ");
    notice(&bench, "other online 1\n0 127.0.0.1:9 ready");
    notice(&bench, "web gone 0");
    CHECK_STR(ask(&bench, 1), "- ");
    bench_end(&bench);
}

TEST(an_old_set_does_not_lead_to_an_instance_that_leaves)
{
    struct bench bench;
    struct pick pick;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    notice(&bench, "web online 3\n0 127.0.0.1:1 ready\n1 127.0.0.1:2 ready\n2 127.0.0.1:3 ready");
    pick_begin(&pick, bench.upstream, NULL, bench.loop);
    CHECK_EQ(pick_next(&pick), PICK_PEER);
    CHECK_EQ(address_port(peer_address(pick.peer)), 1);
    notice(&bench,
           "web online 3\n0 127.0.0.1:1 ready\n1 127.0.0.1:2 draining\n4 127.0.0.1:5 ready");
    pick_report(&pick, OUTCOME_STATUS);
    CHECK_EQ(pick_next(&pick), PICK_PEER);
    CHECK_EQ(address_port(peer_address(pick.peer)), 5);
    pick_end(&pick);
    bench_end(&bench);
}

TEST(an_instance_with_the_address_of_a_failed_one_begins_anew)
{
    struct bench bench;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    notice(&bench, "web online 2\n0 127.0.0.1:1 ready\n1 127.0.0.1:2 ready");
    for (int i = 0; i < 2; i++) {
        struct pick pick;

        pick_begin(&pick, bench.upstream, NULL, bench.loop);
        CHECK_EQ(pick_next(&pick), PICK_PEER);
        pick_report(&pick, address_port(peer_address(pick.peer)) == 1 ? OUTCOME_RESET : OUTCOME_OK);
        pick_end(&pick);
    }
    CHECK_STR(ask(&bench, 3), "2 2 2 ");
    notice(&bench, "web starting 2\n1 127.0.0.1:2 ready");
    notice(&bench, "web online 2\n1 127.0.0.1:2 ready\n0 127.0.0.1:1 ready");
    CHECK(strchr(ask(&bench, 4), '1') != NULL);
    bench_end(&bench);
}

/* ---- waiting */

struct request {
    struct pick pick;
    unsigned changes;
};

static void on_change(void *data)
{
    struct request *request = data;

    request->changes++;
    pick_wait_end(&request->pick);
}

static enum wait_result wait_for(struct request *request, unsigned limit, uint64_t *rest_ms)
{
    const struct waiting waiting = {
        .wait_ms = 5000, .limit = limit, .on_change = on_change, .data = request};

    return pick_wait(&request->pick, &waiting, rest_ms);
}

TEST(requests_wait_for_an_app_that_is_idle)
{
    struct bench bench;
    struct request first = {0}, second = {0}, third = {0};
    uint64_t rest_ms;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    notice(&bench, "web idle 1");
    pick_begin(&first.pick, bench.upstream, NULL, bench.loop);
    pick_begin(&second.pick, bench.upstream, NULL, bench.loop);
    pick_begin(&third.pick, bench.upstream, NULL, bench.loop);
    CHECK_EQ(pick_next(&first.pick), PICK_WAIT);
    CHECK_EQ(pick_next(&second.pick), PICK_WAIT);
    CHECK_EQ(pick_next(&third.pick), PICK_WAIT);
    CHECK_EQ(wait_for(&first, 2, &rest_ms), WAIT_BEGUN);
    CHECK(rest_ms > 4000 && rest_ms <= 5000);
    CHECK_EQ(wait_for(&second, 2, &rest_ms), WAIT_BEGUN);
    CHECK_EQ(wait_for(&third, 2, &rest_ms), WAIT_FULL);
    loop_turn(bench.loop, 0);
    CHECK_EQ(master.wanted, 1, "once, not per request");
    CHECK_STR(master.load, "web 0 2 0\n");
    notice(&bench, "web starting 1");
    loop_turn(bench.loop, 0);
    CHECK_EQ(first.changes, 1);
    CHECK_EQ(pick_next(&first.pick), PICK_WAIT);
    CHECK_EQ(wait_for(&first, 2, &rest_ms), WAIT_BEGUN);
    pick_end(&second.pick); /* its client has gone; it had not waited again */
    notice(&bench, "web online 1\n0 127.0.0.1:1 ready");
    pick_end(&third.pick);
    loop_turn(bench.loop, 0);
    CHECK_EQ(first.changes, 2);
    CHECK_EQ(pick_next(&first.pick), PICK_PEER);
    CHECK(first.pick.waited_us > 0);
    pick_end(&first.pick);
    CHECK_EQ(second.changes, 1);
    bench_end(&bench);
}

TEST(a_change_between_looking_and_waiting_is_not_missed)
{
    struct bench bench;
    struct request request = {0};
    uint64_t rest_ms;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    notice(&bench, "web starting 1");
    pick_begin(&request.pick, bench.upstream, NULL, bench.loop);
    CHECK_EQ(pick_next(&request.pick), PICK_WAIT);
    notice(&bench, "web online 1\n0 127.0.0.1:1 ready");
    CHECK_EQ(wait_for(&request, 9, &rest_ms), WAIT_NOT);
    CHECK_EQ(pick_next(&request.pick), PICK_PEER);
    pick_end(&request.pick);
    bench_end(&bench);
}

TEST(who_leaves_while_the_news_is_on_its_way_is_not_called)
{
    struct bench bench;
    struct request request = {0};
    uint64_t rest_ms;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    notice(&bench, "web starting 1");
    pick_begin(&request.pick, bench.upstream, NULL, bench.loop);
    CHECK_EQ(pick_next(&request.pick), PICK_WAIT);
    CHECK_EQ(wait_for(&request, 9, &rest_ms), WAIT_BEGUN);
    notice(&bench, "web online 1\n0 127.0.0.1:1 ready");
    pick_end(&request.pick);
    loop_turn(bench.loop, 0);
    CHECK_EQ(request.changes, 0);
    bench_end(&bench);
}

static enum pick_result look(struct bench *bench, const char **why)
{
    struct subject subject = {.arena = bench->arena};
    struct pick pick;
    enum pick_result result;

    pick_begin(&pick, bench->upstream, &subject, bench->loop);
    result = pick_next(&pick);
    *why = pick_why(&pick);
    pick_end(&pick);
    return result;
}

TEST(nobody_waits_for_what_will_not_come)
{
    struct bench bench;
    const char *why;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    CHECK_EQ(look(&bench, &why), PICK_UNRESOLVED);
    CHECK_STR(why, "app \"web\" is not known to the runner");
    notice(&bench, "web failed 1\n! exited with code 3");
    CHECK_EQ(look(&bench, &why), PICK_UNRESOLVED);
    CHECK_STR(why, "app \"web\" is failed: exited with code 3");
    notice(&bench, "web gone 0");
    CHECK_EQ(look(&bench, &why), PICK_UNRESOLVED);
    CHECK_STR(why, "app \"web\" is not there any more");
    bench_end(&bench);
}

TEST(a_declared_app_that_is_not_known_yet_is_waited_for)
{
    struct bench bench;
    const char *why;

    begin(&bench, an_app(SERVER_APP_MAYBE));
    CHECK(upstreams_declare_app(bench.upstreams, slice_of("web")));
    bench_start(&bench);
    CHECK_EQ(look(&bench, &why), PICK_WAIT);
    bench_end(&bench);
}

TEST(an_instance_that_may_have_died_is_waited_for_briefly)
{
    struct bench bench;
    struct request request = {0};
    uint64_t rest_ms;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    notice(&bench, "web online 1\n0 127.0.0.1:1 ready");
    pick_begin(&request.pick, bench.upstream, NULL, bench.loop);
    CHECK_EQ(pick_next(&request.pick), PICK_PEER);
    CHECK(!pick_may_wait(&request.pick, OUTCOME_STATUS));
    CHECK(!pick_may_wait(&request.pick, OUTCOME_TIMEOUT));
    CHECK(pick_may_wait(&request.pick, OUTCOME_RESET));
    pick_report(&request.pick, OUTCOME_RESET);
    CHECK_EQ(pick_next(&request.pick), PICK_WAIT);
    CHECK_EQ(wait_for(&request, 9, &rest_ms), WAIT_BEGUN);
    CHECK(rest_ms <= 1000);
    notice(&bench, "web starting 1");
    loop_turn(bench.loop, 0);
    CHECK_EQ(pick_next(&request.pick), PICK_WAIT);
    CHECK_EQ(wait_for(&request, 9, &rest_ms), WAIT_BEGUN);
    CHECK(rest_ms > 1000, "now it is known to have died");
    notice(&bench, "web online 1\n0 127.0.0.1:1 ready");
    loop_turn(bench.loop, 0);
    CHECK_EQ(pick_next(&request.pick), PICK_PEER, "the same address, another process");
    pick_end(&request.pick);
    bench_end(&bench);
}

/* ---- load */

TEST(the_last_request_of_a_leaving_instance_is_told_at_once)
{
    struct bench bench;
    struct pick pick;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    notice(&bench, "web online 1\n7 127.0.0.1:1 ready");
    pick_begin(&pick, bench.upstream, NULL, bench.loop);
    CHECK_EQ(pick_next(&pick), PICK_PEER);
    loop_turn(bench.loop, 0);
    CHECK_STR(master.load, "web 1 0 0\n7 1 0 0 0\n");
    notice(&bench, "web online 1\n7 127.0.0.1:1 draining");
    loop_turn(bench.loop, 0);
    CHECK_EQ(master.loads, 1, "nothing has changed but what the master knows");
    pick_report(&pick, OUTCOME_OK);
    loop_turn(bench.loop, 0);
    CHECK_EQ(master.loads, 2);
    CHECK_EQ(master.loads_version, 2);
    CHECK_STR(master.load, "web 1 0 0\n7 0 0 0 0\n");
    pick_end(&pick);
    bench_end(&bench);
}

TEST(an_idle_instance_that_is_to_leave_is_told_at_once)
{
    struct bench bench;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    notice(&bench, "web online 1\n7 127.0.0.1:1 ready");
    ask(&bench, 1);
    loop_turn(bench.loop, 0);
    CHECK_EQ(master.loads, 1);
    notice(&bench, "web online 1\n7 127.0.0.1:1 draining");
    loop_turn(bench.loop, 0);
    CHECK_EQ(master.loads, 2);
    bench_end(&bench);
}

TEST(load_is_told_four_times_a_second_at_most)
{
    struct bench bench;
    uint64_t begun_ms, rounds;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    notice(&bench, "web online 1\n7 127.0.0.1:1 ready");
    begun_ms = loop_now_ms(bench.loop);
    while (loop_now_ms(bench.loop) < begun_ms + 600) {
        ask(&bench, 1);
        loop_turn(bench.loop, 5);
    }
    rounds = (loop_now_ms(bench.loop) - begun_ms) / 250 + 2;
    CHECK(master.loads >= 2 && master.loads <= rounds, "%u", master.loads);
    bench_end(&bench);
}

TEST(a_master_that_does_not_listen_is_told_again)
{
    struct bench bench;
    struct request request = {0};
    uint64_t rest_ms;

    begin(&bench, an_app(SERVER_APP));
    bench_start(&bench);
    notice(&bench, "web idle 1");
    master.deaf = true;
    pick_begin(&request.pick, bench.upstream, NULL, bench.loop);
    CHECK_EQ(pick_next(&request.pick), PICK_WAIT);
    CHECK_EQ(wait_for(&request, 9, &rest_ms), WAIT_BEGUN);
    loop_turn(bench.loop, 0);
    CHECK_EQ(master.wanted, 1);
    master.deaf = false;
    while (master.wanted < 2)
        loop_turn(bench.loop, 300);
    CHECK_STR(master.load, "web 0 1 0\n");
    pick_end(&request.pick);
    bench_end(&bench);
}

/* ---- slow start */

/* How many of 1000 requests go to the second of two, `after_ms` of its 1000 have passed. */
static unsigned share_of_second(const struct algorithm *algorithm, uint64_t after_ms)
{
    struct server server = an_app(SERVER_APP);
    struct bench bench;
    struct peer_set *set;
    unsigned second = 0;

    server.slow_start_ms = 1000000;
    begin(&bench, server);
    bench.upstream->algorithm = algorithm;
    notice(&bench, "web online 1\n0 127.0.0.1:1 ready");
    bench_start(&bench);
    notice(&bench, "web online 2\n0 127.0.0.1:1 ready\n1 127.0.0.1:2 ready");
    set = upstream_peers(bench.upstream);
    CHECK_EQ(atomic_load(&set->peers[0].state->back_ms), 0, "there from the beginning");
    CHECK(atomic_load(&set->peers[1].state->back_ms) > 0);
    atomic_store(&set->peers[1].state->back_ms, loop_now_ms(bench.loop) - after_ms * 1000);
    for (int i = 0; i < 1000; i++)
        second += ask(&bench, 1)[0] == '2';
    peer_set_unref(set);
    bench_end(&bench);
    return second;
}

TEST(slow_start_gives_more_and_more)
{
    static const struct algorithm *const methods[] = {&round_robin_algorithm,
                                                      &least_conn_algorithm};

    for (size_t i = 0; i < COUNT(methods); i++) {
        unsigned early = share_of_second(methods[i], 1);
        unsigned half = share_of_second(methods[i], 500);
        unsigned late = share_of_second(methods[i], 1000);

        CHECK(early < 20, "%s: %u", methods[i]->name, early);
        CHECK(half > 200 && half < 400, "%s: %u", methods[i]->name, half);
        CHECK_EQ(late, 500, "%s", methods[i]->name);
    }
}
