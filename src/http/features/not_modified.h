/* Conditional requests. Runs in: worker, loop thread. */
#pragma once

#include "http/feature.h"

extern struct feature not_modified_feature;

/* Whether the list of If-Match (strong comparison) or If-None-Match (`weak`) has the tag, or is
 * "*" (RFC 9110, 8.8.3.2). An empty `etag`: there is none. */
bool etag_list_has(struct slice list, struct slice etag, bool weak);
