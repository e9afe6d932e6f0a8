/* Making upstreams, for upstream_conf.c and tests. Runs in: any process, at load time. */
#pragma once

#include "balance/upstream.h"

/* In an arena (which stops them at its drop). NULL: no memory. */
struct upstreams *upstreams_new(struct arena *arena);

/* An empty upstream with nginx's defaults, round robin. NULL: no memory. */
struct upstream *upstream_new(struct upstreams *upstreams, struct slice name);

/* Adds a copy of `server`, with the name parsed: host, port, addresses known at once. */
enum server_result {
    SERVER_ADDED,
    SERVER_INVALID, /* not a host name or address */
    SERVER_NO_MEMORY,
};
enum server_result upstream_add(struct upstreams *upstreams, struct upstream *upstream,
                                const struct server *server, uint16_t default_port);

/* Who is asked for the server's name. NULL: the system's resolver. */
const struct resolver_conf *server_resolver(const struct upstreams *upstreams,
                                            const struct upstream *upstream,
                                            const struct server *server);

/* Once the whole config has been loaded: is this server an app, or perhaps one? */
bool server_may_be_app(const struct upstreams *upstreams, const struct server *server);

/* weight=1 max_fails=1 fail_timeout=10s */
struct server server_default(void);

/* Registers a block: implicit upstreams of that name met before stand for it from now on. False: no
 * memory. */
bool upstream_register(struct upstreams *upstreams, struct upstream *upstream);
