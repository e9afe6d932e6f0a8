/* Who sends the same first message again. Runs in: any thread; all is behind one lock. */
#include "tls/replay.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 2 * REPLAY_MAX }; /* half of them stay free: searches are short */

/* Half of a client's random bytes: whom a collision by chance hits sends his request once more. */
struct mark {
    uint64_t words[2]; /* both 0: free */
};

struct generation {
    struct mark *marks; /* SLOTS of them; NULL: not needed yet */
    unsigned count;
    uint64_t began_ms;
};

static struct {
    pthread_mutex_t lock;
    struct generation now;
    struct generation before;
    uint64_t blind_until_ms; /* 0: there was nothing before us */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t replay_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void replay_begin(uint64_t now_ms)
{
    pthread_mutex_lock(&seen.lock);
    if (seen.blind_until_ms == 0)
        seen.blind_until_ms = now_ms + REPLAY_WINDOW_MS;
    pthread_mutex_unlock(&seen.lock);
}

static void turn_over(uint64_t now_ms)
{
    struct generation oldest = seen.before;

    if (now_ms - seen.now.began_ms < REPLAY_WINDOW_MS)
        return;
    seen.before = seen.now;
    if (oldest.marks != NULL)
        memset(oldest.marks, 0, SLOTS * sizeof oldest.marks[0]);
    seen.now = (struct generation){.marks = oldest.marks, .began_ms = now_ms};
}

/* The mark's place: where it is, or where it belongs. */
static struct mark *find(const struct generation *generation, struct mark mark)
{
    size_t at = mark.words[0] % SLOTS;

    while ((generation->marks[at].words[0] | generation->marks[at].words[1]) != 0 &&
           memcmp(&generation->marks[at], &mark, sizeof mark) != 0)
        at = (at + 1) % SLOTS;
    return &generation->marks[at];
}

static bool knows(const struct generation *generation, struct mark mark)
{
    return generation->marks != NULL && find(generation, mark)->words[1] != 0;
}

static bool remember(struct mark mark)
{
    struct generation *now = &seen.now;

    if (now->marks == NULL)
        now->marks = calloc(SLOTS, sizeof now->marks[0]);
    if (now->marks == NULL || now->count == REPLAY_MAX)
        return false;
    *find(now, mark) = mark;
    now->count++;
    return true;
}

bool replay_is_first(struct slice random, uint64_t now_ms)
{
    struct mark mark;

    assert(random.len >= sizeof mark);
    memcpy(&mark, random.data, sizeof mark);
    mark.words[1] |= 1; /* never free */
    pthread_mutex_lock(&seen.lock);
    turn_over(now_ms);
    bool first = now_ms >= seen.blind_until_ms && !knows(&seen.now, mark) &&
                 !knows(&seen.before, mark) && remember(mark);

    pthread_mutex_unlock(&seen.lock);
    return first;
}
