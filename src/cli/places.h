/* Where things are: from the command line and what this program was built with to absolute paths.
 * Runs in: the process the user started. */
#pragma once

#include <stdbool.h>

struct args;
struct run_options;

/* Fills `options` for the rest of the process's life. `notice`: prints when another file than ours
 * is taken. False: message printed. */
bool places_resolve(const struct args *args, char *const *argv, bool notice,
                    struct run_options *options);
