/* HTTP/1 message heads into bytes.
 *
 * Written from values, never passed through. A CR, LF or NUL in a value becomes a blank (RFC
 * 9110, 5.5): whatever variable found its way into a header cannot begin another one. No
 * allocation, no printf, and nothing is written beyond the caller's buffer. Runs in: worker, loop
 * thread. */
#pragma once

#include "base/slice.h"
#include "http/header.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A buffer being filled. `overflow` once set stays set: callers look at it once, at the end. */
struct writer {
    char *data; /* borrowed */
    size_t len;
    size_t capacity;
    bool overflow; /* something did not fit; `len` is meaningless */
};

static inline struct writer writer_make(char *data, size_t capacity)
{
    return (struct writer){.data = data, .capacity = capacity};
}

/* Bytes as they are. */
void write_bytes(struct writer *w, struct slice s);

/* Decimal digits. */
void write_u64(struct writer *w, uint64_t value);

/* "METHOD target HTTP/1.x\r\n". A blank or control byte in method or target would split the line:
 * such a byte in the target is escaped as %XX, in the method it is an overflow. `version` is 10
 * or 11. */
void write_request_line(struct writer *w, struct slice method, struct slice target,
                        unsigned version);

/* "HTTP/1.1 status reason\r\n"; nginx's private codes become what goes over the wire. An empty
 * `reason` takes the phrase of the table. */
void write_status_line(struct writer *w, unsigned status, struct slice reason);

/* "name: value\r\n". A name with a byte that no name can have writes nothing. */
void write_header(struct writer *w, struct slice name, struct slice value);

/* The same for a name that was looked at before. */
void write_line(struct writer *w, struct slice name, struct slice value);

void write_header_id(struct writer *w, enum header_id id, struct slice value);
void write_header_u64(struct writer *w, enum header_id id, uint64_t value);

/* Lines that stand one behind the other where they were received: copied at once. */
struct field_run {
    const char *begin;
    const char *end;
};

/* The field's line, or only a longer `run`, which begins empty ({NULL, NULL}). The name
 * must be fit (not HEADER_NAME_INVALID). */
void write_field(struct writer *w, struct field_run *run, const struct header *field);

/* What write_field() has put off: before anything else is written. */
void write_run(struct writer *w, struct field_run *run);

/* All fields that are neither removed nor hop-by-hop nor invalid, in order. */
void write_headers(struct writer *w, const struct header_list *list);

/* The empty line. */
void write_end(struct writer *w);

/* Bytes write_headers() takes at most: for sizing a buffer. */
size_t headers_written_len(const struct header_list *list);
