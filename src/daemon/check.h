/* -t and -T: is the config good, and could we open what it names? Nothing is opened or created.
 * Runs in: the process the user started. */
#pragma once

#include <stdbool.h>

struct run_options;

/* Prints what nginx prints, in the same words, to standard error; the texts of all files to
 * standard output if `dump`. The exit code. */
int check_config(const struct run_options *options, bool dump);
