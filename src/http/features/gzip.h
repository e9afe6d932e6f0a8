/* Compression: what gzip, gzip_static and gunzip share. Runs in: load: any; else: worker, loop
 * thread. */
#pragma once

#include "http/feature.h"
#include "http/type_set.h"

struct regex;

struct gzip_disable { /* browsers that get nothing compressed */
    const struct gzip_disable *next;
    struct regex *regex; /* NULL: "msie6" */
};

struct gzip_conf {
    bool on;
    struct type_set types;
    int comp_level;
    int64_t min_length;
    int http_version; /* 10 or 11 */
    bool vary;
    unsigned proxied; /* GZIP_PROXIED_ */
    const struct gzip_disable *disable;
};

enum {
    GZIP_PROXIED_EXPIRED = 1 << 0,
    GZIP_PROXIED_NO_CACHE = 1 << 1,
    GZIP_PROXIED_NO_STORE = 1 << 2,
    GZIP_PROXIED_PRIVATE = 1 << 3,
    GZIP_PROXIED_NO_LAST_MODIFIED = 1 << 4,
    GZIP_PROXIED_NO_ETAG = 1 << 5,
    GZIP_PROXIED_AUTH = 1 << 6,
    GZIP_PROXIED_ANY = 1 << 7,
};

extern struct feature gzip_feature;
extern struct feature gzip_static_feature;
extern struct feature gunzip_feature;

/* gzip's settings by which the others go too. */
#define gzip_of(x) ((const struct gzip_conf *)exchange_conf(x, gzip_feature))

/* May this response to this client be compressed: Accept-Encoding, gzip_http_version,
 * gzip_proxied, gzip_disable. */
bool gzip_is_accepted(struct exchange *x);

/* Does an Accept-Encoding field ask for gzip with a weight above 0? */
bool parse_accepts_gzip(struct slice field);

/* Adds "Vary: Accept-Encoding" if gzip_vary is on. False: no memory. */
bool gzip_add_vary(struct exchange *x) __attribute__((warn_unused_result));

/* The ETag becomes weak: other bytes mean the same. One that cannot be is removed. */
bool gzip_weaken_etag(struct exchange *x) __attribute__((warn_unused_result));
