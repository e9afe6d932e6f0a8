/* Where the runner of apps lives, and starting it. Runs in: commands, master. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* PELAYAN_HOME; else /var/lib/pelayan for root and ~/.local/state/pelayan for others. Absolute;
 * valid until the end. NULL: it is too long. */
const char *runner_home(void);

/* The environment of this process as an object: what its apps inherit. */
json_t *runner_environment(void);

/* Makes the home if need be, and starts a runner for it unless one listens. Of several that do so
 * at once one starts it, and the others find it. False: message on standard error. */
bool runner_start(const char *home, bool ends_with_apps);

/* The same in a child process that nobody waits for. False: errno. */
bool runner_start_beside(const char *home);
