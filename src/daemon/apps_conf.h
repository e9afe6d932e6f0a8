/* apps { }: the apps that a configuration declares. Runs in: loaded in the validating child and in
 * the worker; used in the child. */
#pragma once

#include "config/directive.h"

#include <jansson.h>
#include <stdbool.h>

struct loader;
struct node;
struct snapshot;
struct tree;

struct apps_conf {
    struct slice home;         /* absolute; empty: that of who runs this */
    json_t *apps;              /* owned by the snapshot's arena: specs with canonical keys */
    const struct node **nodes; /* [capacity]: where they stand, as long as the tree is there */
    size_t capacity;
};

/* Its rows of `app` are those of apps/options.c, so that it is made once, at the first call. */
const struct conf_feature *apps_conf_feature(void);

/* What loading cannot say, because the worker may not see it: folders and programs are there, users
 * exist. False: errors with their places in `diag`. */
bool apps_conf_check(const struct apps_conf *conf, const struct tree *tree, struct diag *diag);
