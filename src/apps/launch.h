/* From a spec and a place among the instances to what spawn() takes: program, arguments,
 * environment, user. Runs in: master. */
#pragma once

#include "apps/spawn.h"

struct app_spec;
struct arena;
struct diag;

/* What is an instance's own. */
struct place {
    int id;             /* over all apps: pm_id */
    int index;          /* within its app, from 0 */
    unsigned run;       /* which of its processes: tells them from those before */
    int increment;      /* added to increment_var's first value */
    int port;           /* 0: none of its own */
    const char *socket; /* path, or NULL */
    const char *notify; /* NOTIFY_SOCKET, or NULL */
    const char *home;   /* PELAYAN_HOME */
    int channel;        /* descriptor of node's IPC channel, 0: none */
    int listen_count;   /* so many listening sockets from descriptor 3 on */
    bool cluster;       /* a worker of node's cluster */
};

/* Fills `launch` but for its descriptors; all memory is `arena`'s. False: message in `diag`. */
bool launch_prepare(struct launch *launch, struct app_spec *spec, const struct place *place,
                    struct arena *arena, struct diag *diag);

/* The text with {port}, {socket}, {instance}, {id} and {name} filled in; `arena`'s, or `text`
 * itself. NULL: no memory. */
char *launch_fill_in(struct arena *arena, const struct app_spec *spec, const struct place *place,
                     const char *text);

/* Does node (or bun) run it, which speaks the IPC channel? */
bool launch_is_node(const struct app_spec *spec);
