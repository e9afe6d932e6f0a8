/* What the runner says of its apps, asked once. Runs in: commands, the process that checks a
 * configuration. */
#pragma once

#include "base/slice.h"

#include <jansson.h>
#include <stdbool.h>

struct snapshot;

/* Name -> what it says: "status", "desired", "reason", "instances". The caller's. NULL: no runner
 * answers at the home that `snapshot` names. */
json_t *runner_apps(const struct snapshot *snapshot);

/* `data`: a struct snapshot. Has its runner such an app? */
bool runner_has_app(void *data, struct slice name);
