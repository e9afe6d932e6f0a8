/* pelayan report, slist: what to send along with a question, and the machine in numbers. Runs in:
 * the process the user started. */
#include "base/file.h"
#include "cli/app_args.h"
#include "cli/app_commands.h"
#include "cli/app_shared.h"
#include "cli/home.h"
#include "cli/version.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { LOG_BYTES_MAX = 16 << 20, LOG_LINES = 20 };

static void print_rule(const char *title)
{
    static const char dashes[] = "------------------------------------------------------------";

    printf("--- %s %.*s\n", title, (int)(sizeof dashes - 1 - strlen(title)), dashes);
}

static void print_system(void)
{
    struct utsname name;
    struct sysinfo info;

    print_rule("System");
    if (uname(&name) == 0)
        printf("kernel   : %s %s %s\n", name.sysname, name.release, name.machine);
    printf("cpus     : %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
    if (sysinfo(&info) == 0)
        printf("memory   : %lu MB, %lu MB free\nup since : %ld h\n",
               info.totalram / 1048576 * info.mem_unit, info.freeram / 1048576 * info.mem_unit,
               info.uptime / 3600);
    printf("user     : %u\n", (unsigned)geteuid());
}

static void print_runner(void)
{
    json_t *result = NULL;
    int asked = home_ask("ping", json_object(), HOME_IF_RUNNING, &result);

    print_rule("Runner");
    printf("home     : %s\n", home_path());
    if (asked == 0)
        printf("pid      : %d\n", (int)json_integer_value(json_object_get(result, "pid")));
    else
        puts("it does not run");
    json_decref(result);
}

static void print_log(void)
{
    char path[PATH_MAX];
    char *text = NULL;
    char *at;
    size_t lines = 0;

    print_rule("The runner's last messages");
    if (snprintf(path, sizeof path, "%s/pelayan.log", home_path()) < PATH_MAX)
        text = file_read(path, LOG_BYTES_MAX, NULL);
    if (text == NULL)
        return;
    at = text + strlen(text);
    while (at > text && (at[-1] != '\n' || lines++ < LOG_LINES + 1))
        at--;
    fputs(at, stdout);
    free(text);
}

int app_report(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    time_t now = time(NULL);
    char when[64];
    int code = 1;

    (void)options;
    if (home_path() != NULL && app_args_parse(&args, argc, argv, ARGS_PLAIN)) {
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %z", localtime(&now));
        print_rule("Pelayan");
        printf("date     : %s\n", when);
        fflush(stdout);
        version_print_configure(stdout);
        print_system();
        print_runner();
        print_rule("Apps");
        code = app_show_after(0, &args);
        print_log();
    }
    app_args_fini(&args);
    return code;
}

/* ---- slist */

static json_t *metric(double value, const char *unit)
{
    return json_pack("{s:f, s:s}", "value", value, "unit", unit);
}

static json_t *machine(void)
{
    json_t *object = json_object();
    double loads[3] = {0};
    struct statvfs disk;
    struct sysinfo info;

    json_object_set_new(object, "CPUs", metric((double)sysconf(_SC_NPROCESSORS_ONLN), ""));
    if (getloadavg(loads, 3) == 3) {
        json_object_set_new(object, "Load 1m", metric(loads[0], ""));
        json_object_set_new(object, "Load 5m", metric(loads[1], ""));
        json_object_set_new(object, "Load 15m", metric(loads[2], ""));
    }
    if (sysinfo(&info) == 0) {
        json_object_set_new(object, "RAM Total",
                            metric((double)info.totalram * info.mem_unit, "b"));
        json_object_set_new(object, "RAM Free", metric((double)info.freeram * info.mem_unit, "b"));
        json_object_set_new(object, "Swap Total",
                            metric((double)info.totalswap * info.mem_unit, "b"));
        json_object_set_new(object, "Uptime", metric((double)info.uptime, "s"));
        json_object_set_new(object, "Processes", metric(info.procs, ""));
    }
    if (statvfs("/", &disk) == 0) {
        json_object_set_new(object, "fs:size:/",
                            metric((double)disk.f_blocks * (double)disk.f_frsize, "b"));
        json_object_set_new(object, "fs:free:/",
                            metric((double)disk.f_bavail * (double)disk.f_frsize, "b"));
    }
    return object;
}

int app_slist(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    json_t *numbers = machine();
    const char *name;
    json_t *value;
    int code = 1;

    (void)options;
    if (app_args_parse(&args, argc, argv, ARGS_LIST)) {
        bool as_json = args.json || args.tree;

        code = 0;
        if (as_json)
            json_dumpf(numbers, stdout, args.tree ? JSON_INDENT(2) : JSON_COMPACT);
        json_object_foreach(numbers, name, value)
        {
            if (!as_json)
                printf("%-10s %.15g %s\n", name, json_number_value(json_object_get(value, "value")),
                       json_string_value(json_object_get(value, "unit")));
        }
        if (as_json)
            fputc('\n', stdout);
    }
    app_args_fini(&args);
    json_decref(numbers);
    return code;
}
