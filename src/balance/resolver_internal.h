/* Following names: what upstreams ask of the resolver. Runs in: worker. */
#pragma once

#include "balance/resolver.h"
#include "base/list.h"

struct name;

/* A server's interest in a name, from resolver_follow() to resolver_unfollow(). */
struct follower {
    struct list link; /* the name's; the resolver's lock */
    struct name *name;
    /* The resolver's thread, under its lock, whenever the addresses or the success change; `error`
     * NULL: they are good. With an error the last good addresses are repeated (none if there never
     * were any). */
    void (*on_change)(struct follower *follower, const struct address *addresses, size_t count,
                      const char *error);
};

/* Starts the thread at first use. NULL: no memory. */
struct resolver *resolver_new(void);

/* Ends the thread; nobody may follow any more, lookups still pending are dropped. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* False: no memory. `host` and `conf` are borrowed for the call only. */
bool resolver_follow(struct resolver *resolver, struct follower *follower, struct slice host,
                     const struct resolver_conf *conf);

/* No on_change runs any more when this returns. Fine for one that never followed. */
void resolver_unfollow(struct resolver *resolver, struct follower *follower);

/* Has the name had its first answer or failure? Waits until all `followers` have, at most `wait_ms`
 * after `begun_ms`. */
bool resolver_wait(struct resolver *resolver, const struct follower *follower,
                   uint64_t deadline_ms);

/* "localhost" and names below it: they never change. */
bool host_is_local(struct slice name);

/* Is there a route? Without IPv6 connectivity an AAAA record is of no use. */
bool address_reachable(const struct address *address);
