/* Two byte streams tied together after a protocol switch (101) or CONNECT.
 *
 * Each direction holds at most one buffer, and only while the other side does not take its bytes:
 * an idle tunnel owns no buffer. The end of one side's stream is passed on as such (half-close)
 * after its last byte; the tunnel ends when both have ended, one fails, or the peer is silent for
 * too long. Runs in: worker, loop thread. */
#pragma once

#include "event/loop.h"
#include "event/socket.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct exchange;
struct tls_conn;
struct tunnel;

/* For a side that is no socket: a stream of HTTP/2. They do what transport_recv(), transport_send()
 * and transport_shutdown() do, and keep `ready` of the side's io true. */
struct tunnel_ops {
    struct io_result (*recv)(void *data, void *bytes, size_t max);
    struct io_result (*send)(void *data, const struct iovec *parts, int count);
    void (*shutdown)(void *data);
};

/* Where bytes come from and go to. */
struct tunnel_side {
    struct io *io;                /* borrowed: for its `ready` bits */
    struct tls_conn *tls;         /* borrowed; NULL: in the clear */
    const struct tunnel_ops *ops; /* NULL: the io's socket */
    void *data;
};

/* One side. Who owns the descriptor calls on_ready for its events until the exchange ends. */
struct tunnel_end {
    struct tunnel_side side;
    struct buf
        *early; /* bytes read before the tunnel began, or NULL; the tunnel takes the reference */
    struct buf *unsent; /* the rest of the head that must go out first, or NULL; the tunnel takes
                           the reference */
    void (*on_ready)(struct tunnel_end *end, unsigned events); /* set while the tunnel runs */
    void *tunnel;                                              /* the tunnel's */
};

struct tunnel_setup {
    struct exchange *x; /* the tunnel lives in its arena and counts in its response */
    struct tunnel_end *client;
    struct tunnel_side peer;
    struct buf
        *peer_early; /* bytes after the peer's head, or NULL; the tunnel takes the reference */
    uint64_t *peer_received; /* counted up */
    uint64_t *peer_sent;
    uint64_t read_timeout_ms; /* how long the peer may be silent */
    uint64_t send_timeout_ms; /* how long it may take nothing */
    uint64_t client_send_timeout_ms;
    /* Over; called once, from tunnel_run() or the loop. `why` NULL: both sides have ended. It frees
     * the exchange. */
    void (*on_end)(void *data, const char *why);
    void *data;
};

/* NULL: no memory; on_end will not be called, and the references were dropped. */
struct tunnel *tunnel_start(const struct tunnel_setup *setup);

/* Moves what there is. The owner of the peer's descriptor calls it for every event, and once after
 * tunnel_start(). May free the exchange: nothing may follow. */
void tunnel_run(struct tunnel *tunnel);
