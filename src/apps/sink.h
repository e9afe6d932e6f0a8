/* Log files of apps, and the pipes that lead to them.
 *
 * A sink is one open file, found by its path and shared by all that write to it: so it has one
 * writer, and lines of several instances are never torn. An output is the reading end of a pipe. If
 * it is alone with its file and nothing is added, its bytes go from pipe to file as they are;
 * else line by line. Nothing is kept but the beginning of a line.
 *
 * A file that cannot be written (a full disk) loses what comes meanwhile; that is counted and
 * warned about, and the app goes on. Runs in: master. */
#pragma once

#include "base/slice.h"
#include "event/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct diag;
struct log;

struct sinks {
    struct loop *loop; /* borrowed */
    struct list all;
    struct list outputs;
    struct list chores;    /* children that compress, see rotate.c */
    const struct log *log; /* borrowed: warnings */
    char *scratch;         /* owned; made at first use */
    char *lines;           /* owned */
};

struct sink_limits {
    uint64_t max_bytes; /* 0: no rotation by size */
    uint64_t total_bytes;
    uint64_t max_age_ms;
    bool compress;
};

struct sink {
    struct list link;
    struct sinks *sinks; /* borrowed */
    unsigned refs;
    char *path; /* owned */
    int fd;     /* -1: /dev/null, or it could not be opened again */
    struct sink_limits limits;
    uint64_t size_bytes;
    uint64_t began_ms;
    uint64_t dropped_bytes;
    uint64_t warned_ms;
};

enum { OUTPUT_LINE_MAX = 16 * 1024 }; /* a longer line is cut here */

enum output_form { OUTPUT_RAW, OUTPUT_STAMPED, OUTPUT_JSON };

struct output_style {
    enum output_form form;
    const char *date_format; /* day.js's letters; borrowed: as long as the output */
    const char *app_name;    /* borrowed */
    const char *type;        /* "out" or "err" */
    int process_id;          /* pm_id */
};

/* Frees itself when all writers have closed the pipe. */
struct output {
    struct list link;
    struct sinks *sinks;
    struct io io;
    struct sink *sink;     /* one reference */
    struct sink *combined; /* one reference, or NULL */
    struct output_style style;
    void (*release)(void *owner); /* at the end: what the style borrows from is let go */
    void *owner;
    struct deadline more; /* there is more than one turn may take */
    char *partial;        /* owned: the beginning of a line */
    size_t partial_len;
};

void sinks_init(struct sinks *sinks, struct loop *loop, const struct log *log);
void sinks_fini(struct sinks *sinks); /* ends all outputs */

/* One more user of the file. NULL: message in `diag`. */
struct sink *sink_open(struct sinks *sinks, const char *path, const struct sink_limits *limits,
                       struct diag *diag);
void sink_unref(struct sink *sink); /* NULL is fine */

/* Empties the files of all sinks whose path is `path`. False: errno, or nobody writes there. */
bool sink_flush(struct sinks *sinks, const char *path);

/* What could not be written there since it was opened. */
uint64_t sinks_dropped(struct sinks *sinks, const char *path);

/* Opens all files anew by their names: they were moved away. */
void sinks_reopen(struct sinks *sinks);

/* Takes over `fd` and both references. `release(owner)` is called when it ends. NULL: no memory,
 * and all of it has been let go. */
struct output *output_new(struct sinks *sinks, int fd, struct sink *sink, struct sink *combined);

/* The beginning of a line, which came before. False: no memory. */
bool output_begin(struct output *output, struct slice line);

/* Writes what is in the pipes of an instance now: before somebody reads its files. */
void sinks_pump(struct sinks *sinks, int process_id);

/* Is this one of the children that compress? */
bool sinks_know_pid(const struct sinks *sinks, pid_t pid);

/* rotate.c: puts the file aside if it is over its limits. */
void sink_rotate_if_due(struct sink *sink);
void sinks_end_chores(struct sinks *sinks);
