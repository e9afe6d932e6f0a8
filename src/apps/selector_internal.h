/* Which instances a word means: "all", a number (pm_id), a name, a namespace, "/regex/" of names.
 * Runs in: master. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct apps;
struct instance;

struct selection {
    struct instance **items; /* owned; in the order of their numbers within an app */
    size_t count;
};

/* Empty if nothing fits. False: no memory, or not a regular expression. */
bool selection_make(struct selection *selection, const struct apps *apps, const char *word);
void selection_free(struct selection *selection);
