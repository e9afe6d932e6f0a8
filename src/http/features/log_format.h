/* Formats of access log lines, compiled at load to a list of operations that write straight into a
 * line. Runs in: compile: load time; write: worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct exchange;
struct variable;
struct variables;

/* Text that grows; heap. Zeroed is empty. */
struct log_text {
    char *data; /* owned */
    size_t len;
    size_t capacity;
};

/* Room for `bytes` more at data + len. False: no memory. */
bool log_text_reserve(struct log_text *text, size_t bytes);
bool log_text_add(struct log_text *text, struct slice piece);
void log_text_free(struct log_text *text);

enum log_escape { LOG_ESCAPE_DEFAULT, LOG_ESCAPE_JSON, LOG_ESCAPE_NONE };

/* Appends `piece` with the bytes that could end a line or a quotation escaped: \xHH, or as JSON has
 * it. Pure but for memory. */
bool log_text_escaped(struct log_text *text, struct slice piece, enum log_escape escape);

struct log_op {
    bool (*write)(struct log_text *text, struct exchange *x, const struct log_op *op);
    struct slice literal;
    const struct variable *variable;
    enum log_escape escape;
};

struct log_format {
    struct log_format *next;
    struct slice name;
    enum log_escape escape;
    struct log_op *ops; /* arena of the config */
    size_t op_count;
};

/* Appends the operations of one string of a log_format. False: message in `*error` (arena). */
bool log_format_compile(struct log_format *format, struct slice text, struct variables *variables,
                        struct arena *arena, const char **error);

/* One line with its newline. False: no memory, `text` may hold a part of it. */
bool log_format_write(const struct log_format *format, struct log_text *text, struct exchange *x);
