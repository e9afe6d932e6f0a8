/* pelayan logs: the last lines of several apps, and what comes after them. Runs in: the process the
 * user started. */
#pragma once

#include <jansson.h>

struct app_args;

/* `list` is in the shape of jlist. Until it is interrupted, unless --nostream. The exit code. */
int app_logs_run(json_t *list, const struct app_args *args);
