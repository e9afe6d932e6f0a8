/* -s stop|quit|reload|reopen: over the control socket, with the result; else by signal. Runs in:
 * the process the user started. */
#pragma once

struct run_options;

/* The exit code. */
int signal_master(const struct run_options *options, const char *command);
