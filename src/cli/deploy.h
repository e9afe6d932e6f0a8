/* pelayan deploy: the `deploy` section of an ecosystem file, over ssh and git. Runs in: the process
 * the user started. */
#pragma once

struct run_options;

int deploy_command(const struct run_options *options, int argc, char **argv);
