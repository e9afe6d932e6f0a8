/* Subcommands: one row each. Runs in: the process the user started. */
#include "cli/cli.h"
#include "cli/explain.h"
#include "cli/usage.h"
#include "cli/version.h"
#include "config/loader.h"
#include "daemon/load.h"

#include <stdio.h>
#include <string.h>

static int run_help(const struct run_options *options, int argc, char **argv)
{
    size_t count;
    const struct conf_feature *const *features = load_features(&count);

    (void)options;
    if (argc == 1) {
        usage_print(stdout);
        return 0;
    }
    if (strcmp(argv[1], "directive") == 0 && argc <= 3)
        return directive_help(features, count, argc == 3 ? argv[2] : NULL, stdout) ? 0 : 1;
    fputs("usage: pelayan help [directive [NAME]]\n", stderr);
    return 1;
}

static int run_version(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    (void)argc;
    (void)argv;
    version_print_configure(stdout);
    return 0;
}

const struct cli_command cli_commands[] = {
    {"help", run_help, "[directive [NAME]]", "This text; all directives; or all about one."},
    {"version", run_version, "", "The versions, and what this program was built with."},
    {"explain", explain_command, "[METHOD] URL [-H 'Name: value']",
     "How the configuration would treat a request, with file and line of every step."},
    {NULL, NULL, NULL, NULL},
};
