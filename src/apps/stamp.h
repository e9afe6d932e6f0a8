/* What is put before a line of an app's log. Runs in: master. */
#pragma once

#include "base/slice.h"

#include <stdint.h>

struct output_style;

/* A line of N bytes needs at most STAMP_BYTES_MAX + N * STAMP_GROWTH bytes. */
enum { STAMP_BYTES_MAX = 1024, STAMP_GROWTH = 6 };

/* Writes the line with what the style adds and its end; returns the length. */
size_t stamp_line(const struct output_style *style, uint64_t wall_ms, struct slice line, char *out);

/* The time in day.js's letters (YYYY-MM-DD HH:mm:ss.SSS Z); at most `out_bytes` with the
 * NUL, of which the last 64 may stay unused. */
size_t stamp_time(const char *format, uint64_t wall_ms, char *out, size_t out_bytes);
