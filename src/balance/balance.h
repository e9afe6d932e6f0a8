/* What all upstreams of a worker share: states of peers, pools of connections, the resolver.
 *
 * One per worker process. It outlives every config snapshot, so that a reload keeps health,
 * counters and idle connections. The validating child of the master loads upstreams without one.
 * Runs in: worker; new/free: before the loops run and after they have ended; the rest: any thread.
 */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct roster;
struct balance;
struct loop;
struct pool;
struct resolver;
struct upstreams;

/* `loops[i]` has index i. NULL: no memory. */
struct balance *balance_new(struct loop *const *loops, unsigned loop_count);

/* Ends the resolver's thread and closes idle connections: when the loops have ended, before
 * loop_free(). All snapshots must be gone, and all taken connections closed. NULL is fine. */
void balance_free(struct balance *balance);

/* Gives the peers of a loaded config their shared states and begins to resolve their names. Must be
 * called once before the first pick. The arena's drop stops them. False: no memory. NULL upstreams:
 * nothing to do. */
bool balance_start(struct balance *balance, struct upstreams *upstreams);

/* Waits until every name of `upstreams` has had its first answer (or failure), at most `wait_ms`.
 * Blocks: at start only. */
void balance_wait(struct balance *balance, const struct upstreams *upstreams, unsigned wait_ms);

/* The connections of this loop. Only its thread may use them. */
struct pool *balance_pool(struct balance *balance, const struct loop *loop);

struct resolver *balance_resolver(struct balance *balance);

struct roster *balance_roster(struct balance *balance);

/* What the master says of an app (roster_take()), for all loops. First loop's thread. */
void balance_take_app(struct balance *balance, uint64_t version, struct slice text);
