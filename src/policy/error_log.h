/* error_log FILE|stderr|syslog:... [LEVEL]: one feature for every level, from main to location.
 *
 * Several in one block write to several places; a block that has one no longer writes to its
 * parent's. The main level without one writes to the snapshot's default. Runs in: load time; the
 * logs are read by any thread. */
#pragma once

#include "base/log.h"
#include "config/directive.h"

struct error_log_conf {
    struct log log;
};

extern const struct conf_feature error_log_feature;

/* Position of the feature in this process's list, set once by who makes the list. */
extern size_t error_log_index;

/* The log of a scope or location: `settings` is its array by feature index. */
static inline const struct log *error_log_of(const struct settings *settings)
{
    return &((const struct error_log_conf *)settings_at(settings, error_log_index))->log;
}
