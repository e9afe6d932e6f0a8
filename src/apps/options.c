/* The keys of an app, one row each: pm2's with their other names, and ours. Runs in: master; cli.
 */
#include "apps/spec.h"

#include "base/list.h"
#include "base/slice.h"

#include <ctype.h>
#include <string.h>

/* A row whose kind does not match its field does not compile. */
#define FIELD(kind, field, type)                                                                   \
    (kind), _Generic(((struct app_spec *)0)->field, type : offsetof(struct app_spec, field))
#define TEXT(field) FIELD(OPTION_TEXT, field, char *)
#define BOOL(field) FIELD(OPTION_BOOL, field, bool)
#define INT(field) FIELD(OPTION_INT, field, int)
#define MSEC(field) FIELD(OPTION_MSEC, field, uint64_t)
#define BYTES(field) FIELD(OPTION_BYTES, field, uint64_t)
#define WORDS(field) FIELD(OPTION_WORDS, field, struct words)
#define CODES(field) FIELD(OPTION_CODES, field, struct codes)
#define SWITCH(field) FIELD(OPTION_SWITCH, field, struct switch_words)
#define NOTHING OPTION_NOTHING, 0
#define OTHER OPTION_OTHER, 0

enum { HOUR_MS = 3600 * 1000, MANY = 1 << 30 };

const struct option app_options[] = {
    /* what runs */
    {"name", NULL, TEXT(name), .flag = "-n",
     .doc = "What the app is called; the script's name without its extension by default."},
    {"namespace", NULL, TEXT(namespace), .def = "default",
     .doc = "A word that selects several apps in every command."},
    {"script", "exec cmd command", TEXT(script),
     .doc = "Program or script; with a blank in it, a command line for the shell."},
    {"args", NULL, WORDS(args), .doc = "Arguments of the script."},
    {"node_args", "interpreter_args", WORDS(node_args),
     .doc = "Arguments of the interpreter, before the script."},
    {"interpreter", "exec_interpreter", TEXT(interpreter),
     .doc = "What runs the script; by its extension by default, \"none\" for a program."},
    {"cwd", "directory", TEXT(cwd), .doc = "The folder it runs in."},
    {"uid", "user", TEXT(uid), .doc = "User it runs as, by name or number; needs root."},
    {"gid", "group", TEXT(gid), .doc = "Group it runs as, by name or number; needs root."},
    {"umask", NULL, TEXT(umask), .doc = "File mode creation mask, octal."},
    {"limit_nofile", NULL, TEXT(limit_nofile),
     .doc = "Most descriptors it may have open: a number, \"soft:hard\" or \"unlimited\"."},
    {"limit_nproc", NULL, TEXT(limit_nproc), .doc = "Most processes of its user."},
    {"limit_core", NULL, TEXT(limit_core), .doc = "Largest core dump: a size or \"unlimited\"."},
    {"limit_fsize", NULL, TEXT(limit_fsize), .doc = "Largest file it may write."},
    {"limit_as", NULL, TEXT(limit_as), .doc = "Largest address space of a process."},
    {"limit_stack", NULL, TEXT(limit_stack), .doc = "Largest stack."},
    {"limit_memlock", NULL, TEXT(limit_memlock), .doc = "Most memory it may lock."},
    {"limit_memory", NULL, BYTES(limit_memory_bytes),
     .doc = "Most memory of all its processes; above that the kernel ends one. Needs cgroup v2."},
    {"limit_processes", NULL, INT(limit_processes), .min = 1, .max = MANY,
     .doc = "Most processes and threads of an instance. Needs cgroup v2."},
    {"limit_cpu", NULL, INT(limit_cpu_percent), .min = 1, .max = 100000,
     .doc = "Most CPU time in percent of one CPU. Needs cgroup v2."},
    {"port", NULL, INT(port), .min = 0, .max = 65535, .doc = "Sets PORT."},
    {"instances", NULL, TEXT(instances), .flag = "-i",
     .doc = "How many: a number, \"max\" or 0 for one per CPU, -1 for all CPUs but one; 2..8: as"
            " many as balanced requests need."},
    {"exec_mode", NULL, TEXT(exec_mode),
     .doc = "\"fork\", or \"cluster\": instances of a node app share their listening sockets."},
    {"increment_var", NULL, TEXT(increment_var),
     .doc = "A variable that is one larger in each instance."},
    {"instance_var", NULL, TEXT(instance_var), .def = "NODE_APP_INSTANCE",
     .doc = "The variable that holds the number of the instance."},
    {"socket", NULL, BOOL(socket), .def = "false",
     .doc = "PORT is the path of a unix socket of the instance's own."},
    {"balance", NULL, BOOL(balance), .def = "false",
     .doc = "Each instance gets a free port in PORT, for a balancer that has the public one."},
    {"listen_fds", "socket_activation", WORDS(listen_fds),
     .doc =
         "Addresses that we listen on for it; it gets them as LISTEN_FDS, from descriptor 3 on."},
    {"reuse_port", NULL, BOOL(reuse_port), .def = "false",
     .doc = "It listens with SO_REUSEPORT: a new instance can start beside the old one."},
    /* life */
    {"autostart", NULL, BOOL(autostart), .def = "true",
     .doc = "false: known, but stopped until somebody starts it."},
    {"autorestart", NULL, BOOL(autorestart), .def = "true",
     .doc = "false: an instance that ends stays stopped."},
    {"stop_exit_codes", NULL, CODES(stop_exit_codes), .min = 0, .max = 255,
     .doc = "Exit codes that mean: done, do not restart."},
    {"restart_delay", NULL, MSEC(restart_delay_ms), .max = 24 * HOUR_MS,
     .doc = "How long to wait before a restart."},
    {"exp_backoff_restart_delay", NULL, MSEC(backoff_ms), .max = 24 * HOUR_MS,
     .doc = "The first delay before a restart; each next one is half as long again, up to 15 s."},
    {"min_uptime", NULL, MSEC(min_uptime_ms), .def = "1000", .max = 24 * HOUR_MS,
     .doc = "An end before this time is an unstable start."},
    {"max_restarts", NULL, INT(max_restarts), .def = "16", .min = 0, .max = MANY,
     .doc = "So many unstable starts in a row, or failures in crash_window, and it is errored."},
    {"crash_window", NULL, MSEC(crash_window_ms), .def = "30s", .max = 24 * HOUR_MS,
     .doc = "An app that fails more often than max_restarts in this time is errored; 0: off."},
    {"kill_timeout", NULL, MSEC(kill_timeout_ms), .def = "1600", .max = HOUR_MS, .flag = "-k",
     .doc = "How long a stopping app has before it is killed."},
    {"drain_timeout", NULL, MSEC(drain_timeout_ms), .def = "30s", .max = 24 * HOUR_MS,
     .doc = "How long balanced requests on a stopping instance have to finish before it is told."},
    {"drain_websocket_timeout", NULL, MSEC(drain_websocket_timeout_ms), .def = "10s",
     .max = 24 * HOUR_MS,
     .doc = "How long WebSockets alone keep a stopping instance from being told."},
    {"idle_timeout", NULL, MSEC(idle_timeout_ms), .max = (int64_t)365 * 24 * HOUR_MS,
     .doc = "Stops an app that no balanced request came for so long; the next one starts it."},
    {"scale_up_at", NULL, INT(scale_up_at), .def = "8", .min = 1, .max = MANY,
     .doc = "With instances 2..8: more requests at a time for each are one instance more."},
    {"scale_down_after", NULL, MSEC(scale_down_after_ms), .def = "60s", .max = 24 * HOUR_MS,
     .doc = "With instances 2..8: so long one less must have been enough before it goes."},
    {"kill_signal", NULL, TEXT(kill_signal), .def = "SIGINT",
     .doc = "The signal that asks an app to stop."},
    {"shutdown_with_message", NULL, BOOL(shutdown_with_message), .def = "false",
     .doc = "Asks a node app to stop by process.send('shutdown') instead of a signal."},
    {"treekill", NULL, BOOL(treekill), .def = "true",
     .doc = "Signals all processes an app has started; false: only the first one."},
    {"wait_ready", NULL, BOOL(wait_ready), .def = "false",
     .doc = "Online when the app says process.send('ready')."},
    {"listen_timeout", NULL, MSEC(listen_timeout_ms), .max = HOUR_MS,
     .doc = "How long an app has to become ready; 3 s with wait_ready, else 30 s."},
    {"ready", NULL, TEXT(ready),
     .doc = "When it is online: \"http /path\", \"tcp\", \"exec COMMAND\", \"ipc\" or \"notify\"."},
    {"live", NULL, TEXT(live),
     .doc =
         "Whether it still works: \"http /path\", \"tcp\" or \"exec COMMAND\"; else it is replaced."},
    {"live_interval", NULL, MSEC(live_interval_ms), .def = "10s", .min = 10, .max = HOUR_MS,
     .doc = "How long after an answer it is asked again."},
    {"live_timeout", NULL, MSEC(live_timeout_ms), .def = "5s", .min = 10, .max = HOUR_MS,
     .doc = "How long it has to answer."},
    {"live_failures", NULL, INT(live_failures), .def = "3", .min = 1, .max = 1000,
     .doc = "So many failures in a row, and it is replaced."},
    {"max_memory_restart", NULL, BYTES(max_memory_bytes),
     .doc = "Replaces an instance that uses more memory."},
    {"schedule", NULL, TEXT(schedule),
     .doc = "A job: started at these times if it does not run; it ends by itself."},
    {"cron_restart", "cron restart_at", TEXT(cron), .flag = "-c",
     .doc = "Restarts at these times: minute hour day month weekday."},
    {"watch", NULL, SWITCH(watch), .doc = "Restarts when files change: true, or paths."},
    {"watch_delay", NULL, MSEC(watch_delay_ms), .max = HOUR_MS,
     .doc = "Quiet time after a change before the restart."},
    {"ignore_watch", NULL, WORDS(ignore_watch),
     .doc = "Names or patterns that are not watched; always: node_modules, .git and the like."},
    {"watch_ext", "ext", WORDS(watch_ext),
     .doc = "Only files whose names end so count: \"js,json\"."},
    /* environment */
    {"env", NULL, OTHER, .doc = "Variables; env_NAME is laid over them with --env NAME."},
    {"filter_env", NULL, SWITCH(filter_env),
     .doc = "true: inherit nothing; a name: not this variable; a list: none whose name holds one."},
    /* logs */
    {"out_file", "out output out_log", TEXT(out_file), .flag = "-o",
     .doc = "Standard output; /dev/null for none."},
    {"error_file", "error err err_file err_log", TEXT(error_file), .flag = "-e",
     .doc = "Standard error; /dev/null for none."},
    {"log_file", "log", TEXT(log_file), .flag = "-l", .doc = "Both, in one file."},
    {"merge_logs", "combine_logs", BOOL(merge_logs), .def = "false",
     .doc = "All instances write to one file, whole lines."},
    {"log_date_format", NULL, TEXT(log_date_format),
     .doc = "Puts the time before each line: YYYY-MM-DD HH:mm:ss.SSS Z."},
    {"time", NULL, BOOL(time), .def = "false", .doc = "The same as YYYY-MM-DDTHH:mm:ss."},
    {"log_type", NULL, TEXT(log_type), .doc = "\"json\": each line as an object."},
    {"disable_logs", NULL, BOOL(disable_logs), .def = "false", .doc = "Keeps no output."},
    {"log_max_size", NULL, BYTES(log_max_bytes), .def = "100M",
     .doc = "A larger log is put aside and a new one begun; 0: never."},
    {"log_total_size", NULL, BYTES(log_total_bytes), .def = "1G",
     .doc = "Logs put aside take no more than this: the oldest are removed."},
    {"log_max_age", NULL, MSEC(log_max_age_ms), .max = (int64_t)10000 * 24 * HOUR_MS,
     .doc = "An older log is put aside; 0: never."},
    {"log_compress", NULL, BOOL(log_compress), .def = "true", .doc = "Compresses logs put aside."},
    {"pid_file", "pid", TEXT(pid_file), .flag = "-p", .doc = "Where the process id is written."},
    /* known, without effect */
    {"deploy", NULL, OTHER, .doc = "For the deploy command."},
    {"name_prefix", NULL, NOTHING, .doc = "names are used as they are"},
    {"append_env_to_name", NULL, NOTHING, .doc = "names are used as they are"},
    {"force", NULL, NOTHING, .doc = "it belongs on the command line"},
    {"kill_retry_time", NULL, NOTHING, .doc = "the kernel tells when a process has ended"},
    {"watch_options", NULL, NOTHING, .doc = "changes come from the kernel"},
    {"vizion", "automation", NOTHING, .doc = "versions are not looked at"},
    {"post_update", "install_url", NOTHING, .doc = "there is no remote update"},
    {"pmx", "io trace disable_trace deep_monitoring event_loop_inspector v8", NOTHING,
     .doc = "nothing is put into the app"},
    {"source_map_support", "disable_source_map_support", NOTHING,
     .doc = "node has --enable-source-maps"},
    {"wait_ip", NULL, NOTHING, .doc = "\"ready\" says when an app is online"},
    {"execute_command", NULL, NOTHING, .flag = "-x", .doc = "nothing to do here"},
    {"write", NULL, NOTHING, .flag = "-w", .doc = "files are the user's"},
    {"windows_hide", NULL, NOTHING, .doc = "nothing to do here"},
};

const size_t app_option_count = COUNT(app_options);

enum { KEY_BYTES_MAX = 64 };

/* maxMemoryRestart and max-memory-restart as max_memory_restart. */
static bool canonical(const char *key, char out[KEY_BYTES_MAX])
{
    size_t at = 0;

    for (; *key != '\0'; key++) {
        bool upper = isupper((unsigned char)*key) != 0;

        if (at + 3 > KEY_BYTES_MAX)
            return false;
        if (upper)
            out[at++] = '_';
        out[at++] = *key == '-' ? '_' : (char)tolower((unsigned char)*key);
    }
    out[at] = '\0';
    return true;
}

const struct option *option_find(const char *key)
{
    char name[KEY_BYTES_MAX];

    if (!canonical(key, name) || name[0] == '\0')
        return NULL;
    for (size_t i = 0; i < COUNT(app_options); i++) {
        if (strcmp(app_options[i].name, name) == 0 || slice_has_word(app_options[i].aliases, name))
            return &app_options[i];
    }
    return NULL;
}
