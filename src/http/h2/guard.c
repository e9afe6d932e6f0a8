/* Points for odd frames. A browser that leaves a page resets a hundred requests once; who does that
 * all the time wants to do harm (CVE-2023-44487). Runs in: worker, loop thread. */
#include "http/h2/guard.h"

#include <assert.h>

enum {
    SCORE_MAX = 2000,
    SCORE_FALLS_PER_S = 200,
};

static const struct {
    uint32_t points;
    const char *what;
} glitches[GLITCH_COUNT] = {
    [GLITCH_RESET] = {5, "too many requests were reset before they were answered"},
    [GLITCH_LATE_RESET] = {1, "too many RST_STREAM frames"},
    [GLITCH_PING] = {4, "too many PING frames"},
    [GLITCH_SETTINGS] = {20, "too many SETTINGS frames"},
    [GLITCH_PRIORITY] = {1, "too many changes of priority"},
    [GLITCH_WINDOW] = {1, "too many WINDOW_UPDATE frames"},
    [GLITCH_EMPTY] = {4, "too many empty frames"},
    [GLITCH_IGNORED] = {SCORE_MAX + 1, "too many bytes in frames that are ignored"},
    [GLITCH_INVALID] = {20, "too many frames that break the protocol"},
    [GLITCH_LARGE_HEAD] = {100, "too many requests with too large headers"},
};

bool h2_score_add(struct h2_score *score, uint64_t now_ms, enum h2_glitch glitch)
{
    uint64_t fallen = (now_ms - score->ms) * SCORE_FALLS_PER_S / 1000;

    assert(glitch < GLITCH_COUNT);
    if (fallen > 0) {
        score->points = score->points > fallen ? score->points - (uint32_t)fallen : 0;
        score->ms = now_ms;
    }
    score->points += glitches[glitch].points;
    if (score->points <= SCORE_MAX)
        return true;
    score->fault = glitches[glitch].what;
    return false;
}

void h2_score_credit(struct h2_score *score, uint32_t points)
{
    score->points = score->points > points ? score->points - points : 0;
}
