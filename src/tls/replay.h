/* Who sends the same first message again: early data is accepted once (RFC 8446, 8.2).
 *
 * The library takes a first message for at most ten seconds after it was made; what came in that
 * time is remembered by its random bytes, in two generations. When more comes than is remembered,
 * early data is declined: the client sends it after the handshake. Another machine that has the
 * same keys of session tickets remembers nothing of this. Runs in: any thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* For how long a first message is good, with a margin for clocks. */
enum { REPLAY_WINDOW_MS = 12 * 1000, REPLAY_MAX = 32768 };

uint64_t replay_now_ms(void);

/* Declines all for a window after the first call: messages of that time may have been seen by a
 * process before this one. */
void replay_begin(uint64_t now_ms);

/* Has `random` (32 bytes) not been seen within the window? It has, from now on. False also when it
 * cannot be told. */
bool replay_is_first(struct slice random, uint64_t now_ms);
