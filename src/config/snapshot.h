/* One loaded configuration, immutable once built, counted, and freed by its last user.
 *
 * A reload builds a new one beside the current one and swaps a pointer per loop; exchanges and tunnels hold a reference
 * to the one they began with. Loops count their own users with plain integers and hold one atomic reference each
 * (http_loop_use() and friends), so that no atomic is touched per request. Runs in: worker, any thread; master's validating child. */
#pragma once

#include "base/slice.h"
#include "config/directive.h"

#include <stdatomic.h>

struct arena;
struct regex_set;
struct upstreams;
struct variables;

/* A file lines are appended to: error and access logs. Opened by who has the privilege (the master), found by path. */
struct log_file {
    struct log_file *next;
    struct slice path; /* absolute, NUL-terminated; arena of the snapshot */
    int fd;            /* -1 until opened; owned by the snapshot (a dup of the process's fd for this path) */
};

struct snapshot {
    struct arena *arena; /* owned; everything below lives in it */
    atomic_uint refs;
    uint64_t generation; /* 1, 2, ... within a worker */
    struct scope root;   /* root.conf[feature index]: settings of the main level */
    struct log_file *log_files;
    struct regex_set *regexes;
    struct variables *http_variables;
    struct upstreams *http_upstreams; /* upstream blocks and targets of proxy_pass; NULL without any */
    struct http_conf *http; /* what the http block made; NULL without one */
};

struct snapshot *snapshot_new(void); /* one reference; NULL: no memory */
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot);

/* The entry for a path (made absolute by the caller), the same one for equal paths. NULL: no memory. At load time only. */
struct log_file *snapshot_log_file(struct snapshot *snapshot, struct slice path);
