/* A hierarchical timer wheel: deadlines from 1 ms to 139 years, armed and disarmed in O(1).
 *
 *   level 0: 64 slots of 1 ms | level 1: 64 slots of 64 ms | level 2: of 4.1 s | ... level 6
 *
 * A deadline stands on the level of the highest group of 6 bits in which its time differs from the
 * wheel's; when the wheel reaches its slot, it moves down to a finer level or expires. So one on a
 * lower level is always earlier than one on a higher level, and the next one is found in a bitmap.
 * Runs in: the thread of its loop. */
#pragma once

#include "base/list.h"

#include <stdint.h>

struct deadline;

enum { WHEEL_LEVELS = 7, WHEEL_BITS = 6, WHEEL_SLOTS = 1 << WHEEL_BITS };

struct wheel {
    uint64_t now_ms;                 /* everything due until then has been looked at */
    uint64_t occupied[WHEEL_LEVELS]; /* bit n: slot n is not empty */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
    struct list pending; /* taken from a slot, not looked at yet */
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);

/* Links or moves it so that it expires at `expires_ms` (not 0). */
void wheel_put(struct wheel *wheel, struct deadline *deadline, uint64_t expires_ms);

/* Unlinks it; it must be linked. */
void wheel_remove(struct wheel *wheel, struct deadline *deadline);

/* Calls on_expire of everything due until `now_ms`. */
void wheel_advance(struct wheel *wheel, uint64_t now_ms);

/* When wheel_advance() should be called next; UINT64_MAX: nothing is linked. May be earlier than
 * the next expiry, never later. */
uint64_t wheel_next_ms(const struct wheel *wheel);
