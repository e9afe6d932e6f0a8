/* Access logs whose path has variables: the worker opens them when a line comes, and may keep them
 * open (open_log_file_cache). Runs in: worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange;

struct log_cache_conf {
    int max; /* 0: off */
    uint64_t inactive_ms;
    uint64_t valid_ms;
    int min_uses;
};

struct log_cache;

/* Appends one line to the file at an absolute, NUL-terminated path. False: errno. */
bool log_path_append(struct log_cache **cache, const struct log_cache_conf *conf, struct slice path,
                     struct slice line, uint64_t now_ms);

/* Closes what is kept open. NULL is fine. */
void log_cache_free(struct log_cache *cache);
