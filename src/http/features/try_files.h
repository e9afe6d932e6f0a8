/* `try_files`: the first of several files that is there. Runs in: worker, loop thread. */
#pragma once

#include "http/feature.h"

extern struct feature try_files_feature;

/* The text of the `index`th thing that would be tried for the current URI, the last resort
 * included: for `explain`. False: there is none of that index. */
bool try_files_candidate(struct exchange *x, size_t index, struct slice *text);
