/* Choosing peers for one request: one after the other, until one answers or none is left.
 *
 *   pick_begin(&x->pick, upstream, &x->subject, loop);
 *   while ((result = pick_next(&x->pick)) == PICK_PEER) {
 *       ... connect to peer_address(x->pick.peer), send, read ...
 *       pick_report(&x->pick, OUTCOME_REFUSED);   // exactly one report per peer
 *   }
 *   pick_end(&x->pick);
 *
 * An attempt is at the peer, not at one connection: a reused connection that turns out to be closed
 * is replaced by a fresh one to the same peer without a report.
 *
 * A pick holds the peer set it began with. When that is used up and DNS has brought a newer one, it
 * goes on there with the peers it has not tried. Order: peers in rotation, then backups, then those
 * marked failed ("last resort"): no request is refused before every peer that may answer was asked.
 * Runs in: worker, loop thread; the upstream's snapshot must live as long. */
#pragma once

#include "balance/peer.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct subject;
struct upstream;
struct waiter;

enum pick_result {
    PICK_PEER, /* pick->peer */
    PICK_NONE, /* nothing (left) to try: 502, "no live upstreams" */
    PICK_BUSY, /* all that could be tried are at max_conns: 502 as well, another sentence in the log
                */
    PICK_WAIT, /* an app may bring somebody: see balance/wait.h */
    PICK_UNRESOLVED, /* no address is known yet: 502, the sentence is in pick_why() */
};

struct pick {
    struct upstream *upstream; /* borrowed */
    struct subject *subject;   /* borrowed: key, client address, log, arena; NULL: none of these */
    struct loop *loop;         /* borrowed */
    struct peer_set *set;      /* a reference if the upstream is dynamic */
    struct peer *peer;         /* the one being tried, NULL between attempts */
    uint64_t begun_ms;         /* this attempt */
    unsigned tries;            /* attempts begun */
    uint64_t tried_few;        /* bitmap of a set of up to 64 peers */
    uint64_t *tried;           /* bitmap: &tried_few, or the subject's arena */
    struct slice key;          /* of hash; of ip_hash: bytes of the address */
    uint32_t hash;
    unsigned rehash;
    unsigned misses; /* places of a hash method found unusable */
    bool keyed;      /* the key has been computed */
    bool busy;       /* someone was passed over because of max_conns */
    bool last_resort;
    enum pick_result result; /* of the last look */
    bool tunnel;             /* the attempt has become one */
    bool lost;               /* an instance was asked that may just have died */
    unsigned changes;        /* of the sources, when it last looked for a peer */
    struct waiter *waiter;   /* owned; NULL: it does not wait */
    uint64_t wait_began_us;  /* the first wait of this request; 0: none yet */
    uint64_t wait_us;        /* this wait */
    uint64_t waited_us;      /* in all */
};

/* Cannot fail. A pick that has begun must be ended. */
void pick_begin(struct pick *pick, struct upstream *upstream, struct subject *subject,
                struct loop *loop);

/* The next peer to try. The one before must have been reported. */
enum pick_result pick_next(struct pick *pick);

/* How the attempt at pick->peer ended; pick->peer becomes NULL. Marks the peer failed after
 * max_fails within fail_timeout, starts probing it, and writes what happens to the log. */
void pick_report(struct pick *pick, enum outcome outcome);

/* Latencies of the attempt under way, which has been answered whole, in us; 0: not measured. Feeds
 * the averages. */
struct pick_times {
    uint64_t connect_us;
    uint64_t header_us;
    uint64_t response_us;
};
void pick_measure(struct pick *pick, const struct pick_times *times);

/* The attempt under way is a tunnel from here on, which may last for ever. */
void pick_tunnel(struct pick *pick);

/* Is there another peer pick_next() might give? (Decides whether an answer of 502 from this one is
 * passed on.) */
bool pick_has_more(const struct pick *pick);

/* Gives back what the pick holds. An attempt not reported (the client went away) counts neither as
 * good nor bad. Twice is fine. */
void pick_end(struct pick *pick);

/* Why the last pick_next() gave no peer, as a sentence for the error log: "no live upstreams", "app
 * \"web\" is failed: exited with code 1". */
const char *pick_why(const struct pick *pick);
