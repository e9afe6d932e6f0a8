/* Goal: an idle connection is given out again while it is alive, and never after the peer has
 * closed it. Method: a real listening socket, accepted by the test itself. */
#include "tests/unit/balance/bench.h"

#include "balance/pool.h"
#include "event/socket.h"

#include <stdio.h>
#include <unistd.h>

static struct {
    struct bench bench;
    struct pool *pool;
    struct pool_target target;
    int listener;
    char name[64];
    struct keepalive limits;
} at;

static void begin(void)
{
    struct listen_options options = {.backlog = 16};
    struct peer_set *set;

    snprintf(at.name, sizeof(at.name), "unix:/tmp/pelayan-pool-%d", (int)getpid());
    CHECK(address_parse(slice_of(at.name), 0, &options.address));
    at.listener = socket_listen(&options);
    CHECK(at.listener >= 0);
    bench_begin(&at.bench, &round_robin_algorithm);
    bench_server(&at.bench, weighing(1), at.name);
    bench_start(&at.bench);
    set = upstream_peers(at.bench.upstream);
    at.target = (struct pool_target){.state = set->peers[0].state};
    peer_set_unref(set);
    at.pool = balance_pool(at.bench.balance, at.bench.loop);
    at.limits = at.bench.upstream->keepalive;
}

static void end(void)
{
    close(at.listener);
    unlink(at.name + 5);
    bench_end(&at.bench);
}

static struct peer_conn *open_one(int *accepted)
{
    struct connect_options options = {0};
    struct peer_conn *conn = pool_open(at.pool, &at.target, &options);
    struct address peer;

    CHECK(conn != NULL);
    while ((*accepted = socket_accept(at.listener, &peer)) < 0)
        loop_turn(at.bench.loop, 1);
    loop_turn(at.bench.loop, 0);
    return conn;
}

TEST(the_connection_used_last_is_taken_first)
{
    int accepted[2];
    struct peer_conn *first, *second;

    begin();
    first = open_one(&accepted[0]);
    second = open_one(&accepted[1]);
    CHECK(!first->reused);
    pool_put(first, &at.limits);
    pool_put(second, &at.limits);
    CHECK_EQ(pool_idle_count(at.pool), 2);
    CHECK_EQ(pool_take(at.pool, &at.target), second);
    CHECK_EQ(second->request_count, 2);
    CHECK(second->reused);
    CHECK_EQ(pool_take(at.pool, &at.target), first);
    CHECK_EQ(pool_take(at.pool, &at.target), NULL);
    pool_close(first);
    pool_close(second);
    close(accepted[0]);
    close(accepted[1]);
    end();
}

TEST(a_connection_closed_while_idle_is_forgotten)
{
    int accepted;

    begin();
    pool_put(open_one(&accepted), &at.limits);
    close(accepted);
    loop_turn(at.bench.loop, 100);
    CHECK_EQ(pool_idle_count(at.pool), 0);
    end();
}

TEST(bytes_nobody_asked_for_close_an_idle_connection)
{
    int accepted;

    begin();
    pool_put(open_one(&accepted), &at.limits);
    CHECK_EQ(write(accepted, "x", 1), 1);
    loop_turn(at.bench.loop, 100);
    CHECK_EQ(pool_idle_count(at.pool), 0);
    close(accepted);
    end();
}

TEST(a_fin_the_loop_has_not_seen_is_seen_by_who_cannot_replay)
{
    int accepted;

    begin();
    pool_put(open_one(&accepted), &at.limits);
    close(accepted);
    at.target.must_live = true;
    CHECK_EQ(pool_take(at.pool, &at.target), NULL);
    CHECK_EQ(pool_idle_count(at.pool), 0);
    end();
}

TEST(limits_of_keepalive_hold)
{
    int accepted[4];
    struct peer_conn *conns[4];

    begin();
    for (size_t i = 0; i < COUNT(conns); i++)
        conns[i] = open_one(&accepted[i]);
    at.limits.connections = 2;
    for (size_t i = 0; i < 3; i++)
        pool_put(conns[i], &at.limits);
    CHECK_EQ(pool_idle_count(at.pool), 2);
    CHECK_EQ(pool_take(at.pool, &at.target), conns[2]);
    CHECK_EQ(pool_take(at.pool, &at.target), conns[1]);
    at.limits.connections = 1;
    pool_put(conns[1], &at.limits);
    pool_put(conns[2], &at.limits);
    CHECK_EQ(pool_idle_count(at.pool), 1);
    CHECK_EQ(pool_take(at.pool, &at.target), conns[2]);
    at.limits.requests = 2;
    CHECK_EQ(conns[2]->request_count, 3);
    pool_put(conns[2], &at.limits);
    at.limits.connections = 0;
    pool_put(conns[3], &at.limits);
    CHECK_EQ(pool_idle_count(at.pool), 0);
    for (size_t i = 0; i < COUNT(conns); i++)
        close(accepted[i]);
    end();
}

TEST(an_idle_connection_lives_no_longer_than_the_peer_said)
{
    struct peer_conn *conn;
    int accepted;

    begin();
    conn = open_one(&accepted);
    conn->idle_max_ms = 20;
    pool_put(conn, &at.limits);
    CHECK_EQ(pool_idle_count(at.pool), 1);
    for (uint64_t until = loop_now_ms(at.bench.loop) + 200;
         pool_idle_count(at.pool) > 0 && loop_now_ms(at.bench.loop) < until;)
        loop_turn(at.bench.loop, 50);
    CHECK_EQ(pool_idle_count(at.pool), 0);
    close(accepted);
    end();
}

TEST(variants_are_not_exchanged)
{
    struct pool_target other;
    struct peer_conn *conn;
    int accepted;

    begin();
    other = at.target;
    other.variant = pool_variant(0, slice_of("192.0.2.1"));
    CHECK_NE(other.variant, pool_variant(0, slice_of("192.0.2.2")));
    conn = open_one(&accepted);
    pool_put(conn, &at.limits);
    CHECK_EQ(pool_take(at.pool, &other), NULL);
    CHECK_EQ(pool_take(at.pool, &at.target), conn);
    pool_close_reset(conn);
    close(accepted);
    end();
}
