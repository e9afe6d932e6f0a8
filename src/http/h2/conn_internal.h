/* What the files of the HTTP/2 server side share.
 *
 *   conn.c     life of the connection, its deadlines, its end
 *   session.c  nghttp2: options, settings, and its callbacks, which only take notes
 *   request.c  header fields to a request, DATA to its body
 *   respond.c  the codec: what exchanges ask for
 *   pump.c     all that is ready goes out in one writev
 *   tunnel.c   extended CONNECT
 *   guard.c    the score of misbehaviour
 *
 * nghttp2 must not be called again from its callbacks, and an exchange may do anything: so
 * callbacks put streams on the list `news`, and when a buffer has been read their exchanges are
 * told. What these answer is gathered at the end of the turn. Runs in: worker, loop threads. */
#pragma once

#include "base/buf.h"
#include "event/loop.h"
#include "http/core_conf.h"
#include "http/exchange.h"
#include "http/features/http2.h"
#include "http/h2/conn.h"
#include "http/h2/guard.h"
#include "http/http_loop.h"
#include "http/tunnel.h"
#include "tls/transport.h"

#include <nghttp2/nghttp2.h>

enum h2_state {
    H2_OPEN,
    H2_LINGER, /* our last byte is sent; what still comes is thrown away */
    H2_ORPHAN, /* the client has gone, and requests go on that do not mind */
    H2_CLOSED, /* the descriptor is gone; the memory goes at the end of the turn */
};

struct h2_gather;

/* Without streams it owns a session and a deadline, no buffer. */
struct h2_conn {
    struct client_conn client; /* first */
    struct io io;
    struct deadline deadline; /* idle, or the end of a drain, or of lingering */
    struct deadline head;     /* a header block has begun and does not come to its end */
    struct deadline again;    /* the pump goes on after others had their turn */
    struct task pump;
    struct task bury;
    struct http_loop *http;         /* borrowed */
    struct http_listener *listener; /* counted in its `connections` */
    nghttp2_session *session;       /* owned */
    struct tls_conn *tls;           /* owned; NULL: in the clear */
    struct proxy_protocol *proxy;   /* owned, heap; NULL without a PROXY header */
    struct buf *in;                 /* owned: what bodies refer to, with room behind; or NULL */
    struct buf *backlog;            /* owned: gathered, and not taken by the socket; or NULL */
    struct h2_gather *gather;       /* pump.c's, while it asks the session for frames */
    struct list streams;            /* h2_stream.link */
    struct list news;               /* h2_stream.news_link: something happened to them */
    struct list touched;            /* h2_stream.touched_link: the pump has to look at them */
    uint64_t id;
    uint64_t start_ms;
    struct h2_score score;
    int64_t ignored_bytes; /* received lately in frames that mean nothing to us, but for those of
                              streams we reset: below 0 such may still come */
    uint32_t stream_count;
    uint32_t requests;
    uint32_t idle_ms; /* keepalive_timeout of the location that answered last */
    uint8_t state;    /* enum h2_state */
    bool head_open;   /* between HEADERS and END_HEADERS */
    bool first_done;  /* a request has come: it is idle now, not late */
    bool leaving;     /* GOAWAY with its last stream was submitted */
    struct address peer;
};

/* What a stream of extended CONNECT has besides; in the arena of its exchange. */
struct h2_tunnel {
    struct tunnel_end end;
    struct io io;      /* without a descriptor: its bits are ours */
    struct buf *first; /* owned: from the client, chained */
    struct buf *last;
    bool failed; /* no memory */
};

/* One request; in the arena of its exchange. */
struct h2_stream {
    struct h2_conn *conn;
    struct exchange *x;
    struct list link;
    struct list news_link;
    struct list touched_link;
    bool *freed_flag;         /* of who calls out to the exchange; NULL: nobody does */
    struct h2_tunnel *tunnel; /* extended CONNECT; NULL: an ordinary request */
    struct deadline send;     /* send_timeout: the client takes nothing of this stream */
    struct deadline rate;     /* the next portion of limit_rate */
    struct deadline body;     /* client_body_timeout */
    struct slice method, scheme, path, authority, protocol; /* pseudo fields; arena */
    struct slice cookie;                                    /* crumbs joined so far */
    char *cookie_bytes;                                     /* where; arena */
    size_t cookie_room;
    uint64_t credited_bytes; /* of the body, those the client may send again */
    uint64_t head_bytes;
    uint64_t trailer_bytes;
    int32_t id;
    int refuse_status;  /* the head is to be answered with it; 0: with what it asks for */
    bool began;         /* the head is complete and was told to the exchange */
    bool head_ready;    /* the head is complete */
    bool has_body;      /* HEADERS came without END_STREAM */
    bool received_all;  /* END_STREAM has come */
    bool body_news;     /* on_data has something to find */
    bool telling;       /* on_data is on the stack */
    bool reset;         /* closed before its end, by the client or by nghttp2 */
    bool gone;          /* the exchange goes on without a stream: its answer is thrown away */
    bool submitted;     /* the response's HEADERS are with nghttp2 */
    bool deferred;      /* nghttp2 waits for nghttp2_session_resume_data() */
    bool moved;         /* bytes went out since the pump looked last */
    bool finished;      /* the last frame is gathered */
    bool continue_sent; /* 100 (Continue) */
    struct header_list headers;
};

/* conn.c */
const struct http_listen *h2_conn_listen(const struct h2_conn *conn);
const struct core_conf *h2_conn_core(const struct h2_conn *conn);
const struct http2_conf *h2_conn_conf(const struct h2_conn *conn);
void h2_conn_log(const struct h2_conn *conn, enum log_level level, int error, const char *what);
void h2_conn_read(struct h2_conn *conn); /* reads, parses, tells: until the socket is empty */
void h2_conn_leave(struct h2_conn *conn, bool at_once); /* GOAWAY; streams under way go on */
/* Ends it with an error code for all streams; the socket's end is polite. */
void h2_conn_fail(struct h2_conn *conn, uint32_t error_code);
/* The socket is at its end: nobody is to be told. Who does not mind goes on. */
void h2_conn_lost(struct h2_conn *conn);
void h2_conn_after_pump(struct h2_conn *conn); /* idle, over, or neither */
/* The stream has lost its exchange: frees `x`. */
void h2_stream_free(struct h2_stream *stream);
extern const struct codec h2_codec;

/* session.c */
nghttp2_session *h2_session_new(struct h2_conn *conn);
/* Feeds `in`; false: the connection is at its end (h2_conn_fail() was called). */
bool h2_session_feed(struct h2_conn *conn, struct slice in);

/* A stream ends before its body does: as much as its window allows may be on its way. */
void h2_excuse_rest(struct h2_conn *conn);

/* request.c */
struct h2_stream *h2_stream_new(struct h2_conn *conn, int32_t id);
int h2_take_field(struct h2_stream *stream, struct slice name, struct slice value);
int h2_take_trailer(struct h2_stream *stream, struct slice name, struct slice value);
void h2_take_data(struct h2_stream *stream, struct slice data);
void h2_note(struct h2_stream *stream); /* puts it on the list of news */
/* Would the exchange go on without its client (proxy_ignore_client_abort)? */
bool h2_ignores_end(const struct h2_stream *stream);
void h2_on_reset(struct h2_stream *stream); /* `stream` may be gone */
void h2_tell_news(struct h2_conn *conn);    /* starts exchanges, hands over bodies, ends */
void h2_read_body(struct exchange *x);
void h2_watch_body(struct h2_stream *stream);

/* respond.c */
void h2_touch(struct h2_stream *stream); /* the pump will look at it this turn */
void h2_watch_client(struct h2_stream *stream);
void h2_drop_response(struct h2_stream *stream); /* nobody takes it: as if it were sent */
ssize_t h2_on_data_wanted(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                          uint32_t *data_flags, nghttp2_data_source *source, void *user_data);

/* tunnel.c */
bool h2_tunnel_new(struct h2_stream *stream); /* the request becomes one with Upgrade */
void h2_tunnel_take(struct h2_stream *stream, struct slice data);
void h2_tunnel_tell(struct h2_stream *stream); /* `stream` may be gone */
bool h2_tunnel_runs(const struct h2_stream *stream);
void h2_tunnel_free(struct h2_stream *stream);
struct tunnel_end *h2_upgrade(struct exchange *x);

/* pump.c */
void h2_pump_soon(struct h2_conn *conn);
void h2_pump(struct h2_conn *conn);
/* What was sent, or would have been, is told to exchanges. */
void h2_look_after(struct h2_conn *conn);
int h2_on_data_framed(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd,
                      size_t length, nghttp2_data_source *source, void *user_data);

/* False: the client did that too often; conn->score.fault says what. */
static inline bool h2_guard(struct h2_conn *conn, enum h2_glitch glitch)
{
    return h2_score_add(&conn->score, loop_now_ms(conn->http->loop), glitch);
}
