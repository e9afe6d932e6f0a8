/* Finding a value by its name in what a client sent: query strings and cookies. Pure functions.
 * Runs in: any. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

/* `name=value` in a query string; the name in either case, the value as it was sent. The first one
 * counts. Pure. False: none. */
bool parse_query_value(struct slice args, struct slice name, struct slice *value);

/* A cookie in one Cookie header, with nginx's leniency: names in either case, ',' also separates
 * pairs. Pure. False: none. */
bool parse_cookie_value(struct slice header, struct slice name, struct slice *value);
