/* `charset`: the charset parameter of Content-Type. Runs in: worker, loop thread. */
#pragma once

#include "http/feature.h"

extern struct feature charset_feature;

/* Decides on the response's charset; again for a filter that made another response of it. False: no
 * memory. */
bool charset_tell(struct exchange *x);
