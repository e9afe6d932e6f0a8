/* pelayan completion bash|zsh|fish: a script for the shell, made from the tables of commands and
 * flags. Runs in: the process the user started. */
#pragma once

struct run_options;

int completion_command(const struct run_options *options, int argc, char **argv);
