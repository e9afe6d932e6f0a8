/* `pelayan cert ...`: looking at certificates, and making those for local work. Runs in: the
 * process the user started. */
#pragma once

struct run_options;

/* The exit code: 0: good; 1: something is wrong; 2: something will be, soon (check), or the command
 * is not understood. */
int cert_command(const struct run_options *options, int argc, char **argv);
