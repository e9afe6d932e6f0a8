/* Where the addresses of an upstream's servers come from while it runs: the DNS, or an app.
 *
 * Only servers with a name have a source. Every change rebuilds the upstream's peer set and wakes
 * the requests that wait for one. Runs in: worker; changes: the resolver's thread and the first
 * loop; start and stop: the thread that starts or drops a config. */
#pragma once

#include "balance/resolver_internal.h"
#include "balance/roster_internal.h"
#include "balance/upstream.h"

#include <pthread.h>

/* One server that has a name. The sources' lock guards what changes. */
struct source {
    struct upstream *upstream;
    const struct server *server;
    const struct resolver_conf *resolver; /* NULL: the system's */
    struct follower dns;
    struct app_follower app;
    struct address *addresses; /* owned; NULL: server->addresses still stand */
    size_t address_count;
    struct app_instance **instances; /* owned, each with a reference: those that are ready */
    size_t instance_count;
    bool failing; /* the name does not resolve; the resolver's lock */
};

struct sources {
    pthread_mutex_t lock;
    atomic_uint changes; /* how often something was replaced */
    struct list waiters; /* requests that wait for the next change; lock */
    bool settled;        /* everybody follows: from here on instances are new ones; lock */
    unsigned count;
    struct source list[];
};

/* Of all servers of the upstream that have a name. False: no memory. */
bool sources_make(const struct upstreams *upstreams, struct upstream *upstream);

/* Begins to follow: after the first set was built. False: no memory. */
bool sources_follow(struct upstream *upstream);

/* Nobody changes anything any more when this returns. Fine without sources. */
void sources_stop(struct upstream *upstream);

/* NULL: the server has none, its addresses are those known at load. */
const struct source *source_of(const struct upstream *upstream, const struct server *server);

/* wait.c. The lock is held: something has changed, those who wait look again. */
void sources_wake(struct sources *sources);

/* wait.c. The sources go: those who wait (of this loop only) wait for nothing. */
void sources_leave(struct sources *sources);

/* peers.c: replaces the set by one of the addresses known now. The sources' lock is held, or nobody
 * follows yet. False: no memory, the old one stays. */
bool upstream_rebuild(struct upstream *upstream);
