/* The `upstream` block and what stands inside, as directive rows. Runs in: any process, at load
 * time. */
#pragma once

#include "config/directive.h"

/* Lists `upstream` (http) and every directive of CTX_UPSTREAM. */
extern const struct conf_feature upstream_feature;
