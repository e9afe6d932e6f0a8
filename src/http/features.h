/* The list of features, and the order in which phases and filters run. Runs in: any; built before
 * main by features.c's tables. */
#pragma once

#include "http/feature.h"

#include <stddef.h>

/* Length of http_feature_list: size of every array of settings. */
extern size_t http_feature_count;

/* Gives each feature its index and sorts them into phases; idempotent. Called by whoever loads a
 * config or makes an exchange first. */
void http_features_init(void);

/* Features with a handler in a phase, in running order. */
struct feature_row {
    const struct feature *const *features;
    size_t count;
};

/* What the exchanges of a config have to call; what it does not use is left out. */
struct feature_rows {
    struct feature_row phase[STEP_COUNT];
    struct feature_row head; /* filters */
    struct feature_row log;
};

/* When the http block is loaded. NULL: no memory. */
const struct feature_rows *features_in_use(const struct loader *loader);
