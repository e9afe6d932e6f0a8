/* Subcommands: one row each. Runs in: the process the user started. */
#include "base/list.h"
#include "cli/app_boot.h"
#include "cli/app_commands.h"
#include "cli/app_serve.h"
#include "cli/cert.h"
#include "cli/cli.h"
#include "cli/completion.h"
#include "cli/deploy.h"
#include "cli/doctor.h"
#include "cli/explain.h"
#include "cli/hosts.h"
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
    {"cert", cert_command, "ls|show|check|local|selfsigned|trust|untrust ...",
     "Looks at certificates (of the configuration, a file, a host), and makes those for local work."},
    {"doctor", doctor_command, "[--json]",
     "What on this machine stands in the configuration's way, and how to mend it."},
    {"start", app_start,
     "FILE|SCRIPT|COMMAND|NAME ... [--name x -i n --domain d --tls ...] [-- ARGS]",
     "Runs apps: a script, a program, \"npm start\", an ecosystem file, or one that was stopped;"
     " with --domain behind that name."},
    {"stop", app_change, "NAME|ID|NAMESPACE|/REGEX/|all", "Stops apps and keeps them in the list."},
    {"restart", app_change, "NAME|ID|...|FILE", "Stops and starts; several instances one by one."},
    {"reload", app_change, "NAME|ID|...|FILE",
     "Replaces instances one by one: the new one must be ready before the old one leaves."},
    {"delete", app_change, "NAME|ID|...|FILE [--domain [NAME]]",
     "Stops apps and forgets them, with --domain their domains too."},
    {"scale", app_scale, "NAME N|+N|-N", "Changes the number of instances."},
    {"ls", app_list, "[--json]", "The apps and their state."},
    {"describe", app_describe, "NAME|ID [--json]", "All about an app, and why it ended."},
    {"why", app_why, "[NAME|ID] [--json]",
     "What apps died of: exit code or signal, memory, their last error lines."},
    {"env", app_env, "ID", "The environment of a running instance."},
    {"logs", app_logs, "[NAME|ID] [--lines n --err --out --raw --json --timestamp --nostream]",
     "The last lines of the logs, and what comes."},
    {"monit", app_monit, "", "The list and the last lines of an app, on the whole screen."},
    {"flush", app_flush, "[NAME|ID]", "Empties the logs."},
    {"jlist", app_jlist, "", "The list as JSON, in pm2's shape."},
    {"prettylist", app_jlist, "", "The same for people."},
    {"slist", app_slist, "[--json]", "The machine in numbers."},
    {"report", app_report, "", "What to send along with a question."},
    {"pid", app_pid, "[NAME]", "Process ids."},
    {"id", app_pid, "NAME", "The ids of an app's instances."},
    {"sendSignal", app_signal, "SIGNAL NAME|ID", "Sends a signal."},
    {"send", app_send, "NAME|ID LINE [--message]",
     "Writes a line to an app's standard input; with --message, for process.on('message')."},
    {"attach", app_attach, "NAME|ID [INDEX|SEPARATOR]",
     "Shows an app's output as it comes and gives it what is typed; Ctrl-C leaves."},
    {"reset", app_flush, "NAME|ID|all", "Sets the counters of restarts to zero."},
    {"reloadLogs", app_simple, "", "Opens the logs anew."},
    {"save", app_simple, "[--force]", "Writes the list down for resurrect."},
    {"cleardump", app_simple, "", "Forgets what was saved."},
    {"resurrect", app_resurrect, "[--no-daemon] [--pm2]",
     "Starts what was saved; with --pm2, what pm2 has saved."},
    {"startup", app_startup, "[systemd|openrc|sysv] [--user | -u USER]",
     "Apps start with the system, and changes are saved."},
    {"unstartup", app_unstartup, "[systemd|openrc|sysv] [--user | -u USER]",
     "They do not any more."},
    {"serve", app_serve, "[DIR] [PORT] [--spa] [--basic-auth-username u --basic-auth-password p]",
     "Serves a folder of files with our own server, as an app."},
    {"init", app_init, "[simple]", "Writes an ecosystem.config.js to begin with."},
    {"deploy", deploy_command, "[FILE] ENV [setup|update|revert [n]|curr|prev|list|exec CMD|REF]",
     "Runs the deploy section of an ecosystem file over ssh and git."},
    {"hosts", hosts_command, "[NAME ...] [--write]",
     "The lines of /etc/hosts that the configured domains need; puts them there."},
    {"update", app_update, "", "This program takes over from the runner; the apps go on."},
    {"completion", completion_command, "bash|zsh|fish",
     "A script that completes commands, flags and names of apps."},
    {"ping", app_simple, "", "Starts the runner if it is not there."},
    {"kill", app_kill, "", "Stops all apps and the runner."},
    {NULL, NULL, NULL, NULL},
};

/* pm2's other words for the same. */
const char *cli_other_name(const char *name)
{
    static const struct {
        const char *name, *other;
    } names[] = {{"list", "ls"},
                 {"l", "ls"},
                 {"ps", "ls"},
                 {"status", "ls"},
                 {"desc", "describe"},
                 {"info", "describe"},
                 {"show", "describe"},
                 {"del", "delete"},
                 {"log", "logs"},
                 {"dump", "save"},
                 {"startOrRestart", "restart"},
                 {"startOrReload", "reload"},
                 {"startOrGracefulReload", "reload"},
                 {"gracefulReload", "reload"},
                 {"updatePM2", "update"},
                 {"ecosystem", "init"},
                 {"expose", "serve"},
                 {"sysinfos", "slist"},
                 {"imonit", "monit"},
                 {"dash", "monit"},
                 {"dashboard", "monit"}};

    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(names[i].name, name) == 0)
            return names[i].other;
    }
    return name;
}
