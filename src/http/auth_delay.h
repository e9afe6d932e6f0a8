/* auth_delay: a request that is refused with 401 waits for its answer. Runs in: worker, loop
 * thread. */
#pragma once

#include <stdbool.h>

struct exchange;

/* True: the time has not come yet, and the exchange will be resumed when it has. Without memory
 * nobody waits. */
bool auth_delay_holds(struct exchange *x);
