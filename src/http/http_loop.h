/* What one loop keeps for HTTP: snapshots in use, pools, listeners, connections. Runs in: worker,
 * its loop's thread. */
#pragma once

#include "base/list.h"
#include "event/loop.h"
#include "http/server.h"
#include "tls/failure.h"

struct address;
struct exchange;
struct feature;
struct h1_conn;
struct http_conf;
struct http_loop;

/* One loop's use of one snapshot: a plain count of its exchanges, and one atomic reference for all
 * of them. */
struct snapshot_user {
    struct snapshot *snapshot; /* shared (ref) */
    const struct http_conf *conf;
    struct http_loop *http;
    unsigned users; /* exchanges, and listeners that remember it; the loop's own use while it is
                       current */
};

/* A listening socket in this loop. Stays while a connection accepted from it is open. */
struct http_listener {
    struct list link;
    struct io io; /* fd borrowed from the worker; -1 once it stopped accepting */
    struct http_loop *http;
    struct slice key;           /* heap: the spec's text */
    struct snapshot_user *user; /* the latest snapshot that has it */
    unsigned index;             /* its place in user->conf->listens */
    bool shared;                /* with the other loops */
    unsigned accepted;          /* since this loop last went to the end of the socket's queue */
    unsigned connections;       /* open ones accepted here */
    struct deadline pause;      /* no descriptor was free: it accepts again after that */
};

struct http_counters { /* changed by http_count() in the loop's thread, read by any (relaxed) */
    uint64_t accepted;
    uint64_t handled;
    uint64_t requests;
    uint64_t active;     /* open connections */
    uint64_t reading;    /* ... whose request's head has begun to come */
    uint64_t writing;    /* ... with a request that is being answered */
    uint64_t waiting;    /* ... between two requests */
    uint64_t handshakes; /* TLS, with clients */
    uint64_t handshakes_resumed;
    uint64_t handshakes_early; /* with early data */
    uint64_t handshakes_failed[TLS_FAILURE_COUNT];
};

/* Only the loop's own thread counts, so that a plain addition will do; others may look meanwhile.
 */
static inline void http_count(uint64_t *counter, int change)
{
    __atomic_store_n(counter, *counter + (uint64_t)(int64_t)change, __ATOMIC_RELAXED);
}

/* The lines Server and Date as they are this second. */
struct head_stamp {
    int64_t second;
    const char *server; /* for this name, which is one of ours; NULL: not made yet */
    size_t len;
    char text[96];
};

/* A date that went out as Last-Modified: the same few go out again and again. */
struct known_date {
    int64_t when;
    char text[30]; /* empty: no date */
};

enum { KNOWN_DATES = 16 }; /* a power of two */

struct http_loop {
    struct loop *loop;             /* borrowed */
    struct http_shared *shared;    /* borrowed */
    struct snapshot_user *current; /* NULL before the first http_loop_use() */
    struct list listeners;
    struct list connections; /* every client connection, any protocol: struct client_conn.link */
    struct list idle; /* those between two requests, oldest first: struct client_conn.idle_link */
    size_t connection_count;
    uint64_t next_connection_id;
    struct exchange *free_exchanges; /* kept with their arenas */
    unsigned free_exchange_count;
    struct h1_conn *free_conns; /* HTTP/1 connections to use again */
    struct h1_conn
        *closed_conns; /* closed in this turn: nobody frees what may still be on the stack */
    struct task reap_conns;
    void **slots; /* [feature index] per-loop state of features, heap */
    struct http_counters counters;
    struct head_stamp stamp;
    struct known_date dates[KNOWN_DATES]; /* by the lowest bits of `when` */
    bool draining;
    void (*on_empty)(void *data);
    void *on_empty_data;
};

/* What the loop must be able to do with a connection of any protocol. First member of each. */
struct client_conn {
    struct list link;
    struct list idle_link; /* linked while idle */
    const struct client_conn_ops *ops;
    uint64_t keep_until_ms; /* monotonic: idle, it is not closed before (keepalive_min_timeout) */
};

struct client_conn_ops {
    void (*close_idle)(
        struct client_conn *conn); /* it is between two requests: end it politely. Frees it */
    void (*drain)(
        struct client_conn *conn); /* a graceful end begins: no further request. May free it */
    void (*abort)(struct client_conn *conn); /* at once. Frees it */
};

/* Registers and forgets connections; false: no more are allowed (worker_connections) and none was
 * idle. */
bool http_loop_add(struct http_loop *http, struct client_conn *conn);
void http_loop_remove(struct http_loop *http, struct client_conn *conn);
/* `to` takes the place of `from`, which was registered: another protocol goes on with its socket.
 */
void http_loop_replace(struct http_loop *http, struct client_conn *from, struct client_conn *to);
void http_loop_set_idle(struct http_loop *http, struct client_conn *conn, bool idle);

struct snapshot_user *snapshot_user_ref(struct snapshot_user *user);
void snapshot_user_unref(struct snapshot_user *user);
void http_listener_unref(struct http_listener *listener);

/* Per-loop memory of a feature, zeroed at first use, kept until the loop ends (over reloads). NULL:
 * no memory. */
void *http_loop_slot(struct http_loop *http, const struct feature *feature, size_t bytes);
