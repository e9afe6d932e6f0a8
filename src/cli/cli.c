/* From the command line to what does it. Runs in: the process the user started. */
#include "cli/cli.h"

#include "base/list.h"
#include "base/slice.h"
#include "cli/app_absent.h"
#include "cli/args.h"
#include "cli/completion.h"
#include "cli/places.h"
#include "cli/signal.h"
#include "cli/usage.h"
#include "cli/version.h"
#include "config/loader.h"
#include "daemon/check.h"
#include "daemon/master.h"
#include "daemon/options.h"
#include "daemon/runner.h"

#include <stdio.h>
#include <string.h>

static const char *nearest_command(const char *word)
{
    const char *names[128];
    size_t count = 0;

    while (count < COUNT(names) && cli_commands[count].name != NULL) {
        names[count] = cli_commands[count].name;
        count++;
    }
    return nearest_name(slice_of(word), names, count);
}

static int print_help(const struct cli_command *command)
{
    printf("Usage: pelayan %s %s\n\n%s\n", command->name, command->usage, command->sentence);
    completion_flags(command->name);
    return 0;
}

static int run_command(const struct run_options *options, int argc, char **argv)
{
    const char *name = cli_other_name(argv[0]);

    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) != 0)
            continue;
        if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
            return print_help(command);
        return command->run(options, argc, argv);
    }
    if (app_absent_explain(argv[0]))
        return 1;
    fprintf(stderr, "pelayan: invalid option: \"%s\"\n", argv[0]);
    if (args_is_signal(argv[0]))
        fprintf(stderr, "         did you mean \"pelayan -s %s\"?\n", argv[0]);
    else if (nearest_command(argv[0]) != NULL)
        fprintf(stderr, "         did you mean \"pelayan %s\"?\n", nearest_command(argv[0]));
    else
        fprintf(stderr, "         pelayan -h shows what there is\n");
    return 1;
}

/* What needs no place. True: done. */
static bool run_simple(const struct args *args)
{
    if (args->configure)
        version_print_configure(stderr);
    else if (args->version || args->help)
        version_print(stderr);
    if (args->help)
        usage_print(stderr);
    return (args->configure || args->version || args->help) && !args->test;
}

int cli_main(int argc, char **argv)
{
    struct args args;
    struct run_options options;

    if (runner_is_resumed())
        return runner_resume();
    if (!args_parse(&args, argc, argv)) {
        fprintf(stderr, "pelayan: %s\n", args.error);
        return 1;
    }
    if (run_simple(&args))
        return 0;
    if (!places_resolve(&args, argv, !args.quiet && args.signal == NULL && args.command == 0,
                        &options))
        return 1;
    if (args.command > 0)
        return run_command(&options, argc - args.command, argv + args.command);
    if (args.signal != NULL)
        return signal_master(&options, args.signal);
    if (args.test)
        return check_config(&options, args.dump);
    return master_run(&options);
}
