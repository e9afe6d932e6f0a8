/* What became of a request at each peer: the source of $upstream_addr and its family.
 *
 * A list in the exchange's arena (x->upstream_state) that outlives the relay and collects over
 * internal redirects: tries of one relay are separated by ", ", those of different relays by " : ".
 * Runs in: worker, loop thread. */
#pragma once

#include "base/slice.h"
#include "http/header.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange;

struct relay_try {
    struct relay_try *next;
    struct slice
        peer;   /* arena: "127.0.0.1:80", or the upstream's name when there was no peer to ask */
    bool first; /* of its relay: a colon stands before it, not a comma */
    unsigned status;    /* 0: there was none */
    int64_t connect_ms; /* -1: that did not happen */
    int64_t header_ms;
    int64_t response_ms;
    uint64_t response_bytes; /* of the body */
    uint64_t received_bytes; /* as on the wire */
    uint64_t sent_bytes;
    uint64_t start_ms; /* monotonic */
};

struct tries {
    struct relay_try *first;
    struct relay_try *last;
    const struct header_list
        *headers; /* of the last answer; lives as long as the exchange. NULL: none */
    const struct header_list *trailers; /* NULL: none */
};

/* The exchange's, made at first use. NULL: no memory. */
struct tries *tries_of(struct exchange *x);

/* Begins an entry. NULL: no memory. */
struct relay_try *tries_add(struct exchange *x, struct slice peer, bool first);

enum try_fact {
    TRY_ADDR,
    TRY_STATUS,
    TRY_CONNECT_TIME,
    TRY_HEADER_TIME,
    TRY_RESPONSE_TIME,
    TRY_RESPONSE_LENGTH,
    TRY_BYTES_RECEIVED,
    TRY_BYTES_SENT,
    TRY_FACT_COUNT,
};

/* The list of one fact over all tries, as the variables show it. False: nothing was tried (or no
 * memory). */
bool tries_text(struct exchange *x, enum try_fact fact, struct slice *text);
