/* Relaying: an exchange is answered by a peer.
 *
 * The driver that proxy_pass, fastcgi_pass and their like share. It reads the request's body (all
 * of it, or as it comes), picks a peer, connects, sends, reads the answer's head and body and
 * passes them on, tries the next peer where that is allowed, and keeps the tries for the log. What
 * bytes look like on the wire is the affair of an `upstream_codec`; what the head says, of the
 * feature's hooks. A relay lives in the exchange's arena; x->handler_data points to it while it
 * works. Runs in: worker, loop thread. */
#pragma once

#include "balance/pick.h"
#include "base/slice.h"
#include "event/loop.h"
#include "http/exchange.h"
#include "http/h1/parse.h"
#include "http/header.h"
#include "http/relay/settings.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct chunk;
struct peer_conn;
struct relay;
struct relay_frame;
struct relay_try;
struct tls_client;
struct tunnel;
struct upstream;

/* What a peer's answer says, in any protocol. Filled by the codec's read_head; `fields` may be
 * changed by the hooks. */
struct relay_answer {
    unsigned status;
    unsigned version; /* 10, 11, ... of the peer */
    struct slice reason;
    struct header_list *fields; /* lives as long as the exchange */
    struct header_list
        *trailers; /* filled at the end of the body; NULL: the protocol or the answer has none */
    enum body_kind body_kind;
    uint64_t body_bytes; /* BODY_LENGTH */
    bool has_length;
    bool keep_alive; /* the connection can be used again after the body */
};

/* What read_body found in r->in. */
enum relay_body {
    RELAY_BODY_MORE,
    RELAY_BODY_END,
    RELAY_BODY_BROKEN, /* r->broken says why */
};

/* A protocol spoken to peers. `r->codec_state` is its own. */
struct upstream_codec {
    const char *name; /* "HTTP/1.1" */
    size_t state_bytes;
    /* Before every attempt: forget what was read. */
    void (*begin)(struct relay *r);
    /* Bytes to put around a piece of a body of unknown length (`len` 0: the end of the body): at
     * most RELAY_FRAME_MAX in each. */
    void (*frame)(struct relay *r, uint64_t len, struct relay_frame *frame);
    /* Looks at r->in for a head (interim ones too: status 1xx) and consumes it. PARSE_ERROR:
     * r->broken says why. */
    enum parse_result (*read_head)(struct relay *r);
    /* Consumes what can be understood of r->in, passing the body on with relay_emit(). */
    enum relay_body (*read_body)(struct relay *r);
    /* The peer has closed: was that the proper end of the body? */
    bool (*ends_with_close)(struct relay *r);
};

/* Which protocol peers are spoken to in. */
enum relay_version {
    RELAY_H1,
    RELAY_H2,      /* by TLS: if the peer chooses it, else HTTP/1.1 */
    RELAY_H2_ONLY, /* gRPC */
};

enum { RELAY_FRAME_MAX = 24 };

struct relay_frame {
    char head[RELAY_FRAME_MAX];
    char tail[RELAY_FRAME_MAX];
    uint8_t head_len;
    uint8_t tail_len;
};

enum rewrite {
    REWRITE_NONE,   /* the value stays */
    REWRITE_DONE,   /* `*value` is new */
    REWRITE_FAILED, /* no memory */
};

/* What the feature in charge adds. */
struct relay_hooks {
    /* Writes the request's head into r->head (relay_head_room()). Called once, when the length of
     * the body is known. False: no memory. */
    bool (*make_head)(struct relay *r);
    /* Location, Refresh and Set-Cookie of an answer; NULL: nothing is rewritten. */
    enum rewrite (*rewrite)(struct relay *r, enum header_id id, struct slice *value);
    /* The answer's body is about to begin, the head went out (proxy_store); NULL: nobody wants to
     * know. */
    void (*on_answer)(struct relay *r);
    void (*on_body)(struct relay *r, struct slice bytes);
    void (*on_end)(struct relay *r, bool complete);
};

enum relay_state {
    RELAY_IDLE,      /* nothing is awaited: being set up, or over */
    RELAY_GATHERING, /* the request's body is being read */
    RELAY_WAITING,   /* for an instance of an app */
    RELAY_CONNECTING,
    RELAY_ASKING,    /* connected: the request is being sent, the head of the answer is awaited */
    RELAY_HOLDING,   /* the head of the answer is here, the body is awaited for a moment */
    RELAY_ANSWERING, /* the head has been passed on: the body follows */
    RELAY_DRAINING,  /* the peer is done: what it said waits in a file for the client */
    RELAY_TUNNEL,
    RELAY_OVER,
};

enum relay_flags {
    RELAY_STREAMS = 1 << 0,      /* the request's body is sent as it comes */
    RELAY_FRAMES = 1 << 1,       /* its length is unknown: the codec frames it */
    RELAY_SENT = 1 << 2,         /* the request went out whole */
    RELAY_SEND_BROKEN = 1 << 3,  /* the peer takes no more; perhaps it has said why */
    RELAY_BEGAN_SEND = 1 << 4,   /* at least a byte of the request went out to this peer */
    RELAY_FRESH_ONLY = 1 << 5,   /* an idle connection failed: open a new one */
    RELAY_UPGRADE = 1 << 6,      /* the peer is asked to switch protocols */
    RELAY_NO_BODY_BACK = 1 << 7, /* HEAD was asked */
    RELAY_PEER_CLOSED = 1 << 8,
    RELAY_UNBUFFERED = 1 << 9, /* the answer is passed on as it comes */
    RELAY_PICKING = 1 << 11,   /* pick_end() is due */
    RELAY_BUSY = 1 << 12,      /* relay_read_body() is on the stack */
    RELAY_IN_ROOM = 1 << 13,   /* called from within the codec's flush */
};

/* What went out and what is to go out. */
struct relay_out {
    struct slice head; /* rest of the head */
    struct chunk *first;
    struct chunk **last;
    uint64_t queued_bytes;
    bool complete; /* nothing will be added */
    /* What a stream has pulled of a body that goes by, while it may have to be sent again: from its
     * beginning. */
    struct chunk *kept;
    struct chunk **kept_last;
    uint64_t kept_bytes;
    bool keeps_none; /* it was too much, or the answer has begun */
};

/* Bytes of the answer in a temporary file: [sent, end) are not yet queued for the client. */
struct relay_spool {
    int fd; /* -1: none; owned */
    uint64_t sent;
    uint64_t end;
    bool useless; /* there is no file to be had: the peer waits instead */
};

struct relay {
    struct exchange *x; /* borrowed */
    const struct relay_conf *conf;
    const struct upstream_codec *codec; /* may be another one for each peer */
    const struct relay_hooks *hooks;
    void *codec_state;   /* arena; of the one that relay_start names */
    void *feature_state; /* the feature's */
    struct upstream *upstream;
    enum relay_version h2;
    uint64_t avoid;         /* the shared connection used last */
    struct tls_client *tls; /* borrowed: of the config; NULL: in the clear */
    struct slice tls_name;  /* whom we mean to speak with; terminated; arena */
    bool tls_send_name;
    bool tls_reuse;
    struct pick pick;
    struct peer_conn *conn; /* owned while set */
    enum relay_state state;
    unsigned flags;           /* enum relay_flags */
    struct deadline deadline; /* of what is awaited from the peer */
    struct deadline pace; /* when reading goes on: limit_rate, or others had to have their turn */
    struct relay_try *try;
    uint64_t start_ms;
    uint64_t try_start_us;
    unsigned attempts; /* connections that were asked */
    int tries_left;    /* 0: one peer after the other */
    bool any_limit;    /* tries_left counts */
    bool *gone;        /* told when the relay is dropped under a caller */

    /* The request. */
    struct slice method; /* as sent to the peer */
    enum method method_id;
    struct buf *head_buf; /* owned: holds `head` */
    struct slice head;
    int64_t body_length;   /* -1: none, or unknown with RELAY_FRAMES */
    bool needs_length;     /* the peer does not understand framing: a body of unknown length is read
                              first */
    struct slice own_body; /* proxy_set_body; `.data` NULL: the client's */
    struct relay_out out;
    const struct upstream_codec *framer; /* who framed what is in `out` */
    uint64_t body_sent;                  /* of a streamed body, to the present peer */

    /* The answer. */
    struct relay_answer answer;
    struct buf *in;         /* owned: [start, end) was received and not understood yet */
    struct buf *kept;       /* owned: the fields of the answer point into it */
    uint64_t received;      /* from the present peer */
    uint64_t awaited_after; /* `received` when the deadline was armed last */
    uint64_t rate;          /* bytes per second, 0: no limit */
    unsigned interims;
    const char *broken; /* what was wrong with the answer */
    struct relay_spool spool;
    struct tunnel *tunnel; /* arena; RELAY_TUNNEL */
};

struct relay_start {
    const struct relay_conf *conf;
    const struct upstream_codec *codec;
    const struct relay_hooks *hooks;
    const struct feature *feature; /* for variables of the feature */
    void *feature_state;
};

/* Makes the relay of an exchange; the caller sets upstream, method and own_body and then calls
 * relay_begin(). NULL: no memory, the exchange has been answered: touch nothing. */
struct relay *relay_new(struct exchange *x, const struct relay_start *start);

/* Goes to work. `r` and the exchange may be gone afterwards. */
void relay_begin(struct relay *r);

/* Answers with an error (the relay ends): before the answer began only. `x` may be gone afterwards.
 */
void relay_refuse(struct relay *r, int status);

/* For make_head: a buffer of at least `bytes`, which becomes r->head_buf. NULL: no memory. */
struct buf *relay_head_room(struct relay *r, size_t bytes);

/* For codecs: a piece of the answer's body within r->in, which stays where it is until it was sent.
 * False: no memory. */
bool relay_emit(struct relay *r, struct slice bytes);

extern const struct upstream_codec upstream_h1;
extern const struct upstream_codec upstream_h2; /* over streams of shared connections */

/* Per loop: gives back what relays share (shared connections to peers). */
void relay_loop_end(void *slot);

/* Memory that lives as long as the exchange. */
static inline struct arena *relay_arena(const struct relay *r)
{
    return r->x->subject.arena;
}
