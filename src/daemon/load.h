/* From files to a snapshot: the one way in which every process loads a config.
 * Runs in: -t, the master's validating child, the worker's loading thread. */
#pragma once

#include "base/diag.h"
#include "config/tree.h"

#include <stdbool.h>
#include <stddef.h>

struct conf_feature;
struct config_files;
struct manifest;
struct run_options;
struct snapshot;

struct load {
    struct snapshot *snapshot;  /* one reference, owned; NULL when errors were found */
    struct config_files *files; /* owned */
    struct tree tree;           /* owned; diagnostics point into it */
    struct diag diag;           /* owned */
};

/* All features of this program, http's first: a feature's index is its position. */
const struct conf_feature *const *load_features(size_t *count);

/* Reads and loads. `files` (taken over): the disk, or a record. False: errors are in load->diag.
 * load_fini() in both cases. */
bool load_run(struct load *load, const struct run_options *options, struct config_files *files);
void load_fini(struct load *load);

/* Makes the snapshot the owner of the texts and the tree its settings point into, and gives it away
 * with its reference. Then only load->diag is left for load_fini(). NULL: no memory. */
struct snapshot *load_take(struct load *load);

/* What the master needs of it, with users and defaults looked up here. NULL: message in `diag`. */
struct manifest *load_manifest(const struct load *load, const struct run_options *options,
                               struct diag *diag);
