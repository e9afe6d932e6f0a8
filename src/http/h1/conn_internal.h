/* What the files of the HTTP/1 server side share: conn.c (life and states), read.c (heads and
 * bodies in), send.c (out). Runs in: worker, loop threads. */
#pragma once

#include "base/buf.h"
#include "event/address.h"
#include "event/loop.h"
#include "event/socket.h"
#include "http/body.h"
#include "http/chunk.h"
#include "http/core_conf.h"
#include "http/exchange.h"
#include "http/h1/chunked.h"
#include "http/h1/parse.h"
#include "http/http_loop.h"
#include "http/proxy_protocol.h"
#include "http/tunnel.h"
#include "tls/transport.h"

enum h1_state {
    H1_PROXY_HEADER, /* the PROXY protocol comes first */
    H1_HELLO,        /* TLS is expected and nothing has come yet */
    H1_HANDSHAKE,    /* of TLS */
    H1_WAITING,      /* between two requests: no buffer, no exchange */
    H1_HEAD,         /* a request has begun to arrive */
    H1_EXCHANGE,     /* it is being answered */
    H1_DISCARD,      /* it is answered; the rest of its body is read and thrown away */
    H1_TUNNEL,       /* bytes flow both ways */
    H1_LINGER,       /* answered and shut down; what still comes is thrown away */
    H1_CLOSED,       /* the descriptor is gone; the memory goes at the end of the turn */
    H1_STATE_COUNT,
};

struct h1_stream;

/* Without a request it owns no buffer, no exchange and one deadline. */
struct h1_conn {
    struct client_conn client; /* first */
    struct io io;
    struct deadline deadline;       /* whatever is waited for in this state */
    struct http_loop *http;         /* borrowed */
    struct http_listener *listener; /* counted in its `connections` */
    struct buf *in;                 /* owned: bytes received and not used; NULL: none */
    struct h1_stream *stream;       /* arena of the exchange; NULL between requests */
    struct h1_conn *next_free;      /* pool, and the list of those closed in this turn */
    struct tls_conn *tls;           /* owned; NULL: in the clear */
    struct proxy_protocol *proxy;   /* heap; NULL without a PROXY header */
    uint64_t id;
    uint64_t start_ms; /* monotonic */
    uint32_t requests;
    uint32_t epoch;          /* counts exchanges that have ended: who called out compares it */
    uint32_t idle_ms;        /* keepalive_timeout of the location that answered last */
    uint32_t keep_ms;        /* its keepalive_min_timeout */
    uint32_t linger_ms;      /* its lingering_timeout */
    uint32_t linger_until_s; /* since start_ms: its lingering_time's end; 0: it does not linger */
    uint8_t state;           /* enum h1_state */
    bool crowded;            /* counted as one of its address's handshakes: `peer`'s */
    bool offers_h2;          /* by ALPN, for the server that the client named */
    bool parsing;            /* the loop over pipelined requests is on the stack */
    struct address peer;
};

/* One request on its connection; in the arena of its exchange. */
struct h1_stream {
    struct h1_conn *conn;
    struct exchange *x;
    struct buf *head_buf; /* reference: the request's slices point into it */
    struct chunk *wire;   /* framed, in the order of sending; the head first */
    struct chunk **wire_last;
    struct chunked chunked; /* of the request's body */
    uint64_t body_left;     /* of a body with a length */
    uint64_t wire_bytes;    /* queued and not sent */
    uint64_t taken_bytes;   /* of response.queued_bytes, those that are in `wire` */
    size_t head_bytes;      /* of the final head; 0: it was not made */
    struct deadline rate;   /* waits for the next portion of limit_rate */
    bool head_timed;        /* client_header_timeout runs */
    bool keep_alive;
    bool chunked_out;
    bool last_queued; /* the end of the body stands in `wire` */
    bool pumping;     /* read.c's loop is on the stack */
    bool pump_again;
    bool continue_sent;
    bool send_timed; /* the connection's deadline is send_timeout's */
    bool sending;    /* send.c's flush is on the stack */
    bool flush_again;
    struct tunnel_end tunnel;
    struct h1_request request;   /* last: its header list is large */
    struct header_list trailers; /* of a chunked body: else not even emptied */
};

/* conn.c */
void h1_conn_close(struct h1_conn *conn, bool reset);
bool h1_conn_hand_over(struct h1_conn *conn); /* it speaks HTTP/2: nothing may follow if true */
void h1_hurry(struct h1_conn *conn); /* the loop drains: a handshake may not last long any more */
void h1_conn_linger(struct h1_conn *conn);
void h1_conn_finish(struct exchange *x); /* answered, nothing of its body is wanted: what next? */
bool h1_conn_overdue(const struct h1_conn *conn); /* lingering_time has passed */
const struct http_listen *h1_conn_listen(const struct h1_conn *conn); /* of the latest config */
const struct core_conf *h1_conn_core(const struct h1_conn *conn);     /* of the default server */
const struct log *h1_conn_log(const struct h1_conn *conn);            /* the same */
void h1_conn_next(struct h1_conn *conn); /* reads and answers requests until it has to wait */
extern const struct codec h1_codec;

/* secure.c */
void h1_on_hello(struct h1_conn *conn);
void h1_on_handshake(struct h1_conn *conn);
void h1_on_handshake_deadline(struct h1_conn *conn);
void h1_leave_crowd(struct h1_conn *conn); /* its handshake is over, one way or the other */

/* read.c */
enum h1_read { H1_READ_STARTED, H1_READ_WAIT, H1_READ_CLOSED };
enum h1_read h1_read_request(struct h1_conn *conn);
void h1_read_body(struct exchange *x);
void h1_on_body_deadline(struct h1_conn *conn);
void h1_watch_body(struct exchange *x); /* client_body_timeout, while it is the client's turn */
void h1_discard(struct exchange *x);    /* more of the rest; may free `x` */
void h1_refuse(struct h1_conn *conn,
               int status); /* answers an unfinished request and closes afterwards */
bool h1_body_ends(const struct exchange *x); /* what is left of it can be read and thrown away */
void h1_drop_head(struct h1_conn *conn);     /* forgets a request whose head is not complete */
/* Bytes into conn->in (made if needed). */
struct io_result h1_fill(struct h1_conn *conn, size_t capacity);
void h1_drop_input(struct h1_conn *conn);

/* send.c */
void h1_send_head(struct exchange *x);
void h1_flush(struct exchange *x);
bool h1_send_interim(struct exchange *x, int status, const struct header_list *headers);
struct tunnel_end *h1_upgrade(struct exchange *x);
