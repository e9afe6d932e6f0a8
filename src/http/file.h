/* What is found at a path: a file to send, a folder, or why there is nothing.
 *
 * file_find() is the only way of http/ to files that clients name. It looks in three places: what
 * this exchange has asked before (try_files, then static), the loop's tables (file_table.h), and
 * the file system, the latter in a thread under `aio threads`. Small files come with their
 * contents. Runs in: worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct exchange;
struct path;

enum {
    FILE_CONTENTS_MAX =
        16320, /* up to here a file is read at once and sent from memory: one pooled buffer */
    FILE_ETAG_BYTES = 40,
};

struct file {
    int error;          /* 0, or the errno of what failed */
    const char *failed; /* the call that failed: "open()" */
    int fd;             /* -1: not opened (folder, error, only tested, contents in memory) */
    bool is_folder;
    bool is_regular;
    uint64_t size;
    time_t modified;
    struct timespec modified_exact;
    struct timespec changed_exact;
    dev_t device;
    ino_t inode;
    const char *contents; /* the whole file, or NULL: read it from `fd` */
};

enum file_want {
    FILE_TEST, /* is there something, and what kind */
    FILE_OPEN, /* also open it, or have its contents */
};

enum file_answer {
    FILE_FOUND, /* `*file` says what, perhaps an error */
    FILE_LATER, /* a thread looks; exchange_resume() will be called: ask again then */
    FILE_NO_MEMORY,
};

/* `*file` lives as long as the exchange. */
enum file_answer file_find(struct exchange *x, const struct path *path, enum file_want want,
                           const struct file **file) __attribute__((warn_unused_result));

/* The status for a file's error: 404, 403 or 500; logs it as nginx does (log_not_found). */
int file_error_status(struct exchange *x, const struct file *file, const struct path *path);

/* The ETag of a file, with its quotes: modification time and size in hexadecimal. */
struct slice file_etag(const struct file *file, char out[FILE_ETAG_BYTES]);
