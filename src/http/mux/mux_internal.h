/* What the files of shared HTTP/2 connections share.
 *
 *   mux.c      the connections of a loop; a connection's life
 *   session.c  nghttp2: options, settings, and its callbacks, which only take notes
 *   stream.c   what users see
 *   wire.c     frames from and to the socket
 *
 * nghttp2 must not be called again from its callbacks, and a user may do anything: so callbacks put
 * streams on the list `news`, and when a buffer has been read their users are told. Runs in:
 * worker, loop thread. */
#pragma once

#include "balance/upstream.h"
#include "base/buf.h"
#include "http/h2/guard.h"
#include "http/header.h"
#include "http/mux/mux.h"
#include "tls/client.h"
#include "tls/transport.h"

enum {
    MUX_BUCKETS = 256,
    MUX_STREAMS_MAX = 256,    /* of one connection, whatever the peer allows */
    MUX_STREAMS_FIRST = 100,  /* before it has said what it allows (RFC 9113, 6.5.2) */
    MUX_WINDOW_BYTES = 65535, /* of a stream: what may wait for its user */
};

/* What is known of a peer, also when no connection is open. Peers may displace each other. */
struct mux_hint {
    uint64_t key;
    uint32_t streams_max;
    bool plain; /* it chose HTTP/1.1 */
};

struct muxes {
    struct list buckets[MUX_BUCKETS]; /* mux.link, by peer and variant */
    struct list idle;                 /* mux.idle_link: newest first */
    struct mux_hint hints[MUX_BUCKETS];
    nghttp2_session_callbacks *callbacks; /* owned: the same for all sessions */
    nghttp2_option *option;               /* owned */
    uint64_t next_id;
};

enum mux_state {
    MUX_CONNECTING,
    MUX_OPEN,
    MUX_CLOSED, /* its memory goes at the end of the turn */
};

struct mux {
    struct list link;
    struct list idle_link;
    struct muxes *muxes;      /* borrowed */
    struct loop *loop;        /* borrowed */
    struct peer_conn *conn;   /* owned; NULL once closed */
    struct deadline deadline; /* idle */
    struct deadline again;    /* reading goes on after others had their turn */
    struct deadline quiet;    /* the peer has been asked and says nothing */
    struct task pump;
    struct task bury;
    nghttp2_session *session; /* owned */
    struct buf *backlog;      /* owned: frames that the socket does not take yet; or NULL */
    struct list streams;      /* mux_stream.link */
    struct list news;         /* mux_stream.news_link */
    struct keepalive limits;
    struct h2_score score;
    const char *goaway;     /* the error we told the peer with GOAWAY; NULL: none */
    struct tls_connect tls; /* `client` NULL: in the clear; its texts are owned */
    uint64_t id;
    uint64_t pinged_ms;
    uint32_t stream_count;
    uint32_t requests;
    enum mux_state state;
    bool only_h2;
    bool alone;   /* while connecting: it takes one stream only */
    bool leaving; /* it takes no further stream */
    bool settled; /* its settings have come */
    bool pinged;  /* and no answer has come */
    bool broken;  /* the socket takes no more */
};

struct mux_stream {
    struct peer_conn conn; /* what the user has */
    struct mux *mux;       /* borrowed; NULL: the connection is gone */
    const struct mux_ops *ops;
    struct arena *arena;
    struct list link;
    struct list news_link;
    size_t head_bytes_max;
    struct mux_head *heads; /* not taken */
    struct mux_head **heads_last;
    struct mux_head *coming;      /* a head whose fields are being decoded */
    struct header_list *trailers; /* NULL: none */
    size_t head_bytes;            /* of `coming` */
    uint64_t new_bytes;           /* of heads that came since mux_recv() */
    struct buf *first;            /* owned: the body, chained */
    struct buf *last;
    struct mux_fault fault;
    int32_t id; /* 0: not submitted */
    unsigned heads_waiting;
    unsigned news;   /* enum io_ready: what the user is to be told */
    bool final_seen; /* what follows are trailers */
    bool written;    /* HEADERS went out */
    bool sent;       /* the last frame of the request did */
    bool deferred;   /* nghttp2 waits for mux_resume() */
    bool ended;      /* the answer's last frame has come */
    bool end_told;
    bool over; /* nghttp2 knows the stream no more */
};

/* mux.c */
void mux_set_hint(struct mux *mux, uint32_t streams_max, bool plain);
/* All streams end with that, and the connection too: nothing of it may be used afterwards, but the
 * struct stays until the end of the turn. */
void mux_fail(struct mux *mux, const struct mux_fault *fault);
/* A stream was released: the connection may be idle or over. */
void mux_settle(struct mux *mux);
/* HTTP/1.1 was chosen: the connection goes to a user, the others are told. */
void mux_become_plain(struct mux *mux);
/* Tells users what happened to their streams. The connection may be closed afterwards. */
void mux_tell(struct mux *mux);
void mux_note(struct mux_stream *stream, unsigned events);
/* The stream ends with that. */
void mux_end_stream(struct mux_stream *stream, const struct mux_fault *fault);

/* session.c */
bool mux_begin_session(struct mux *mux);
/* False: the connection was closed. */
bool mux_feed(struct mux *mux, struct slice in);
void mux_free_options(struct muxes *muxes);
/* Streams that the peer allows at once. */
uint32_t mux_streams_max(const struct mux *mux);

/* wire.c */
void mux_on_ready(struct io *io, unsigned events);
void mux_on_again(struct deadline *deadline);
void mux_on_quiet(struct deadline *deadline);
void mux_read(struct mux *mux);
/* Sends what is ready and fits; mux->broken: the socket is gone. */
void mux_pump(struct mux *mux);
void mux_pump_soon(struct mux *mux);
/* Connects and shakes hands as far as it goes. */
void mux_connect(struct mux *mux);
