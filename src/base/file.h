/* Whole small files: read, and replaced so that there is always one of them. Runs in: any; they
 * block. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <sys/types.h>

/* Its bytes with a NUL behind them, malloc'ed; `*len` (may be NULL) without it. NULL: errno; EFBIG
 * when there are more than `bytes_max`. */
char *file_read(const char *path, size_t bytes_max, size_t *len);

/* Writes `text` beside, syncs and renames. Where the name itself cannot be exchanged (a file that
 * is mounted, as containers have it) it is written in place. False: errno. */
bool file_replace(const char *path, struct slice text, mode_t mode);

/* The folder `path` with `mode`, and those above it (0755), as far as they are not there yet.
 * False: errno. */
bool file_folders(const char *path, mode_t mode);
