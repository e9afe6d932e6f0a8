/* What every codec does with a request's head: names, host and target, as the configuration has it.
 * The server is chosen already. Runs in: worker, loop thread. */
#pragma once

#include "http/exchange.h"

struct core_conf;

/* Drops the fields nobody may see: names that are invalid, or have underscores where these are off.
 * False: refuse the request (400). */
bool request_check_names(struct exchange *x, struct header_list *headers,
                         const struct core_conf *core) __attribute__((warn_unused_result));

/* `host` in lower case; a copy in the arena where it was not. Empty if there is no memory. */
struct slice request_lower_host(struct exchange *x, struct slice host);

/* Path, normalised URI and arguments, of a target in origin form. False: refuse it (400). */
bool request_take_target(struct exchange *x, struct slice target, bool merge_slashes)
    __attribute__((warn_unused_result));
