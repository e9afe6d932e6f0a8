/* A request that waits for a peer: an app of its upstream is idle or starting, or has just lost the
 * instance that was asked.
 *
 * pick_next() says PICK_WAIT; pick_wait() begins to wait; `on_change` says that something is
 * different now, and pick_next() is asked again. Runs in: worker, loop thread of the pick. */
#pragma once

#include "balance/pick.h"

struct waiting {
    uint64_t wait_ms; /* in all, from the first wait of this request on */
    unsigned limit;   /* of requests that wait for one app */
    /* Loop thread, once, never from within pick_wait(): first call pick_wait_end(). */
    void (*on_change)(void *data);
    void *data;
};

enum wait_result {
    WAIT_BEGUN, /* on_change will be called; give up after `*rest_ms` */
    WAIT_NOT,   /* something has changed already: ask pick_next() again */
    WAIT_OVER,  /* it has waited as long as it may */
    WAIT_FULL,  /* too many wait already */
    WAIT_NO_MEMORY,
};

enum wait_result pick_wait(struct pick *pick, const struct waiting *waiting, uint64_t *rest_ms);

/* Does not wait any more. pick_end() does it, too. Fine for a pick that does not wait. */
void pick_wait_end(struct pick *pick);

/* After a failure of the attempt under way with `outcome`: may another instance come that answers
 * in its place? */
bool pick_may_wait(const struct pick *pick, enum outcome outcome);
