/* Sets of media types: gzip_types, charset_types and their like. Runs in: load: any; read: loop
 * threads. */
#pragma once

#include "base/map.h"
#include "config/directive.h"

struct type_set {
    struct map *types; /* arena of the config; lower or upper case alike */
    bool any;          /* "*" */
};

/* The words of the call become the set, together with `always`. False: reported. */
bool conf_type_set(struct conf_call *call, struct type_set *set, struct slice always);

/* Is a Content-Type (parameters are not looked at) in it? */
bool type_set_has(const struct type_set *set, struct slice content_type);
