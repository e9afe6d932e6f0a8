/* Requests in a second. Runs in: runner's loop. */
#include "apps/rate.h"

enum {
    WINDOW_MS = 1000,
    QUIET_MS = 10 * 1000, /* then what comes is the beginning of something new */
    NEWS_EVERY_MS = 250,  /* what is said now has happened since then */
};

static void begin(struct rate *rate, uint64_t now_ms)
{
    rate->began_ms = now_ms;
    rate->answered_then = rate->answered;
    rate->busy_us_then = rate->busy_us;
}

void rate_add(struct rate *rate, uint64_t answered, uint64_t busy_us, uint64_t now_ms)
{
    if (now_ms > rate->heard_ms + QUIET_MS)
        begin(rate, now_ms - NEWS_EVERY_MS);
    rate->answered += answered;
    rate->busy_us += busy_us;
    rate->heard_ms = now_ms;
    rate_look(rate, now_ms);
}

void rate_look(struct rate *rate, uint64_t now_ms)
{
    uint64_t count = rate->answered - rate->answered_then;

    if (now_ms < rate->began_ms + WINDOW_MS)
        return;
    rate->per_second = (double)count * 1000 / (double)(now_ms - rate->began_ms);
    rate->latency_ms = count == 0
                           ? 0
                           : (double)(rate->busy_us - rate->busy_us_then) / 1000 / (double)count;
    begin(rate, now_ms);
}
