/* The end of a log file, and what comes after it, across rotation and emptying.
 * Runs in: the process the user started. */
#pragma once

#include "base/slice.h"

#include <sys/types.h>

struct tail {
    char *path; /* owned */
    int fd;     /* -1: it is not there, or is no regular file */
    ino_t inode;
    off_t at;
    void (*take)(void *context, struct slice bytes); /* gets all that is read */
    void *context;
};

/* Opens it and reads its last `lines` lines. A file that is not there may come later. */
void tail_begin(struct tail *tail, long lines);

/* Reads what has come; if another file has its name now, the rest of the old one first. */
void tail_follow(struct tail *tail);

void tail_end(struct tail *tail);
