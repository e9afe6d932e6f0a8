/* What commands of apps have in common. Runs in: runner's loop. */
#pragma once

#include "apps/apps_internal.h"

#include <jansson.h>

/* One request on its way to its answer. */
struct ask {
    struct apps *apps;
    json_t *request; /* borrowed */
    apps_answer_fn *answer;
    void *context;
};

void ask_refuse(const struct ask *ask, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *ask_text(const struct ask *ask, const char *name); /* NULL: none */
bool ask_flag(const struct ask *ask, const char *name);
unsigned ask_parallel(const struct ask *ask); /* how many instances may be replaced at a time */

/* An app's description, with the request's env_name and inherited environment. NULL: refused. */
struct app_spec *ask_spec(const struct ask *ask, json_t *source);

/* apply.c: makes the apps of one source be as it says. */
void run_apply(struct ask *ask);
