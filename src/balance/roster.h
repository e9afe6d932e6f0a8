/* Apps: programs that a runner keeps running, whose instances are peers of an upstream.
 *
 * The master says what becomes of them, the upstreams follow, and the master hears what they have
 * to do. What is known of an app outlives every config snapshot. Runs in: worker; the first loop's
 * thread, unless it says otherwise. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct roster;

enum app_status {
    APP_UNKNOWN,  /* nobody has told us of it */
    APP_GONE,     /* there is no such app any more */
    APP_IDLE,     /* stopped until somebody asks for it */
    APP_STARTING, /* an instance is on its way */
    APP_ONLINE,
    APP_FAILED, /* nothing will come without somebody's help */
};

/* "starting", ...: follows "app X is ". */
const char *app_status_text(enum app_status status);

/* What the master is told. False: it could not be sent now; the same comes again a moment later. */
struct roster_master {
    bool (*wanted)(void *data, struct slice name); /* a request waits for an app that is idle */
    /* "NAME REQUESTS WAITING QUEUE_US", then lines "ID ACTIVE ANSWERED BUSY_US TUNNELS": by one who
     * knows `version`, and has sent nothing to who was draining by then since. */
    bool (*load)(void *data, uint64_t version, struct slice text);
    void *data;
};

/* Before the loops run. Without it nobody is told anything. */
void roster_attach(struct roster *roster, const struct roster_master *master);

/* Takes what the master says of one app: upstreams get their new peers, requests that wait for it
 * go on. Reports what cannot be understood to the log. `version` comes back with its loads. */
void roster_take(struct roster *roster, uint64_t version, struct slice text);

/* Copies the status of the app called `name`, and why it is so, into `reason` (terminated, may be
 * empty). Any thread. */
enum app_status roster_status(struct roster *roster, struct slice name, char *reason,
                              size_t reason_bytes);
