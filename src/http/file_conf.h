/* Settings of how files are found: open_file_cache and disable_symlinks. Immutable after load.
 * Runs in: load: any; read: loop threads. */
#pragma once

#include "http/feature.h"

struct file_conf {
    int open_max; /* open_file_cache max=; 0: off */
    uint64_t inactive_ms;
    uint64_t valid_ms;
    int min_uses;
    bool errors;
    int symlinks;                  /* enum in file_open.h */
    struct template *trusted_path; /* disable_symlinks from=, or NULL */
};

extern struct feature http_files_feature;

#define files_of(x) ((const struct file_conf *)exchange_conf(x, http_files_feature))
