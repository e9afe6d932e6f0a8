/* pelayan hosts: the lines of /etc/hosts that the configured domains need. Runs in: the process the
 * user started. */
#pragma once

#include <stdbool.h>

struct run_options;

int hosts_command(const struct run_options *options, int argc, char **argv);

/* Does this machine find the name without asking anybody: in /etc/hosts, or because it ends in
 * .localhost? */
bool hosts_knows(const char *name);
