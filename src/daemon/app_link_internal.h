/* The parts of app_link: following, loads, applying. Runs in: master. */
#pragma once

#include "base/list.h"
#include "base/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct app_link;
struct log;
struct master;

struct linked_app {
    struct list link; /* in app_link->apps */
    char *name;       /* owned */
    char *text;       /* owned: what workers are told; NULL: nothing yet */
    uint64_t version; /* of it */
    uint64_t turn;    /* of the text, among all of all apps: the list is in this order */
    bool declared;    /* the configuration's own */
    bool told;        /* by the runner, on this connection */
    bool lost;        /* nobody has it any more: forgotten when all workers know */
};

struct linked_app *linked_app_find(struct app_link *link, struct slice name);

/* What workers are told of what the runner says of an app in `line`; the caller frees it. NULL: it
 * makes no sense, or no memory. */
char *linked_app_text(const struct log *log, const char *name, json_t *line);

/* A line to the runner, if it is there. Takes `message`. */
void app_link_say(struct master *master, json_t *message);

/* app_loads.c: "NAME REQUESTS WAITING QUEUE_US", then lines "ID ACTIVE ANSWERED BUSY_US
 * TUNNELS", which become members of `active` and, where there is something to say, of `answered`
 * and `tunnels`. A worker of an earlier version says nothing after ACTIVE, or after BUSY_US. False:
 * it makes no sense. */
struct worker_says {
    struct slice name; /* in the text */
    uint64_t requests, waiting, queue_us;
    json_t *active;   /* owned by the caller: {"ID": requests} */
    json_t *answered; /* ... {"ID": [requests, microseconds]} */
    json_t *tunnels;  /* ... {"ID": requests} */
};
bool worker_load_parse(struct slice text, struct worker_says *says);

/* app_apply.c */
void app_apply_init(struct master *master);
void app_apply_fini(struct master *master);
void app_apply_go_on(struct master *master); /* the runner is there */
void app_apply_leave(struct master *master); /* without waiting for it: another runner is meant */
