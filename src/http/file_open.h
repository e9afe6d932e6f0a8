/* Opening files: the system calls, without tables. Runs in: worker, loop threads and the threads
 * for blocking work: touches nothing but its arguments. */
#pragma once

#include "http/file.h"

enum { SYMLINKS_FOLLOW, SYMLINKS_REFUSE, SYMLINKS_SAME_OWNER };

struct file_request {
    const char *path; /* terminated */
    enum file_want want;
    int symlinks;         /* SYMLINKS_: disable_symlinks */
    size_t trusted_bytes; /* of the path: links in there are followed (from=) */
    size_t contents_max;  /* read the contents of files up to this size into `contents` */
    char *contents;       /* room for contents_max bytes, or NULL */
};

/* Fills `*file`; `file->fd` is the caller's to close. What was read is in `request->contents`, and
 * then file->fd is -1. */
void file_open(const struct file_request *request, struct file *file);

/* Is the same file, unchanged, still at that path? One system call. */
bool file_unchanged(const struct file *file, const char *path);
