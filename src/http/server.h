/* The HTTP side of one event loop, as the worker sees it: listeners in, snapshots in, drain.
 * Runs in: worker, loop thread (unless said otherwise). */
#pragma once

#include "event/socket.h"

#include <stdbool.h>
#include <stddef.h>

struct balance;
struct conf_feature;
struct http_loop;
struct loop;
struct offload;
struct snapshot;

/* Every http feature for the loader, in the order of their indexes: those with settings first. */
const struct conf_feature *const *http_conf_features(size_t *count);

/* One socket a snapshot wants to listen on: distinct addresses, options merged from all `listen` of
 * it. */
struct listen_spec {
    struct listen_options options;
    struct slice text; /* as canonical text, "0.0.0.0:80" or "unix:/path": the key sockets are
                          matched by between snapshots */
    struct slice file; /* where it was first declared */
    unsigned line;
};

/* The sockets of a snapshot, in order of declaration; none without an http block. */
const struct listen_spec *http_listen_specs(const struct snapshot *snapshot, size_t *count);

/* What all loops of a worker share. */
struct http_shared {
    struct offload *offload;  /* threads for blocking file work */
    struct offload *keys;     /* threads for TLS handshakes with expensive keys */
    struct balance *balance;  /* peers, connections to them, names */
    struct http_loop **loops; /* [loop_count] */
    unsigned loop_count;
    unsigned worker_connections; /* per loop */
};

/* NULL: no memory. Becomes the loop's context. */
struct http_loop *http_loop_new(struct loop *loop, struct http_shared *shared);
void http_loop_free(struct http_loop *http);

/* Uses `snapshot` for all requests that begin from now on, takes a reference; the one used before
 * is let go when its last exchange on this loop ends. `fds[i]` is the socket of spec i (borrowed:
 * the worker keeps them open); listeners whose spec is gone stop accepting, connections accepted
 * from them stay. */
bool http_loop_use(struct http_loop *http, struct snapshot *snapshot, const int *fds);

/* Writes the lines that access logs hold back: before their files are opened anew. */
void http_loop_flush_logs(struct http_loop *http);

/* Graceful end: accept no more, close idle connections, let running exchanges finish and answer
 * `Connection: close`. */
void http_loop_drain(struct http_loop *http);

/* Connections open now (idle ones included): a draining loop may end at 0. */
size_t http_loop_connections(const struct http_loop *http);

/* Closes everything at once (worker_shutdown_timeout passed, or a fast stop). */
void http_loop_abort(struct http_loop *http);

/* Called once when the last connection of a draining loop has gone. */
void http_loop_on_empty(struct http_loop *http, void (*fn)(void *data), void *data);
