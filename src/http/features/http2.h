/* `http2` and its limits. Immutable after load. Runs in: load: any; read: loop threads. */
#pragma once

#include "http/feature.h"

struct http2_conf {
    bool on;
    int max_concurrent_streams;
    size_t chunk_size;        /* of DATA frames, at most */
    size_t body_preread_size; /* of a stream's body, what may come before somebody takes it */
};

extern struct feature http2_feature;

/* http/h2/session.c: gives back what a loop kept for sessions. */
void h2_loop_free(void *slot);

/* Does `server` speak HTTP/2 at that address: by its `http2 on`, or by `listen ... http2`? NULL:
 * there is no such server. */
bool http2_wanted(const struct http_listen *listen, const struct http_server *server);
