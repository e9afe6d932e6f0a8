/* geo: a variable whose value depends on an address. Runs in: load: any; evaluation: loop thread.
 */
#pragma once

#include "config/directive.h"

enum { GEO_DIRECTIVES = 1 };

extern const struct directive geo_directives[GEO_DIRECTIVES];
