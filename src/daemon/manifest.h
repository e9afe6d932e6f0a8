/* What the master must know of a config without loading it: sockets, logs, users, limits.
 *
 * Made in the validating child from the loaded snapshot, sent to the master as bytes, and on to the
 * worker together with the descriptors in the same order. So the master's heap never holds a
 * config. Runs in: any process. */
#pragma once

#include "base/slice.h"
#include "event/socket.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;

struct manifest_listener {
    struct listen_options options;
    struct slice key; /* "0.0.0.0:80"; of a socket for one loop: "0.0.0.0:80#1" */
    struct slice file;
    unsigned line;
    unsigned spec; /* index in http_listen_specs() */
    unsigned loop; /* the one it is for, with reuseport; else 0 */
};

struct manifest_sink { /* one target of the main level's error_log: for the master's own messages */
    unsigned log;      /* index in logs, or MANIFEST_STDERR */
    unsigned level;    /* enum log_level */
};

enum { MANIFEST_STDERR = UINT16_MAX * 2 };

struct manifest_texts {
    struct slice *items; /* [count], NUL-terminated */
    size_t count;
};

struct manifest {
    struct arena *arena; /* owned; everything below lives in it */
    bool daemon;
    bool master_process;
    bool switch_user; /* the worker becomes uid:gid */
    uid_t uid;
    gid_t gid;
    struct slice user;
    struct slice pid_path;
    struct slice working_directory; /* empty: stays */
    unsigned loop_count;
    unsigned worker_connections;
    unsigned pool_threads;
    unsigned pool_queue;
    uint64_t rlimit_nofile; /* 0: stays */
    uint64_t rlimit_core;
    bool rlimit_core_given;
    int priority;
    unsigned seccomp; /* enum sandbox_mode */
    uint64_t shutdown_timeout_ms;
    uint64_t reload_timeout_ms;
    cpu_set_t *affinity; /* [affinity_count]: loop i runs on affinity[min(i, count - 1)] */
    size_t affinity_count;
    struct manifest_texts env; /* "NAME" or "NAME=value" */
    struct manifest_texts logs;
    struct manifest_texts work_dirs;
    struct manifest_texts watched; /* files whose exchange is a reason to reload */
    uint64_t watched_look;         /* file_watch_look() when they had been read */
    unsigned broken_count;         /* servers that refuse TLS handshakes */
    struct manifest_sink *sinks;
    size_t sink_count;
    struct manifest_listener *listeners;
    size_t listener_count;
    bool apps_follow;       /* apps are mentioned: their runner is followed */
    struct slice apps_home; /* whose */
    struct slice apps;      /* those it declares, a list in JSON */
};

struct packer;

/* An empty one. NULL: no memory. */
struct manifest *manifest_new(void);
void manifest_free(struct manifest *manifest);

void manifest_pack(const struct manifest *manifest, struct packer *packer);

/* NULL: not a manifest, or no memory. */
struct manifest *manifest_unpack(struct slice bytes);

/* Does a config with `next` need another worker process than the one that was started for `now`? */
bool manifest_needs_new_worker(const struct manifest *now, const struct manifest *next);
