/* Peers out of rotation: marking, probing, return.
 *
 *        max_fails within fail_timeout                       an answer, or a probe connects
 *   in rotation ------------------------> out of rotation -----------------------------------> in
 * rotation |    ^ connection-level failure:   v    |  not yet: again, 100 ms .. 1 s probe (one loop
 * of the worker)
 *
 * After other failures (a bad answer, a slow one) only fail_timeout helps, as in nginx.
 * Runs in: worker, loop thread. */
#pragma once

#include "balance/peer.h"
#include "base/list.h"

struct log_subject;
struct loop;
struct probes;

/* Is it out of rotation because of failures now? */
bool health_failed(const struct peer *peer, bool single, uint64_t now_ms);

/* Would asking it only cost the connect timeout again? Then the last resort leaves it out. */
bool health_silent(const struct peer_state *state);

/* It is in rotation, with no failure, since `now_ms` (0: from the beginning). */
void health_return(struct peer_state *state, uint64_t now_ms);

/* slow_start: how much of its weight the peer has by now, in parts of HEALTH_FULL. */
enum { HEALTH_FULL = 256 };
unsigned health_share(const struct peer *peer, uint64_t now_ms);

struct health_report {
    struct peer *peer;
    enum outcome outcome;
    uint64_t begun_ms;
    uint64_t now_ms;
    bool single;
    bool last_resort;
    struct probes *probes;         /* of this loop; NULL: failures are not probed */
    const struct log_subject *log; /* may be NULL */
};

/* Everything but the round-robin weights. True: they must be lowered (a failure that counts). */
bool health_note(const struct health_report *report);

/* Probes of one loop. new: NULL without memory; free: when the loop has ended. */
struct probes *probes_new(struct loop *loop);
void probes_free(struct probes *probes);
