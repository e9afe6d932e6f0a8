/* The error log: nginx's format, levels and targets.
 *
 *   2026/01/31 12:00:00 [error] 123#7: *42 message while doing, client: ..., server: ...
 *
 * A `log` is a set of targets with a level each; it belongs to a config snapshot (or to the process
 * before there is one) and is read by all threads. Lines are written with one write(2) to a file
 * opened with O_APPEND, so that lines of several threads and processes never mix. Runs in: any
 * thread. */
#pragma once

#include "base/slice.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/* As syslog and nginx: smaller is graver. */
enum log_level {
    LOG_STDERR_LEVEL = 0,
    LOG_LEVEL_EMERG = 1,
    LOG_LEVEL_ALERT,
    LOG_LEVEL_CRIT,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

/* One open destination. Files are shared by all logs that name the same path, and reopened in place
 * (the fd number stays, its file changes) so that nobody has to be told. */
struct log_target {
    struct log_target *next;
    int fd; /* borrowed: file, stderr, or a connected syslog datagram socket */
    enum log_level level;
    /* NULL: a file. Else what stands between the time of the datagram and its text, ready made:
     * "host tag: ", or "tag: " with nohostname (RFC 3164, 4.1). Owned by the config. */
    const char *syslog_prefix;
    int syslog_facility; /* 0 .. 23 */
};

struct log {
    struct log_target *targets; /* arena of the config */
    enum log_level level;       /* the most talkative of the targets: the cheap test */
};

/* What a line is about. `describe` (may be NULL) writes " while ..., client: ..." to `out` and
 * returns how many bytes that is, at most `out_bytes`; it stands behind the message. */
struct log_subject {
    const struct log *log;
    uint64_t connection_id; /* 0: none; else "*N " */
    size_t (*describe)(const struct log_subject *subject, char *out, size_t out_bytes);
};

static inline bool log_wants(const struct log *log, enum log_level level)
{
    return log != NULL && log->level >= level;
}

/* Writes one line; `os_error` 0, or an errno value whose "(2: No such file or directory)" is
 * appended to the message as nginx does. A line is cut at 4096 bytes; bytes below 0x20 and 0x7f are
 * escaped as \xHH. errno is left as it was. */
void log_write(const struct log *log, enum log_level level, int os_error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void log_about(const struct log_subject *subject, enum log_level level, int os_error,
               const char *format, ...) __attribute__((format(printf, 4, 5)));

/* "debug" ... "emerg" to a level. False: unknown word. */
bool log_parse_level(struct slice word, enum log_level *level);

/* The word again: "error". */
const char *log_level_name(enum log_level level);

/* The log used before a config is loaded and by code without a better one: stderr, level notice. */
extern struct log log_process;
