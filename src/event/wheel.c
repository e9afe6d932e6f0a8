/* The timer wheel of a loop. Runs in: the loop's thread. */
#include "event/wheel_internal.h"

#include "event/loop.h"

#include <assert.h>

/* Times are compared in 42 bits: with 7 levels the wheel never wraps around. */
#define WHEEL_END_MS ((UINT64_C(1) << (WHEEL_LEVELS * WHEEL_BITS)) - 1)

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
    assert(now_ms < WHEEL_END_MS);
    wheel->now_ms = now_ms;
    list_init(&wheel->pending);
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (int slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
}

static void link_in(struct wheel *wheel, struct deadline *deadline)
{
    uint64_t due = deadline->expires_ms;
    unsigned level;
    unsigned slot;

    /* What is due already waits for the next tick: a callback that arms with 0 ms cannot hold the
     * loop. */
    if (due <= wheel->now_ms)
        due = wheel->now_ms + 1;
    if (due > WHEEL_END_MS)
        due = WHEEL_END_MS;
    level = (63 - (unsigned)__builtin_clzll(due ^ wheel->now_ms)) / WHEEL_BITS;
    slot = (due >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1);
    assert(level < WHEEL_LEVELS);

    deadline->due_ms = due;
    list_push_back(&wheel->slots[level][slot], &deadline->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void wheel_put(struct wheel *wheel, struct deadline *deadline, uint64_t expires_ms)
{
    assert(expires_ms != 0);
    deadline->expires_ms = expires_ms;
    if (list_linked(&deadline->link)) {
        /* Later than the wheel looks at it: it will find the new time then. This is the common
         * case, as every request pushes the timeouts of its connection further away. */
        if (deadline->due_ms <= expires_ms)
            return;
        wheel_remove(wheel, deadline);
    }
    link_in(wheel, deadline);
}

void wheel_remove(struct wheel *wheel, struct deadline *deadline)
{
    struct list *head = deadline->link.next;
    bool last = head == deadline->link.prev;
    uintptr_t at = (uintptr_t)head - (uintptr_t)&wheel->slots[0][0];

    list_remove(&deadline->link);
    /* The only one: its neighbour is the head, and the slot (if it is not the pending list) is
     * empty now. */
    if (last && at < sizeof wheel->slots) {
        size_t index = at / sizeof *head;

        wheel->occupied[index / WHEEL_SLOTS] &= ~(UINT64_C(1) << (index % WHEEL_SLOTS));
    }
}

/* The first slot in use: false if there is none. Its time is where the slot begins. */
static bool find_first(const struct wheel *wheel, unsigned *level, uint64_t *time_ms)
{
    for (unsigned i = 0; i < WHEEL_LEVELS; i++) {
        unsigned shift = i * WHEEL_BITS;

        if (wheel->occupied[i] == 0)
            continue;
        *level = i;
        *time_ms = (wheel->now_ms >> shift >> WHEEL_BITS << WHEEL_BITS |
                    (unsigned)__builtin_ctzll(wheel->occupied[i]))
                   << shift;
        return true;
    }
    return false;
}

uint64_t wheel_next_ms(const struct wheel *wheel)
{
    unsigned level;
    uint64_t time_ms;

    return find_first(wheel, &level, &time_ms) ? time_ms : UINT64_MAX;
}

/* Moves a whole slot to the pending list in O(1). */
static void take_slot(struct wheel *wheel, unsigned level, unsigned slot)
{
    struct list *from = &wheel->slots[level][slot];
    struct list *to = &wheel->pending;

    assert(list_empty(to));
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

/* Each one is taken off singly: its callback may disarm or free any of those that follow. */
static void expire_pending(struct wheel *wheel)
{
    struct list *link;

    while ((link = list_pop_front(&wheel->pending)) != NULL) {
        struct deadline *deadline = container_of(link, struct deadline, link);

        if (deadline->expires_ms == 0) /* paused */
            continue;
        if (deadline->expires_ms > wheel->now_ms) {
            link_in(wheel, deadline); /* moved later meanwhile, or down to a finer level */
            continue;
        }
        deadline->expires_ms = 0;
        deadline->on_expire(deadline);
    }
}

void wheel_advance(struct wheel *wheel, uint64_t now_ms)
{
    unsigned level;
    uint64_t time_ms;

    while (find_first(wheel, &level, &time_ms) && time_ms <= now_ms) {
        assert(time_ms > wheel->now_ms);
        wheel->now_ms = time_ms;
        take_slot(wheel, level, (time_ms >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1));
        expire_pending(wheel);
    }
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
}
