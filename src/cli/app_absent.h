/* Commands of pm2 that there are none of here: what to do instead. Runs in: the process the user
 * started. */
#pragma once

#include <stdbool.h>

/* Is `name` one of them? Then says why it is not here. */
bool app_absent_explain(const char *name);
