/* What the user types: options as nginx's, and subcommands of our own. Runs in: the process the
 * user started. */
#pragma once

struct run_options;

/* The exit code. */
int cli_main(int argc, char **argv);

/* A subcommand: what follows its name (argv[0] is the name itself), and the places the global
 * options lead to. */
struct cli_command {
    const char *name;
    int (*run)(const struct run_options *options, int argc, char **argv);
    const char *usage;    /* what follows the name */
    const char *sentence; /* for the help */
};

extern const struct cli_command cli_commands[]; /* ends with a row without a name: commands.c */

/* The name of the row that another word for a command means, or the word itself. */
const char *cli_other_name(const char *name);
