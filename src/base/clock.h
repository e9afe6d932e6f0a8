/* Time: monotonic for deadlines, wall clock for logs and headers only.
 *
 * A `struct clock` is the cached view of one loop (or of a process without loops): it is read once
 * per turn, and its texts are made at most once a second. Runs in: any; one thread per clock. */
#pragma once

#include "base/slice.h"

#include <stdint.h>
#include <time.h>

struct clock {
    uint64_t now_ms;    /* CLOCK_MONOTONIC, ms */
    uint64_t wall_ms;   /* since 1970-01-01 UTC, ms */
    time_t text_for;    /* the second the texts below were made for */
    char http_date[30]; /* "Sat, 31 Jan 2026 12:00:00 GMT" (RFC 9110, 5.6.7), 29 + NUL */
    char log_local[27]; /* "31/Jan/2026:12:00:00 +0700", 26 + NUL: $time_local */
    char log_iso[26];   /* "2026-01-31T12:00:00+07:00", 25 + NUL: $time_iso8601 */
    char log_error[20]; /* "2026/01/31 12:00:00", 19 + NUL: error log */
};

/* Reads both clocks; remakes the texts when the second changed. */
void clock_update(struct clock *clock);

/* Monotonic now in ms and us, read from the kernel. */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);

/* Writes 29 characters and a NUL: an HTTP date. */
void clock_http_date(time_t when, char out[30]);

/* Any of the three HTTP date forms (RFC 9110, 5.6.7). False: not a date. */
bool clock_parse_http_date(struct slice text, time_t *when);
