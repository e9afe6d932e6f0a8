/* Peers: the addresses an upstream sends requests to, and what is known of each.
 *
 * A peer_set is the list of peers an upstream has now; when DNS changes it is replaced by another
 * one, never changed (but for the round-robin weights, which the upstream's lock guards). A
 * peer_state is what all loops know of a peer; successive sets and config snapshots share it, so
 * that neither a reload nor a change of a neighbour forgets health and counters. Runs in: worker,
 * any thread. */
#pragma once

#include "base/slice.h"
#include "event/address.h"

#include <stdatomic.h>
#include <stdint.h>

struct app_instance;
struct balance;
struct loop;
struct registry;
struct server;

/* How an attempt at a peer ended. */
enum outcome {
    OUTCOME_OK,   /* an answer that is no reason to try another peer */
    OUTCOME_NEXT, /* another peer is tried, but this one did well (http_403, http_404, non-failures)
                   */
    OUTCOME_REFUSED,         /* connection level: refused, unreachable, no such unix socket */
    OUTCOME_CONNECT_TIMEOUT, /* connection level */
    OUTCOME_RESET,   /* connection level: closed or reset before any of the answer arrived */
    OUTCOME_TIMEOUT, /* connected, but no answer in time */
    OUTCOME_INVALID, /* the answer could not be parsed */
    OUTCOME_STATUS,  /* a status listed in proxy_next_upstream that counts as a failure */
    OUTCOME_TLS,     /* handshake or certificate failed */
    OUTCOME_COUNT,
};

/* "refused the connection", "did not accept a connection in time", ...: follows "peer X ". */
const char *outcome_text(enum outcome outcome);

struct peer_counters { /* a reader's copy */
    uint64_t requests; /* attempts begun */
    uint64_t fails;    /* attempts that ended with a failure */
    uint64_t bytes_sent;
    uint64_t bytes_received;
};

/* The first block never changes; the rest are atomics that any thread may read. */
struct peer_state {
    struct peer_state *next;   /* the registry's chain; its lock */
    struct registry *registry; /* borrowed: outlives every state */
    struct slice upstream;     /* owned: the name of the upstream */
    uint64_t upstream_hash;
    const char *text; /* owned: "127.0.0.1:80", "[::1]:80", "unix:/path"; terminated */
    uint64_t key_hash;
    unsigned ordinal; /* the Nth of equal addresses in one upstream, from 0 */

    atomic_uint refs;
    atomic_uint active;           /* attempts under way in all loops: least_conn, max_conns */
    atomic_uint fails;            /* failures that count towards max_fails */
    atomic_uint reason;           /* enum outcome of the last failure */
    atomic_bool probing;          /* a loop has claimed the task to find out when it is back */
    _Atomic uint64_t accessed_ms; /* last failure */
    _Atomic uint64_t checked_ms;  /* last failure, or when it was first tried after one */
    _Atomic uint64_t failed_ms;   /* since when it is out of rotation; 0: it is not */
    _Atomic uint64_t back_ms;     /* since when it is in rotation (again); 0: from the beginning */
    atomic_uint slow_credit;      /* slow_start: parts of a turn saved up */
    atomic_bool retired;          /* its instance leaves: no connection is kept */
    _Atomic uint64_t instance_serial; /* of the instance that has this address; 0: no app's */
    atomic_uint connect_ewma_us;      /* moving averages; 0: none yet */
    atomic_uint header_ewma_us;
    atomic_uint response_ewma_us;
    _Atomic uint64_t requests;
    _Atomic uint64_t failures;
    _Atomic uint64_t bytes_sent;
    _Atomic uint64_t bytes_received;

    struct address address; /* never changes; last: cut to address_bytes() */
};

struct peer_state *peer_state_ref(struct peer_state *state);
void peer_state_unref(struct peer_state *state); /* NULL is fine */
struct peer_counters peer_state_counters(const struct peer_state *state);

/* Adds to the byte counters: once per attempt. */
void peer_state_count_bytes(struct peer_state *state, uint64_t sent, uint64_t received);

/* One place in a set. */
struct peer {
    const struct server
        *server;              /* borrowed from the upstream: weight, limits, name as configured */
    struct peer_state *state; /* one reference */
    struct app_instance *instance; /* one reference; NULL: not an app's */
    int current_weight;            /* upstream->lock */
    int effective_weight;          /* upstream->lock */
};

static inline const struct address *peer_address(const struct peer *peer)
{
    return &peer->state->address;
}

/* For $upstream_addr; terminated. */
static inline const char *peer_text(const struct peer *peer)
{
    return peer->state->text;
}

struct peer_set {
    atomic_uint refs;
    unsigned primary_count; /* peers[0 .. primary_count - 1], then the backups */
    unsigned peer_count;
    unsigned total_weight[2]; /* of the primaries, of the backups */
    bool single;              /* one peer and no other: never marked failed, as in nginx */
    void *ring; /* owned: what the algorithm prepared (consistent hash: its points; random: ranges),
                   or NULL */
    struct peer peers[];
};

struct peer_set *peer_set_ref(struct peer_set *set);
void peer_set_unref(struct peer_set *set); /* NULL is fine */
