/* pelayan completion bash|zsh|fish: a script for the shell, made from the tables of commands and
 * flags. Runs in: the process the user started. */
#pragma once

struct run_options;

int completion_command(const struct run_options *options, int argc, char **argv);

/* Prints the flags of apps that a command takes, a line each; nothing for those that take none. */
void completion_flags(const char *command);
