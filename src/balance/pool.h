/* Connections to peers: opened, kept while idle, given out again. One pool per loop.
 *
 * A connection belongs to its taker from pool_take() or pool_open() until pool_put() or
 * pool_close(): then `io.on_ready` and `user` are his. While idle the pool watches it: a FIN or an
 * unexpected byte closes it, and what the kernel has announced is looked at once more before it is
 * given out, so that a connection the peer has closed never costs a request. Idle connections are
 * kept by peer_state: they survive a reload. Runs in: worker, loop thread of the pool. */
#pragma once

#include "base/list.h"
#include "base/slice.h"
#include "event/loop.h"
#include "event/socket.h"

#include <stdbool.h>
#include <stdint.h>

struct keepalive;
struct mux_stream;
struct peer_state;
struct pool;
struct tls_conn;

struct peer_conn {
    struct io io; /* watched all its life; set io.on_ready after taking; io.ready is up to date */
    void *user;   /* the taker's */
    const void *near;         /* the taker's, for io.fetch: what it will need besides `user` */
    struct pool *pool;        /* borrowed */
    struct peer_state *state; /* one reference */
    struct deadline idle;     /* the pool's, while idle */
    struct list peer_link;    /* idle ones of the same peer and variant: newest first */
    struct list age_link;     /* all idle ones of the pool: newest first */
    uint64_t variant; /* connections of different variants are not exchanged (source address, TLS
                         name) */
    uint64_t opened_ms;
    uint64_t idle_max_ms;      /* shorter than keepalive_timeout if the peer said so ("Keep-Alive:
                                  timeout=5"); 0: it did not */
    struct tls_conn *tls;      /* owned; NULL: in the clear, or TLS has not begun */
    struct mux_stream *stream; /* this is a part of a shared connection (http/relay/mux.h), and the
                                  pool knows nothing of it; NULL: a socket of its own */
    unsigned request_count;    /* given out so many times, this one included */
    bool reused; /* has been idle before: a failure without an answer may be replayed on a fresh one
                  */
    bool connected; /* pool_open() sets it when the kernel was quick; else the taker at the first
                       IO_WRITE, after socket_error() == 0 */
};

struct pool_target {
    struct peer_state *state;
    uint64_t variant; /* 0, or pool_variant() of what makes connections different */
    bool must_live;   /* the request cannot be replayed: ask the kernel, too, whether the peer has
                         closed */
};

/* For proxy_bind, TLS names: mixes `text` into a variant. Start with 0. */
uint64_t pool_variant(uint64_t variant, struct slice text);

/* The idle connection used last, checked to be alive, or NULL. */
struct peer_conn *pool_take(struct pool *pool, const struct pool_target *target);

/* A new one, connecting or connected. NULL: errno (ECONNREFUSED and ENOENT may come at once from
 * unix sockets). */
struct peer_conn *pool_open(struct pool *pool, const struct pool_target *target,
                            const struct connect_options *options);

/* The answer was read to its end and the connection may carry another request: keeps it if `limits`
 * allow, else closes it. Frees or hands over `conn`: the caller must not touch it. */
void pool_put(struct peer_conn *conn, const struct keepalive *limits);

/* Closes and frees. NULL is fine. */
void pool_close(struct peer_conn *conn);

/* The same with a RST instead of a FIN. */
void pool_close_reset(struct peer_conn *conn);

/* Closes all idle ones and keeps none from now on: a worker that drains. */
void pool_close_idle(struct pool *pool);

size_t pool_idle_count(const struct pool *pool);
