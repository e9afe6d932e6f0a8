/* Where access log lines wait on their way to a file: one buffer per loop and file.
 *
 * Without `buffer=` a line leaves at the end of the loop's turn, together with the others of that
 * turn in one write(2): under load many lines cost one call, and still they appear at once. With it
 * they wait until the buffer is full or `flush=` has passed. Files are opened with O_APPEND and a
 * write ends with the end of a line, so lines of several loops never mix.
 *
 * While lines wait, the writer holds their snapshot, and with it the descriptor.
 * Runs in: worker, loop thread. */
#pragma once

#include "event/loop.h"
#include "http/features/log_format.h"

struct http_loop;
struct log_cache;
struct log_file;
struct snapshot;

/* How a file is written, as its access_log directive says. */
struct log_policy {
    size_t buffer_bytes; /* 0: until the end of the turn */
    uint64_t flush_ms; /* 0: a minute at most, so that a quiet site's lines are not held forever */
    int gzip_level;    /* 1 .. 9; 0: plain */
};

struct log_writer {
    struct task task; /* first: flushes at the end of the turn */
    struct deadline deadline;
    struct log_text text; /* whole lines */
    const struct log_file *file;
    struct snapshot *snapshot; /* shared (ref) while text is not empty; else NULL */
    struct log_policy policy;
    struct loop *loop;
    uint64_t complain_after_ms; /* a full disk is told of once a minute */
};

/* What a loop keeps for access logs. */
struct log_loop {
    struct log_writer **by_fd; /* heap: writers by descriptor, which are small and few */
    size_t capacity;
    struct log_text scratch; /* for a line that goes somewhere else */
    struct log_cache *cache; /* of open_log_file_cache */
};

/* NULL: no memory. */
struct log_loop *log_loop_of(struct http_loop *http);

/* The loop's writer for an open file, or NULL without memory. */
struct log_writer *log_writer_for(struct http_loop *http, const struct log_file *file);

/* The line that begins at `start` of writer->text is complete: decides what is written when. */
void log_writer_commit(struct log_writer *writer, struct snapshot *snapshot, size_t start,
                       const struct log_policy *policy);

/* Everything that waits goes out now: before files are reopened, and at the end of a loop. */
void log_writers_flush(struct http_loop *http);

/* Flushes all and frees what the loop keeps. */
void log_loop_close(struct http_loop *http);

/* write(2) until all is written. False: errno. */
bool log_write_all(int fd, struct slice bytes);
