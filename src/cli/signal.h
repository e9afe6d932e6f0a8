/* -s stop|quit|reload|reopen: over the control socket, with the result; else by signal. Runs in:
 * the process the user started. */
#pragma once

#include <limits.h>
#include <stdbool.h>

struct run_options;

/* The control socket of the master that these options lead to. False: its path is too long. */
bool signal_find_socket(const struct run_options *options, char out[PATH_MAX]);

/* The exit code. */
int signal_master(const struct run_options *options, const char *command);
