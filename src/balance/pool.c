/* Connections to peers: opened, kept while idle, given out again. Runs in: worker, loop thread of
 * the pool.
 *
 * An idle connection stands in two lists: the stack of its peer and variant, from which it is
 * taken, newest first; and the shelf of its upstream, whose length `keepalive` limits, and whose
 * oldest one goes when it is full. */
#include "balance/pool.h"

#include "balance/balance_internal.h"
#include "balance/peer.h"
#include "balance/upstream.h"
#include "tls/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BUCKETS = 1024,
    SPARE_MAX = 64, /* structs kept for the next connections */
};

/* The idle connections of one upstream. */
struct shelf {
    struct shelf *next;
    uint64_t upstream_hash;
    struct list conns; /* newest first */
    unsigned count;
};

struct pool {
    struct loop *loop; /* borrowed */
    size_t idle_count;
    bool draining;
    struct list stacks[BUCKETS];    /* by peer and variant: newest first, others may be between */
    struct shelf *shelves[BUCKETS]; /* by upstream */
    struct shelf *spare_shelves;
    struct peer_conn *spares; /* chained by `user` */
    unsigned spare_count;
};

struct pool *pool_new(struct loop *loop)
{
    struct pool *pool = calloc(1, sizeof(*pool));

    if (pool == NULL)
        return NULL;
    pool->loop = loop;
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&pool->stacks[i]);
    return pool;
}

static void free_shelves(struct shelf *shelf)
{
    while (shelf != NULL) {
        struct shelf *next = shelf->next;

        free(shelf);
        shelf = next;
    }
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    pool_close_idle(pool);
    for (size_t i = 0; i < BUCKETS; i++)
        free_shelves(pool->shelves[i]);
    free_shelves(pool->spare_shelves);
    while (pool->spares != NULL) {
        struct peer_conn *conn = pool->spares;

        pool->spares = conn->user;
        free(conn);
    }
    free(pool);
}

uint64_t pool_variant(uint64_t variant, struct slice text)
{
    return (variant ^ slice_hash(text)) * 0x9e3779b97f4a7c15u + 1;
}

/* ---- structs */

static struct peer_conn *conn_new(struct pool *pool)
{
    struct peer_conn *conn = pool->spares;

    if (conn == NULL)
        return calloc(1, sizeof(*conn));
    pool->spares = conn->user;
    pool->spare_count--;
    *conn = (struct peer_conn){0};
    return conn;
}

static void conn_free(struct pool *pool, struct peer_conn *conn)
{
    if (pool->spare_count >= SPARE_MAX) {
        free(conn);
        return;
    }
    conn->user = pool->spares;
    pool->spares = conn;
    pool->spare_count++;
}

static struct list *stack_of(struct pool *pool, const struct peer_state *state, uint64_t variant)
{
    uint64_t hash = ((uint64_t)(uintptr_t)state >> 6) * 0x9e3779b97f4a7c15u ^ variant;

    return &pool->stacks[(hash >> 20 ^ hash) % BUCKETS];
}

static struct shelf **find_shelf(struct pool *pool, uint64_t upstream_hash)
{
    struct shelf **place = &pool->shelves[upstream_hash % BUCKETS];

    while (*place != NULL && (*place)->upstream_hash != upstream_hash)
        place = &(*place)->next;
    return place;
}

/* NULL: no memory. */
static struct shelf *get_shelf(struct pool *pool, uint64_t upstream_hash)
{
    struct shelf **place = find_shelf(pool, upstream_hash);
    struct shelf *shelf = *place;

    if (shelf != NULL)
        return shelf;
    shelf = pool->spare_shelves;
    if (shelf != NULL)
        pool->spare_shelves = shelf->next;
    else
        shelf = malloc(sizeof(*shelf));
    if (shelf == NULL)
        return NULL;
    *shelf = (struct shelf){.upstream_hash = upstream_hash};
    list_init(&shelf->conns);
    *place = shelf;
    return shelf;
}

/* ---- idle */

static void take_off_shelf(struct peer_conn *conn)
{
    struct pool *pool = conn->pool;
    struct shelf **place = find_shelf(pool, conn->state->upstream_hash);
    struct shelf *shelf = *place;

    assert(shelf != NULL);
    assert(shelf->count > 0);
    deadline_pause(&conn->idle);
    list_remove(&conn->peer_link);
    list_remove(&conn->age_link);
    pool->idle_count--;
    if (--shelf->count > 0)
        return;
    *place = shelf->next;
    shelf->next = pool->spare_shelves;
    pool->spare_shelves = shelf;
}

/* Nothing to read and nobody hung up, as far as the kernel knows now. */
static bool is_quiet(struct peer_conn *conn)
{
    char byte;
    struct io_result result;

    if (conn->tls != NULL) { /* tickets for later sessions may come at any time */
        tls_on_events(conn->tls, IO_READ);
        return tls_recv(conn->tls, &byte, 1).kind == IO_AGAIN;
    }
    result = socket_peek(conn->io.fd, &byte, 1);
    if (result.kind != IO_AGAIN)
        return false;
    conn->io.ready &= ~(unsigned)IO_READ;
    return true;
}

static bool has_news(const struct peer_conn *conn)
{
    return (conn->io.ready & (IO_READ | IO_HANGUP | IO_ERROR)) != 0;
}

static void on_idle_ready(struct io *io, unsigned events)
{
    struct peer_conn *conn = container_of(io, struct peer_conn, io);

    if ((events & (IO_READ | IO_HANGUP | IO_ERROR)) == 0)
        return;
    if ((events & (IO_HANGUP | IO_ERROR)) == 0 && is_quiet(conn))
        return;
    pool_close(conn); /* frees `conn`: nothing may follow */
}

static void on_idle_expire(struct deadline *deadline)
{
    pool_close(container_of(deadline, struct peer_conn, idle));
}

static bool may_keep(struct peer_conn *conn, const struct keepalive *limits)
{
    uint64_t age_ms = loop_now_ms(conn->pool->loop) - conn->opened_ms;

    if (conn->pool->draining || limits->connections == 0 || limits->timeout_ms == 0 ||
        atomic_load_explicit(&conn->state->retired, memory_order_relaxed))
        return false;
    if (conn->request_count >= limits->requests || age_ms >= limits->time_ms)
        return false;
    if ((conn->io.ready & (IO_HANGUP | IO_ERROR)) != 0)
        return false;
    return (conn->io.ready & IO_READ) == 0 || is_quiet(conn);
}

/* Room for one more: the one idle longest goes. */
static void make_room(struct shelf *shelf, unsigned limit)
{
    while (shelf->count >= limit) {
        struct peer_conn *oldest = container_of(shelf->conns.prev, struct peer_conn, age_link);

        if (shelf->count == 1) { /* the shelf must outlive its last one here */
            shelf->count++;
            pool_close(oldest);
            shelf->count--;
        } else {
            pool_close(oldest);
        }
    }
}

void pool_put(struct peer_conn *conn, const struct keepalive *limits)
{
    struct pool *pool = conn->pool;
    struct shelf *shelf;
    uint64_t timeout_ms = limits->timeout_ms;

    if (!may_keep(conn, limits) || (shelf = get_shelf(pool, conn->state->upstream_hash)) == NULL) {
        pool_close(conn);
        return;
    }
    make_room(shelf, limits->connections);
    if (conn->idle_max_ms > 0 && conn->idle_max_ms < timeout_ms)
        timeout_ms = conn->idle_max_ms;
    conn->user = NULL;
    conn->io.fetch = NULL;
    conn->reused = true;
    conn->io.on_ready = on_idle_ready;
    conn->idle.on_expire = on_idle_expire;
    deadline_arm(pool->loop, &conn->idle, timeout_ms);
    list_push_front(stack_of(pool, conn->state, conn->variant), &conn->peer_link);
    list_push_front(&shelf->conns, &conn->age_link);
    shelf->count++;
    pool->idle_count++;
}

/* Between taking and setting on_ready nothing can happen: events come from the loop only. */
static void on_ready_unset(struct io *io, unsigned events)
{
    (void)io;
    (void)events;
}

static struct peer_conn *newest(struct pool *pool, const struct pool_target *target)
{
    list_each(it, keep, stack_of(pool, target->state, target->variant))
    {
        struct peer_conn *conn = container_of(it, struct peer_conn, peer_link);

        if (conn->state == target->state && conn->variant == target->variant)
            return conn;
    }
    return NULL;
}

struct peer_conn *pool_take(struct pool *pool, const struct pool_target *target)
{
    struct peer_conn *conn;

    while ((conn = newest(pool, target)) != NULL) {
        if ((has_news(conn) || target->must_live) && !is_quiet(conn)) {
            pool_close(conn);
            continue;
        }
        take_off_shelf(conn);
        conn->io.on_ready = on_ready_unset;
        conn->request_count++;
        return conn;
    }
    return NULL;
}

/* ---- opening and closing */

struct peer_conn *pool_open(struct pool *pool, const struct pool_target *target,
                            const struct connect_options *options)
{
    const struct address *address = &target->state->address;
    struct peer_conn *conn = conn_new(pool);
    int saved;

    if (conn == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    conn->io.on_ready = on_ready_unset;
    conn->io.fd = socket_connect(address, options, &conn->connected);
    if (conn->io.fd < 0 || !loop_watch(pool->loop, &conn->io)) {
        saved = errno;
        if (conn->io.fd >= 0)
            close(conn->io.fd);
        conn_free(pool, conn);
        errno = saved;
        return NULL;
    }
    if (address->any.sa_family != AF_UNIX)
        socket_nodelay(conn->io.fd, true);
    conn->pool = pool;
    conn->state = peer_state_ref(target->state);
    conn->variant = target->variant;
    conn->opened_ms = loop_now_ms(pool->loop);
    conn->request_count = 1;
    return conn;
}

static int conn_detach(struct peer_conn *conn)
{
    int fd = conn->io.fd;

    if (list_linked(&conn->age_link))
        take_off_shelf(conn);
    assert(conn->stream == NULL);
    tls_conn_free(conn->tls);
    deadline_disarm(&conn->idle);
    loop_unwatch(&conn->io);
    peer_state_unref(conn->state);
    conn_free(conn->pool, conn);
    return fd;
}

void pool_close(struct peer_conn *conn)
{
    if (conn == NULL)
        return;
    if (conn->tls != NULL)
        tls_close_notify(conn->tls);
    close(conn_detach(conn));
}

void pool_close_reset(struct peer_conn *conn)
{
    if (conn != NULL)
        socket_close_reset(conn_detach(conn));
}

void pool_close_idle(struct pool *pool)
{
    pool->draining = true;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (!list_empty(&pool->stacks[i]))
            pool_close(container_of(pool->stacks[i].next, struct peer_conn, peer_link));
    }
}

void pool_close_retired(struct pool *pool)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        list_each(it, keep, &pool->stacks[i])
        {
            struct peer_conn *conn = container_of(it, struct peer_conn, peer_link);

            if (atomic_load_explicit(&conn->state->retired, memory_order_relaxed))
                pool_close(conn);
        }
    }
}

size_t pool_idle_count(const struct pool *pool)
{
    return pool->idle_count;
}
