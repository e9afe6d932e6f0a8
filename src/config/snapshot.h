/* One loaded configuration, immutable once built, counted, and freed by its last user.
 *
 * A reload builds a new one beside the current one and swaps a pointer per loop; exchanges and
 * tunnels hold a reference to the one they began with. Loops count their own users with plain
 * integers and hold one atomic reference each (http_loop_use() and friends), so that no atomic is
 * touched per request. Runs in: worker, any thread; master's validating child. */
#pragma once

#include "base/map.h"
#include "base/slice.h"
#include "config/directive.h"

#include <stdatomic.h>

struct arena;
struct diag;
struct regex_set;
struct upstreams;
struct variables;

/* A file lines are appended to: error and access logs. Opened by who has the privilege (the
 * master), found by path. In one process a path has one descriptor, whose number stays when the
 * file is reopened for rotation. */
struct log_file {
    struct log_file *next;
    struct slice path; /* absolute, NUL-terminated; arena of the snapshot */
    int fd; /* -1 until opened; borrowed from the process's table of logs, which this snapshot holds
               a reference to */
    struct log_user *users; /* arena: who else wants to know the descriptor */
};

struct log_user {
    struct log_user *next;
    int *fd;
};

/* A folder the worker writes temporary files to; made by who has the privilege, owned by the
 * worker's user. */
struct work_dir {
    struct work_dir *next;
    const char *user;  /* what asked for it: the directive, or its family; static text */
    struct slice path; /* absolute, NUL-terminated; arena of the snapshot */
};

/* A file whose exchange is a reason to load anew. */
struct watched_file {
    struct watched_file *next;
    struct slice path; /* absolute, NUL-terminated; borrowed: lives as long as the snapshot */
};

/* What is done when the snapshot is about to be used, in the process that uses it: connecting to a
 * syslog, for one. */
struct snapshot_opener {
    struct snapshot_opener *next;
    bool (*open)(void *data, struct diag *diag);
    void *data;
};

struct snapshot {
    struct arena *arena; /* owned; everything below lives in it */
    atomic_uint refs;
    uint64_t generation;    /* 1, 2, ... within a worker */
    struct scope root;      /* root.conf[feature index]: settings of the main level */
    struct slice error_log; /* the path used when the main level has no error_log; "stderr":
                               standard error */
    struct log_file *log_files;
    struct map log_paths; /* path -> its log_file */
    struct work_dir *work_dirs;
    struct watched_file *watched;
    struct snapshot_opener *openers;
    struct regex_set *regexes;
    struct variables *http_variables;
    struct upstreams
        *http_upstreams;    /* upstream blocks and targets of proxy_pass; NULL without any */
    struct http_conf *http; /* what the http block made; NULL without one */
    struct apps_conf *apps; /* what the apps block made; NULL without one */
};

struct snapshot *snapshot_new(void); /* one reference; NULL: no memory */
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot);

/* The entry for a path (made absolute by the caller), the same one for equal paths. NULL: no
 * memory. At load time only. */
struct log_file *snapshot_log_file(struct snapshot *snapshot, struct slice path);

/* `*fd` gets the file's descriptor as soon as it is open (at once, if it is). False: no memory. At
 * load time only. */
bool snapshot_log_user(struct snapshot *snapshot, struct log_file *file, int *fd);

/* The descriptor of `file` is known: tells all who asked. Before the snapshot is in use. */
void log_file_opened(struct log_file *file, int fd);

/* Asks for a folder for temporary files of `user` (an absolute path), which a block of `context`
 * names. What the http block names stands in place of the default: that is not made then, as its
 * place may not be writable. False: no memory. At load time only. */
bool snapshot_work_dir(struct snapshot *snapshot, const char *user, struct slice path,
                       enum context context);

/* The same path may be given again. False: no memory. At load time only. */
bool snapshot_watch_file(struct snapshot *snapshot, struct slice path);

/* Asks for `open(data, diag)` before the snapshot is first used. False: no memory. At load time
 * only. */
bool snapshot_on_open(struct snapshot *snapshot, bool (*open)(void *data, struct diag *diag),
                      void *data);

/* Runs what was asked for, in order. False: one of them failed, message in `diag`. */
bool snapshot_open(struct snapshot *snapshot, struct diag *diag);
