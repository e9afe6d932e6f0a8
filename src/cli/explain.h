/* `pelayan explain [METHOD] URL [-H 'Name: value']`. Runs in: the process the user started. */
#pragma once

struct run_options;

/* The exit code. */
int explain_command(const struct run_options *options, int argc, char **argv);
