/* What the master says of one app, as a text:
 *
 *     NAME STATUS DESIRED
 *     ID ADDRESS ready|draining        one line per instance that has an address
 *     ! REASON                         why, of an app that has failed
 *
 * Runs in: worker, first loop. Pure: from bytes to values. */
#pragma once

#include "balance/roster.h"
#include "base/slice.h"
#include "event/address.h"

#include <stdbool.h>
#include <stdint.h>

enum { APP_NAME_MAX = 255, APP_REASON_MAX = 1000, APP_INSTANCES_MAX = 2048 };

struct app_notice {
    struct slice name; /* all in the text */
    enum app_status status;
    unsigned desired;
    struct slice reason;
    struct slice lines; /* of the instances; each was found to be good */
    unsigned instance_count;
};

struct app_line {
    unsigned id;
    bool ready; /* else draining: it finishes what it has */
    struct address address;
};

/* False: `*error` says what is wrong with it, and nothing of it may be used. */
bool app_notice_parse(struct slice text, struct app_notice *notice, const char **error);

/* The next of notice->lines, cut off `*lines`. False: there is none. */
bool app_notice_next(struct slice *lines, struct app_line *line);
