/* The score of misbehaviour of one HTTP/2 connection, to a client or to a peer: what costs us more
 * than it costs the other side.
 *
 * Each odd frame has its points; time and useful work take points away again. Runs in: worker, loop
 * thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum h2_glitch {
    GLITCH_RESET,      /* a request was given up that was not answered */
    GLITCH_LATE_RESET, /* ... that was answered, or that never was */
    GLITCH_PING,
    GLITCH_SETTINGS,
    GLITCH_PRIORITY,
    GLITCH_WINDOW,
    GLITCH_EMPTY,   /* a frame without bytes and without meaning */
    GLITCH_IGNORED, /* many bytes that mean nothing */
    GLITCH_INVALID, /* a frame that breaks the rules of its stream */
    GLITCH_LARGE_HEAD,
    GLITCH_COUNT,
};

struct h2_score {
    uint64_t ms;       /* when `points` were worked out last */
    const char *fault; /* why it was too much; NULL: it was not */
    uint32_t points;
};

/* False: that was too much; score->fault says what. */
bool h2_score_add(struct h2_score *score, uint64_t now_ms, enum h2_glitch glitch);

/* Useful work was done. */
void h2_score_credit(struct h2_score *score, uint32_t points);
