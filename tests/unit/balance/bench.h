/* What the tests of balance/ share: upstreams made by hand, on one loop. Runs in: tests. */
#pragma once

#include "balance/algorithm_internal.h"
#include "balance/balance.h"
#include "balance/pick.h"
#include "balance/upstream_internal.h"
#include "base/arena.h"
#include "base/log.h"
#include "config/variable.h"
#include "event/loop.h"
#include "tests/unit/check.h"

struct bench {
    struct arena *arena;
    struct loop *loop;
    struct balance *balance;
    struct upstreams *upstreams;
    struct upstream *upstream;
};

static inline void bench_begin(struct bench *bench, const struct algorithm *algorithm)
{
    bench->arena = arena_new(4096);
    bench->loop = loop_new(0);
    bench->balance = balance_new(&bench->loop, 1);
    bench->upstreams = upstreams_new(bench->arena);
    bench->upstream = upstream_new(bench->upstreams, slice_of("app"));
    bench->upstream->algorithm = algorithm;
    CHECK(bench->balance != NULL);
}

static inline void bench_server(struct bench *bench, struct server server, const char *name)
{
    server.name = slice_of(name);
    CHECK_EQ(upstream_add(bench->upstreams, bench->upstream, &server, 80), SERVER_ADDED, name);
}

static inline struct server weighing(int weight)
{
    struct server server = server_default();

    server.weight = weight;
    return server;
}

static inline void bench_start(struct bench *bench)
{
    CHECK(upstream_register(bench->upstreams, bench->upstream));
    CHECK(balance_start(bench->balance, bench->upstreams));
}

static inline void bench_end(struct bench *bench)
{
    arena_drop(bench->arena);
    balance_free(bench->balance);
    loop_free(bench->loop);
}
