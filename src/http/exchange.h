/* One request and its response, whatever the protocol.
 *
 * Handlers and features see exchanges only, never a codec: HTTP/1, 2, 3, an internal redirect and a
 * subrequest are ways to make one. An exchange lives in its arena and dies with it, whole. Runs in:
 * worker, the thread of its loop.
 *
 * Life: a codec fills `request`, calls exchange_start(); exchange_run() walks the steps (choose
 * server, phases, content); a content handler makes the response with the functions of
 * http/response.h; the codec sends it; STEP_LOG; the codec's `done` frees it. Who cannot go on
 * returns WAIT after arranging that exchange_resume() is called. */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "config/variable.h"
#include "http/header.h"
#include "http/method.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct address;
struct arena;
struct body_filter;
struct chunk;
struct codec;
struct exchange;
struct feature;
struct feature_slot;
struct gather;
struct http_conf;
struct http_listen;
struct http_location;
struct http_loop;
struct http_server;
struct loop;
struct snapshot_user;
struct tls_conn;
struct tunnel_end;

enum step {
    STEP_SERVER,         /* choosing the server by address and host */
    STEP_POST_READ,      /* realip */
    STEP_SERVER_REWRITE, /* rewrite module, server level */
    STEP_LOCATION,       /* choosing the location by URI */
    STEP_REWRITE,    /* rewrite module, location level; a changed URI goes back to STEP_LOCATION */
    STEP_PREACCESS,  /* limits */
    STEP_ACCESS,     /* allow/deny, passwords, subrequests; `satisfy` */
    STEP_PRECONTENT, /* try_files, mirror */
    STEP_CONTENT,    /* the location's handler, or index, autoindex, static in this order */
    STEP_RESPOND,    /* sending */
    STEP_FAIL,       /* answering with an error status: error_page, or our own page */
    STEP_LOG,        /* access log, counters */
    STEP_DONE,
    STEP_COUNT,
};

/* What a step or a phase handler says. */
enum verdict {
    GO_ON, /* step: x->step names the next one */
    WAIT,  /* exchange_resume() will be called */
    ENDED, /* the exchange is gone: touch nothing */
};

/* What a feature's phase handler says. */
enum phase_verdict {
    PHASE_PASS,     /* nothing to do here: the next handler */
    PHASE_ALLOW,    /* access phase: allowed explicitly (`satisfy any` stops asking) */
    PHASE_DENY,     /* access phase: refused, x->deny_status says with what (`satisfy any` goes on
                       asking) */
    PHASE_WAIT,     /* will call exchange_resume(); the same handler is called again then */
    PHASE_RESPONDS, /* this handler has begun (or will make) the response: the phases are over */
    PHASE_MOVED, /* it changed x->step or the URI by itself (internal redirect): run from there */
};

struct request {
    enum method method;
    struct slice method_name;
    struct slice line;   /* the whole request line as received: $request */
    struct slice target; /* as received: $request_uri */
    struct slice path;   /* the target's path before normalisation, without arguments */
    struct slice uri;    /* normalised and decoded, current (rewrites change it): $uri */
    struct slice args;   /* without the '?', current: $args */
    struct slice
        host; /* lower case, without port: from the target, the Host field, or empty: $host */
    uint16_t host_port;          /* 0: none was given */
    unsigned version;            /* 9, 10, 11, 20, 30: $server_protocol */
    struct header_list *headers; /* the codec's, in order of arrival */
    int64_t content_length;      /* -1: none declared */
    bool chunked;                /* a body of unknown length follows (any protocol) */
    bool uri_plain;              /* uri is path, byte for byte: nothing was decoded or merged */
    bool uri_changed;            /* a rewrite changed it since the location was chosen */
    bool uri_moved; /* uri or args are not what `target` says any more: rewritten or redirected */
    bool uri_detached;   /* `rewrite ... break`: the location's prefix is not in it any more */
    bool args_in_target; /* there was a '?' */
    bool expects_continue;
    bool wants_upgrade;  /* Connection: upgrade and an Upgrade field */
    uint64_t head_bytes; /* received for line and fields */
};

/* The request's body, made available by the codec; see http/body.h. */
struct body {
    struct chunk *first; /* decoded bytes not yet taken by the consumer */
    struct chunk **last;
    uint64_t queued_bytes;   /* in memory in this list */
    uint64_t received_bytes; /* decoded so far */
    uint64_t wire_bytes;     /* as received, framing included: for $request_length */
    bool complete;           /* the last byte has been queued */
    bool failed;             /* cut off, malformed or timed out: fail_status says what to answer */
    bool started;            /* somebody reads it */
    bool discarding;
    int fail_status;
    int temp_fd;            /* >= 0: what did not fit into memory (body_read_all); owned */
    struct slice temp_path; /* if the file has a name: $request_body_file */
    uint64_t temp_bytes;
    struct header_list *trailers; /* fields behind it, once it is complete; NULL: none */
    size_t memory_max;            /* a consumer's bound: the codec stops reading beyond */
    void (*on_data)(
        struct exchange *x); /* consumer: chunks were queued, or complete or failed was set */
};

/* The response's head. Set before response_begin(). */
struct response {
    int status;
    struct slice reason;       /* empty: the usual phrase */
    struct slice content_type; /* empty: none; charset is appended by the charset feature */
    struct slice charset;
    struct slice
        location; /* for redirects: relative ones are completed as absolute_redirect says */
    int64_t content_length; /* -1: unknown, framing is the codec's affair */
    time_t last_modified;   /* -1: none */
    bool begun;             /* response_begin() was called: status and headers are final */
    bool ended;             /* response_end() was called */
    bool no_body;           /* HEAD, 204, 304 */
    bool of_peer;           /* passed on: what its fields mean to the client is the peer's affair */
    bool allow_ranges;      /* the range filter may cut it */
    bool seeks;             /* the producer sends content_length bytes from first_byte on: a single
                               range needs no filter */
    uint64_t first_byte;    /* set by the range filter if `seeks` */
    bool single_range;      /* only single ranges (slices, caches) */
    bool header_only_etag_weak; /* a filter changed the bytes: the ETag must become weak */
    bool chunked_allowed;       /* `chunked_transfer_encoding` */
    struct chunk *first;        /* body chunks that passed the filters, for the codec */
    struct chunk **last;
    uint64_t queued_bytes;               /* in them, memory and files */
    uint64_t queued_memory;              /* in them, memory only */
    uint64_t body_bytes_sent;            /* set by the codec: $body_bytes_sent */
    uint64_t bytes_sent;                 /* with the head: $bytes_sent */
    struct body_filter *filters;         /* first filter, or NULL */
    void (*on_room)(struct exchange *x); /* producer: the queue went below its mark; called at most
                                            once per response_wait_room() */
    bool wants_room;
    struct body_filter
        *held;          /* a filter that goes on when there is room, and before the producer */
    bool held_producer; /* meanwhile response_wait_room() or response_end() were called */
    bool held_end;
    struct header_list headers; /* the other fields, in order; last in the struct: not zeroed, see
                                   exchange_new() */
    struct header_list trailers;
};

enum exchange_flags {
    X_INTERNAL = 1 << 0, /* made by a redirect or subrequest: `internal` locations are open to it */
    X_ERROR_PAGE = 1 << 1, /* an error page is being made: another error is not redirected unless
                              recursive_error_pages */
    X_STATUS_FIXED =
        1 << 2, /* error_page =code: the final status is x->error_status whatever the page says */
    X_STATUS_ANY = 1 << 3,  /* error_page = uri: the page's own status counts */
    X_CLOSE_AFTER = 1 << 4, /* no keep-alive after this one */
    X_LINGER = 1 << 5,      /* unread bytes may follow: lingering close */
    X_CLIENT_GONE = 1 << 6, /* the client closed (499) */
    X_CLIENT_FIN = 1 << 7,  /* the client shut its side down */
    X_HANDLER_OWNED =
        1 << 8, /* the content handler has work that must be cancelled (on_abort is set) */
    X_SUBREQUEST = 1 << 9,
    X_NAMED = 1 << 10,     /* the location was chosen by name: STEP_LOCATION is skipped */
    X_TIMED_OUT = 1 << 11, /* the client was too slow: 408 */
    X_IGNORES_ABORT =
        1 << 12, /* the handler goes on although the client has gone (proxy_ignore_client_abort) */
    X_RESET = 1 << 13, /* the connection ends with RST (reset_timedout_connection) */
};

struct exchange {
    struct subject subject; /* first: arena, variables, captures, client address */
    struct log_subject log; /* names this exchange in every error line */
    enum step step;
    unsigned flags; /* enum exchange_flags */
    struct loop *loop;
    struct http_loop *http;
    struct snapshot_user *user; /* holds the snapshot it began with */
    const struct http_conf *conf;
    const struct http_listen *listen;     /* where the client connected to */
    const struct http_server *server;     /* NULL until STEP_SERVER */
    const struct http_location *location; /* NULL: server level */
    const struct settings
        *settings; /* [feature index] of the innermost block in force (server, location, if) */
    const struct codec *codec;
    void *stream;               /* the codec's: connection or stream */
    struct exchange *parent;    /* subrequest: who asked; else NULL */
    struct feature_slot *slots; /* what features keep per exchange; arena */
    struct request request;
    struct body body;
    struct gather *body_gather; /* http/body.c's, once the whole body was asked for; arena */
    struct chunk *free_chunks;  /* used up ones, for chunk_new() */
    unsigned phase_index;       /* next handler within the phase of `step` */
    unsigned redirects;         /* internal ones so far: at most 10 */
    int fail_status;            /* what exchange_fail() was called with, for STEP_FAIL */
    int error_status; /* the status that led to an error page; for X_STATUS_FIXED the one to send */
    int deny_status;
    bool access_allowed; /* satisfy any: somebody allowed */
    bool running;        /* exchange_run() is on the stack */
    bool again;          /* exchange_resume() was called meanwhile */
    uint64_t start_ms;   /* monotonic: $request_time */
    uint64_t start_wall_ms;
    uint64_t limit_rate;       /* bytes per second, 0: none ($limit_rate, X-Accel-Limit-Rate) */
    uint64_t rate_start_ms;    /* monotonic: when limit_rate was first asked; 0: not yet */
    uint64_t limit_rate_after; /* bytes sent before it counts */
    bool limit_rate_set;       /* by variable or header: overrides the directive */
    struct address *local;     /* the address connected to; filled by exchange_local_address() */
    void (*on_abort)(struct exchange *x); /* handler's: the client has gone or the exchange is being
                                             destroyed; must not touch x afterwards */
    void *handler_data;                   /* the content handler's */
    const char *doing; /* ends "while ..." in log lines; NULL: the step's own words */
    const struct feature *upstream_feature; /* the proxying feature in charge, for its variables */
    struct slice upstream_text;             /* the peer being asked, for log lines; empty: none */
    void *upstream_state;                   /* its log of tries, arena: $upstream_* */
    uint64_t connection_id;
    uint64_t connection_requests;
    bool pipelined;               /* it came together with the request before it: $pipe */
    uint64_t connection_start_ms; /* monotonic: $connection_time */
    const struct proxy_protocol
        *proxy_protocol;      /* what a PROXY header said; NULL: there was none */
    struct tls_conn *tls;     /* the client's; NULL: in the clear. Borrowed */
    int client_fd;            /* the client's socket, for TCP_INFO; -1: none. Borrowed */
    bool logged;              /* STEP_LOG has run */
    bool *freed_flag;         /* exchange_run()'s, to learn that a handler ended the exchange */
    struct response response; /* last: its header lists are not zeroed */
};

/* What every exchange touches: its own fields, and those of the codec, whose memory mostly lies
 * behind it. For fetch_memory(). */
enum {
    EXCHANGE_HOT_BYTES = offsetof(struct exchange, response.headers) + 64,
    CODEC_HOT_BYTES = 512,
};

/* What a protocol offers to exchanges. All run in the loop's thread. */
struct codec {
    const char *name; /* "HTTP/1.1" */
    /* The head is final, `x->response.begun`: may be sent together with the first body bytes, at
     * the next flush. */
    void (*send_head)(struct exchange *x);
    /* Sends as much of head and queued chunks as the socket takes; asks on_room; after the last
     * byte calls exchange_sent(). May end the exchange: nothing may follow. */
    void (*flush)(struct exchange *x);
    /* An interim response (100, 103) at once. */
    bool (*send_interim)(struct exchange *x, int status, const struct header_list *headers);
    /* Somebody wants the request's body: start or go on delivering into x->body. May call
     * x->body.on_data before it returns. */
    void (*read_body)(struct exchange *x);
    /* After response_begin() with status 101: sends the head and hands over the client's side,
     * bytes already read included; lives as long as the exchange. NULL: not possible (the protocol,
     * or no memory). See http/tunnel.h. */
    struct tunnel_end *(*upgrade)(struct exchange *x);
    /* STEP_LOG is over: the codec takes back the exchange and goes on with its connection. Frees
     * `x`. */
    void (*done)(struct exchange *x);
    /* Ends it without (more of) an answer: closes the connection or resets the stream. Logs are
     * written; frees `x`. */
    void (*abort)(struct exchange *x, bool reset);
};

/* Takes an exchange (zeroed, with arena and subject.arena set) from the loop's pool; the codec
 * fills loop, http, codec, stream, subject.client, log, request. `user`: the snapshot it is to be
 * answered by. NULL: no memory. */
struct exchange *exchange_new(struct http_loop *http, struct snapshot_user *user);

/* The head is complete: walks the steps. */
void exchange_start(struct exchange *x);

/* For who returned PHASE_WAIT or WAIT: go on. Safe from within a handler (runs after it has
 * returned). May end the exchange. */
void exchange_resume(struct exchange *x);

/* Ends the phases with an error status (or 444: close without an answer): error_page, else our own
 * page. Nothing is sent and nothing freed before the steps go on: gives PHASE_RESPONDS, so that
 * handlers write `return exchange_fail(x, 403);`. Before response_begin() only; after it use
 * exchange_abort(). */
enum phase_verdict exchange_fail(struct exchange *x, int status);

/* For a codec whose request never came to its steps (malformed, cut off): answers it with a status,
 * by the server chosen already. */
void exchange_refuse(struct exchange *x, int status);

/* In the access phase: refuse, unless `satisfy any` finds somebody who allows. */
enum phase_verdict exchange_deny(struct exchange *x, int status);

/* Starts over at STEP_SERVER_REWRITE with another URI (and args; empty data: none). Fails with 500
 * after 10 cycles. Returns PHASE_MOVED or PHASE_RESPONDS. */
enum phase_verdict exchange_redirect(struct exchange *x, struct slice uri, struct slice args);

/* Goes to a named location ("@name"), keeping the URI. */
enum phase_verdict exchange_redirect_named(struct exchange *x, struct slice name);

/* After the phases began elsewhere (asynchronously): runs what a handler that did not end `x` has
 * decided. */
void exchange_continue(struct exchange *x);

/* The three above for who is in no phase: content handlers and what the loop calls. They go on at
 * once, and `x` may be gone afterwards. */
void exchange_fail_now(struct exchange *x, int status);
void exchange_move(struct exchange *x, struct slice uri, struct slice args);
void exchange_move_named(struct exchange *x, struct slice name);

/* The codec has sent the last byte of the response. */
void exchange_sent(struct exchange *x);

/* The response cannot be completed: closes (reset: with RST). Frees x. */
void exchange_abort(struct exchange *x, bool reset);

/* The client has gone: cancels the handler unless it ignores that (proxy_ignore_client_abort); logs
 * 499. May free x. */
void exchange_client_gone(struct exchange *x);

/* Per-exchange memory of a feature, zeroed at first use. NULL: no memory. */
void *exchange_slot(struct exchange *x, const struct feature *feature, size_t bytes);

/* The same if it was used already, else NULL. */
void *exchange_slot_used(const struct exchange *x, const struct feature *feature);

/* Address connected to (getsockname at most once). */
const struct address *exchange_local_address(struct exchange *x);

/* Request header by id, empty slice if absent; and by name. */
static inline struct slice exchange_header(const struct exchange *x, enum header_id id)
{
    return x->request.headers == NULL ? slice_make(NULL, 0)
                                      : header_list_value(x->request.headers, id);
}

static inline struct exchange *exchange_of(struct subject *subject)
{
    return (struct exchange *)subject;
}

/* Did the request come by TLS? */
static inline bool exchange_is_secure(const struct exchange *x)
{
    return x->tls != NULL;
}

/* Settings of a feature in the block in force; by index so that it is one load. */
#define exchange_conf(x, feature) settings_at((x)->settings, (feature).index)
