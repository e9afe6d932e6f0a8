/* What went wrong, for a person: message, place, line with a caret, and what to do.
 *
 * A `diag` collects; who asked decides where it is printed (terminal, error log, control socket).
 * All errors of a config are collected, not just the first. Runs in: any; one thread per diag. */
#pragma once

#include "base/slice.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct arena;

enum diag_level {
    DIAG_WARN,
    DIAG_ERROR, /* the operation fails; printed with nginx's word [emerg] */
};

/* Where in a file; `file` NULL: nowhere in particular. Borrowed: must live as long as the diag. */
struct diag_place {
    const char *file;
    unsigned line;     /* from 1 */
    unsigned column;   /* from 1, in bytes; 0: the whole line */
    struct slice text; /* the source line, for the caret; may be empty */
};

struct diag_entry {
    struct diag_entry *next;
    enum diag_level level;
    struct diag_place place;
    const char *message; /* owned by the diag; one sentence without a full stop */
    const char *hint;    /* owned by the diag; what to do, or NULL */
};

struct diag {
    struct arena *arena; /* owned; NULL until the first message */
    struct diag_entry *first;
    struct diag_entry **last;
    struct diag_entry *newest; /* what diag_hint() is about; NULL: that one was only counted */
    size_t error_count;
    size_t warning_count;
    size_t limit; /* further errors (and further warnings) are only counted; 0 means 100 */
};

void diag_init(struct diag *diag);
void diag_fini(struct diag *diag);

/* Adds one entry. `place` may be NULL (copied otherwise). Never fails visibly: without memory only
 * the count grows. */
void diag_add(struct diag *diag, enum diag_level level, const struct diag_place *place,
              const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Attaches the advice to the entry added last. */
void diag_hint(struct diag *diag, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "cannot WHAT SUBJECT: strerror(errno)", without a place. */
void diag_errno(struct diag *diag, const char *what, const char *subject);

static inline bool diag_failed(const struct diag *diag)
{
    return diag->error_count > 0;
}

/* All entries in the form nginx users and their tools know, one per line, then caret lines:
 *
 *   pelayan: [emerg] unknown directive "proxy_pas" in /etc/x.conf:12:9
 *       12 |         proxy_pas http://app;
 *          |         ^~~~~~~~~ did you mean "proxy_pass"?
 */
void diag_print(const struct diag *diag, FILE *out);
