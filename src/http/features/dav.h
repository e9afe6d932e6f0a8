/* WebDAV's writing methods: what dav.c (requests) and dav_files.c (the file system) share.
 * Runs in: worker, loop thread. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct chunk;

/* All give 0 or an errno; paths are terminated. */

/* Makes the folders above `path`. */
int dav_make_parents(const char *path, mode_t folder_mode);

/* Removes a file, or a folder with what is in it. */
int dav_remove(const char *path, bool is_folder);

/* Copies a file, or a folder with what is in it. */
int dav_copy(const char *source, const char *target, bool is_folder);

/* Writes these chunks (they stay the caller's) into a new file beside `target` and puts it in its
 * place: nobody sees half of it. */
int dav_store(const struct chunk *first, const char *target, mode_t mode);
