/* How many handshakes each address has under way: they cost much more than to ask for them.
 *
 * Addresses are counted by a hash with a secret seed in a table of fixed size, IPv6 by networks of
 * 64 bits: who shares an attacker's place by chance (one in 65,536) is counted with him.
 * Runs in: any thread. */
#pragma once

#include <stdbool.h>

struct address;

/* Counts one more, unless there are `max` (0: no limit): false. */
bool crowd_enter(const struct address *client, unsigned max);
void crowd_leave(const struct address *client);
