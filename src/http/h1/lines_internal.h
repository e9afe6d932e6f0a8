/* Lines of a head: what requests, responses and trailers have in common. Runs in: worker, loop
 * thread. */
#pragma once

#include "http/h1/parse.h"

/* Where a parser stands in its input. */
struct lines {
    const char *begin;
    const char *at;  /* the next line begins here */
    const char *end; /* of the input, or of what limits->head_bytes_max lets us look at */
    const struct h1_limits *limits;
    enum h1_line_end line_end;
    bool cut; /* `end` is that limit: wanting more is an error */
    enum h1_error error;
};

struct lines lines_make(struct slice in, const struct h1_limits *limits);

/* The end of what the line at `at` may reach, for a line of at most `bytes_max` bytes: one more,
 * which must be its CR. */
static inline const char *line_window(const struct lines *lines, uint32_t bytes_max)
{
    return (size_t)(lines->end - lines->at) > bytes_max ? lines->at + bytes_max + 1 : lines->end;
}

/* PARSE_ERROR with its reason. */
enum parse_result lines_fail(struct lines *lines, enum h1_error error);

/* A line ended at the end of its window: needs more bytes, or is `too_long`. */
enum parse_result lines_ran_out(struct lines *lines, uint32_t bytes_max, enum h1_error too_long);

/* `stop` is where a line's text ended, before the end of its window. Checks the line's end and
 * moves behind it. PARSE_MORE: the LF has not come yet. */
enum parse_result lines_end(struct lines *lines, const char *stop);

enum line_kind {
    LINE_FIELD, /* a header line: `at` is behind it */
    LINE_EMPTY, /* the end of the section: `at` is behind it */
    LINE_MORE,
    LINE_BAD, /* `error` says why */
};

/* Reads the line at `at`. The name's flags are set; a line without name or with a blank in it is
 * bad. */
enum line_kind parse_field_line(struct lines *lines, struct header *field);

/* Its twin without a short cut for usual lines, and so without HEADER_VERBATIM: for what is
 * unusual, and for tests. */
enum line_kind parse_field_line_slowly(struct lines *lines, struct header *field);

/* Whether parsing is worth the effort: the head is complete or refused, its first line has just
 * become complete, or there is twice as much of it as last time, so that a mistake is not kept
 * waiting for more. False: only more bytes can help. */
bool head_worth_parsing(struct h1_progress *progress, struct slice in,
                        const struct h1_limits *limits);

enum {
    EMPTY_LINES_MAX = 4, /* before a request line (RFC 9112, 2.2) */
};
