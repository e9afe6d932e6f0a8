/* `types`: which media type a file has by the extension of its name. Runs in: any process, at load
 * time. */
#pragma once

#include "config/directive.h"

bool conf_set_types(struct conf_call *call);

/* The types used without a `types` block: HTML, GIF and JPEG, as nginx. NULL: no memory. */
struct map *types_default(struct arena *arena);
