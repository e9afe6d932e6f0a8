/* map: a variable whose value depends on another text, by a table of names, wildcards and regular
 * expressions. Runs in: load: any; evaluation: loop thread. */
#pragma once

#include "config/directive.h"

enum { MAP_DIRECTIVES = 3 };

/* The rows, for the features of http and stream. */
extern const struct directive map_directives[MAP_DIRECTIVES];
