/* Which server and which location a request gets. Costs do not depend on how many there are: names
 * by hash, prefixes by binary search, only regexes one after the other as nginx must. Runs in:
 * build: load; choose: loop threads. */
#pragma once

#include "http/conf.h"

struct address;
struct arena;
struct diag;

enum route_result {
    ROUTE_FOUND,     /* x->location (NULL: the server itself) and x->settings are set */
    ROUTE_ADD_SLASH, /* "/x" where "/x/" is passed on: x->response.location is set, answer 301 */
    ROUTE_GAVE_UP,   /* a regex hit its limit, which is logged: 500 */
    ROUTE_INTERNAL_ONLY, /* an `internal` location from outside: 404 */
};

/* By x->request.host among the servers of the address the client connected to; sets x->server. */
void router_choose_server(struct exchange *x);

/* The listen a connection to `local` belongs to, among `listen` and those that share its socket.
 * `local` may be NULL. */
const struct http_listen *listen_narrowed(const struct http_listen *listen,
                                          const struct address *local);

/* By x->request.uri in x->server. */
enum route_result router_choose_location(struct exchange *x);

/* The server for a host (lower case, no port) among those of `listen`; regex captures go to
 * `subject` (may be NULL). */
const struct http_server *server_table_find(const struct http_listen *listen, struct slice host,
                                            struct subject *subject);

/* While loading: collects, then freezes. */
struct server_table *server_table_new(struct arena *arena);
/* False: the name is there already (`*taken` is its server; nginx warns and keeps the first), or no
 * memory (`*taken` NULL). */
bool server_table_add(struct server_table *table, const struct server_name *name,
                      const struct http_server *server, const struct http_server **taken);

struct location_tree *location_tree_new(struct arena *arena);
/* The location with the same kind and name that is there already, or NULL when `location` was
 * added. */
const struct http_location *location_tree_add(struct location_tree *tree,
                                              struct http_location *location);
/* Sorts; after the last location. False: no memory. */
bool location_tree_freeze(struct location_tree *tree);

/* For `explain`, tests: the location for a path; `*add_slash` (false before) as ROUTE_ADD_SLASH.
 * NULL: none. */
const struct http_location *location_tree_find(const struct location_tree *tree, struct slice uri,
                                               struct subject *subject, bool *add_slash);
