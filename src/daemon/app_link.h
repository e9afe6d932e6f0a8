/* The master between the runner of apps and its workers. Runs in: master. */
#pragma once

#include "base/list.h"
#include "base/slice.h"
#include "event/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control_request;
struct line_client;
struct manifest;
struct master;
struct worker_process;

/* What is in progress of making the runner's apps be as the configuration says. */
struct app_apply {
    struct line_client *client; /* owned; NULL: nothing is asked now */
    bool wanted;                /* as soon as the runner is there and has answered the last one */
    bool applied;               /* once: then apps of ours may be there */
    bool swept;                 /* what an earlier master may have left has been removed */
    bool leaving, left;         /* at our end: our apps are removed */
    char *list;                 /* owned: the apps, in JSON */
    struct list waiting;        /* control requests that get the answer under way */
    struct list waiting_next;   /* ... of the next one */
    struct deadline patience;
};

/* How far a worker has been told of apps. */
struct app_progress {
    uint64_t told; /* the turn of the last text that it has whole */
    uint64_t half; /* ... of the one that it has only the beginning of */
    size_t half_bytes;
};

struct app_link {
    char *home;                 /* owned; NULL: no app is mentioned */
    char *socket_path;          /* owned */
    bool declares;              /* some apps are the configuration's own: a runner must be there */
    bool told;                  /* the runner has told all it knows on this connection */
    struct line_client *client; /* owned; NULL: not connected */
    unsigned attempts;          /* in vain, in a row */
    struct deadline again;
    struct deadline resend;
    struct list apps; /* of struct linked_app, in the order of their turns */
    uint64_t turn;    /* of the last text */
    struct app_apply apply;
};

void app_link_init(struct master *master);
void app_link_fini(struct master *master);

/* A configuration is about to be handed to a worker: follows the runner that it names, and tells
 * workers that the apps it declares are on their way. */
void app_link_use(struct master *master, const struct manifest *manifest);

/* A worker has been started: it hears of all apps before it gets its configuration. */
void app_link_greet(struct worker_process *worker);

/* What workers say, who may be hostile. */
void app_link_wanted(struct worker_process *worker, struct slice name);
void app_link_load(struct worker_process *worker, struct slice text, uint64_t version);
void app_link_forget(struct worker_process *worker); /* it has ended, and its requests with it */

/* The configuration is served: its apps are applied, then the requests in `waiting` are answered,
 * at once if there are none. */
void app_link_apply(struct master *master, const struct manifest *manifest, struct list *waiting);

/* The last worker has left: our apps go, too. True: they have, or there are none; else
 * master_exit_if_done() is called when it is so. */
bool app_link_left(struct master *master);
