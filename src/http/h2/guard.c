/* The score of misbehaviour: what costs us more than it costs the client.
 *
 * Each odd frame has its points; time and useful work take points away again. A browser that
 * leaves a page resets a hundred requests once; who does that all the time wants to do harm
 * (CVE-2023-44487). Runs in: worker, loop thread. */
#include "http/h2/conn_internal.h"

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

bool h2_guard(struct h2_conn *conn, enum h2_glitch glitch)
{
    uint64_t now_ms = loop_now_ms(conn->http->loop);
    uint64_t fallen = (now_ms - conn->score_ms) * SCORE_FALLS_PER_S / 1000;

    assert(glitch < GLITCH_COUNT);
    if (fallen > 0) {
        conn->score = conn->score > fallen ? conn->score - (uint32_t)fallen : 0;
        conn->score_ms = now_ms;
    }
    conn->score += glitches[glitch].points;
    if (conn->score <= SCORE_MAX)
        return true;
    conn->fault = glitches[glitch].what;
    return false;
}

void h2_guard_credit(struct h2_conn *conn, uint32_t points)
{
    conn->score = conn->score > points ? conn->score - points : 0;
}
