/* "Did you mean": the name with the fewest edits. Runs in: any process, at load time. */
#pragma once

#include "base/slice.h"

struct nearest {
    struct slice word;
    const char *best; /* borrowed from the candidates; NULL: none is near enough */
    unsigned best_distance;
};

void nearest_init(struct nearest *nearest, struct slice word);

/* Offers one candidate. */
void nearest_try(struct nearest *nearest, const char *candidate);
