/* The help text. Runs in: the process the user started. */
#include "cli/usage.h"

#include "cli/cli.h"

void usage_print(FILE *out)
{
    fputs("Usage: pelayan [-?hvVtTq] [-s signal] [-p prefix] [-e filename] [-c filename]\n"
          "               [-g directives] [--strict] [command ...]\n\n"
          "Without a command it starts serving.\n\nOptions:\n"
          "  -?,-h         : this help\n"
          "  -v            : the version\n"
          "  -V            : the version and what the program was built with\n"
          "  -t            : test the configuration\n"
          "  -T            : test it and print all its files\n"
          "  -q            : when testing, print only errors\n"
          "  -s signal     : to the running master: stop, quit, reopen, reload;\n"
          "                  waits for the result, except of quit\n"
          "  -p prefix     : the folder that relative paths start from\n"
          "                  (default: " PELAYAN_PREFIX
          "/share/pelayan/; where an ordinary user may\n"
          "                  not write there, the folder of the -c file)\n"
          "  -e filename   : the error log, also stderr\n"
          "  -c filename   : the configuration file (default: " PELAYAN_CONF ")\n"
          "  -g directives : main-level directives, set before the file's\n"
          "  --strict      : what would be a warning by leniency is an error\n\nCommands:\n",
          out);
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++)
        fprintf(out, "  %s %s\n      %s\n", command->name, command->usage, command->sentence);
}
