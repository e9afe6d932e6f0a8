/* Sessions of `ssl_session_cache shared:NAME:SIZE`: shared by all loops, kept over reloads.
 *
 * A table by session id with the bytes of each session, the oldest going first when the configured
 * size is full. Runs in: any thread. */
#pragma once

#include "base/slice.h"

#include <openssl/ssl.h>
#include <stdbool.h>

struct session_cache;

/* The cache of that name, which lives as long as the process; `bytes` takes effect at once. NULL:
 * no memory. */
struct session_cache *session_cache_get(struct slice name, size_t bytes);

/* Makes `context` keep its sessions there. */
bool session_cache_use(struct session_cache *cache, SSL_CTX *context);

size_t session_cache_count(struct session_cache *cache);

/* For tests: keeps a copy of `bytes` under `id`, and finds it. False: none. */
void session_cache_put(struct session_cache *cache, struct slice id, struct slice bytes);
bool session_cache_find(struct session_cache *cache, struct slice id, unsigned char *out,
                        size_t *out_bytes);
