/* HTTP/2 connections to peers, shared by the requests of a loop.
 *
 * A request gets a stream that looks like a connection of its own: a peer_conn with `stream` set,
 * whose `io` has no descriptor, but the same bits and the same callback. So who relays needs not
 * know whose bytes go over which socket. Streams are put onto a connection that is there as long as
 * the peer allows more; else a further one is opened. Up to the settings of `keepalive`,
 * connections are kept when their last stream has ended.
 *
 * Flow control: what has arrived for a stream waits in the stream, at most its window; the peer is
 * given more when the user has taken it. The connection's own window is never closed, so that a
 * slow user does not stop the others. Runs in: worker, loop thread. */
#pragma once

#include "balance/pool.h"
#include "base/slice.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

struct arena;
struct buf;
struct header_list;
struct keepalive;
struct mux_stream;
struct muxes;
struct tls_connect;

enum mux_fault_kind {
    MUX_FINE,
    MUX_CONNECT, /* no connection: `os_error` */
    MUX_TLS,     /* no handshake */
    MUX_LOST,    /* the connection ended */
    MUX_RESET,   /* the peer ended the stream */
    MUX_INVALID, /* the peer broke the protocol */
};

/* Why a stream has ended before its time. */
struct mux_fault {
    enum mux_fault_kind kind;
    int os_error;     /* 0: none */
    bool unprocessed; /* the peer has not looked at the request: it may be sent again */
    const char *what; /* static, or in the stream's arena */
};

/* One head of an answer: interim ones come before the final one. */
struct mux_head {
    struct mux_head *next;
    unsigned status;
    bool ends;                  /* no body follows */
    struct header_list *fields; /* arena of the stream */
};

/* What a stream asks of its user. `user` is the peer_conn's. */
struct mux_ops {
    /* Bytes of the request's body, at most `max`; 0: none now, mux_resume() when there are.
     * `*last`: nothing follows. Below 0: it cannot be read. Must not end the stream. */
    ssize_t (*pull)(void *user, char *out, size_t max, bool *last);
    /* With the last byte: fields behind the body; NULL: none. */
    const struct header_list *(*trailers)(void *user);
    /* The peer speaks HTTP/1.1 only. The stream is gone; `conn` is the connection that was opened
     * for it and now the user's, or NULL: he has to open one. */
    void (*plain)(void *user, struct peer_conn *conn);
};

struct mux_want {
    struct loop *loop;
    struct pool *pool;
    struct pool_target target;
    const struct connect_options *options;
    const struct keepalive *limits;
    const struct tls_connect *tls; /* without io and alpn; NULL: in the clear */
    bool only_h2;                  /* a peer that does not choose a protocol gets HTTP/2 */
    uint64_t avoid;                /* mux_id() of a connection that has failed; 0: none */
    struct arena *arena;           /* of the request */
    size_t head_bytes_max;         /* of a head of the answer */
    const struct mux_ops *ops;
    void *user;
    void (*on_ready)(struct io *io, unsigned events);
};

/* Per loop. NULL: no memory. */
struct muxes *muxes_new(void);

/* Closes all connections; no stream may be left. NULL is fine. */
void muxes_free(struct muxes *muxes);

/* Did the peer choose HTTP/1.1 when it was asked last? */
bool mux_is_plain(const struct muxes *muxes, const struct pool_target *target);

/* A stream: `connected` tells whether requests can be sent over it now; else on_ready will be
 * called, with IO_ERROR if there is no connection to be had, or `plain`. NULL: errno. */
struct peer_conn *mux_open(struct muxes *muxes, const struct mux_want *want);

/* Which connection a stream is on. */
uint64_t mux_id(const struct mux_stream *stream);

/* Have the peer's settings come? Until then nobody knows whether it takes extended CONNECT;
 * on_ready tells when they have. */
bool mux_knows_peer(const struct mux_stream *stream);

/* Sends the request's head; `fields` is copied. False: no memory, or the connection takes no more
 * requests. */
bool mux_submit(struct mux_stream *stream, const nghttp2_nv *fields, size_t count, bool has_body);

/* There is something to pull again. */
void mux_resume(struct mux_stream *stream);

/* Did the last byte of the request leave us? */
bool mux_is_sent(const struct mux_stream *stream);

/* Moves on: IO_DONE: a head is there for mux_take_head(), or `*in` (empty or NULL before) has bytes
 * of the body, or the answer has ended; `bytes` of it. IO_END: it ended before its time. */
struct io_result mux_recv(struct mux_stream *stream, struct buf **in);

/* The next head; NULL: none has come. */
const struct mux_head *mux_take_head(struct mux_stream *stream);

/* After all bytes of the body were received: has the answer ended? With its trailers, or NULL. */
bool mux_has_ended(const struct mux_stream *stream, struct header_list **trailers);

const struct mux_fault *mux_why(const struct mux_stream *stream);

/* The user is done with it: what is not sent or not received is of no interest any more. `conn` is
 * gone. */
void mux_release(struct peer_conn *conn);
