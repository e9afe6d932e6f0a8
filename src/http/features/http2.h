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

/* Does a listen speak HTTP/2: by `http2 on` of its default server, or by `listen ... http2`? */
bool http2_wanted(const struct http_listen *listen);
