/* pelayan save, resurrect, ping, kill ...: the runner and its list as a whole. Runs in: the process
 * the user started. */
#include "base/list.h"
#include "cli/app_args.h"
#include "cli/app_commands.h"
#include "cli/app_shared.h"
#include "cli/home.h"
#include "cli/pm2_dump.h"
#include "cli/site_server.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *command;
    const char *what;
    enum home_wish wish;
    const char *done;
} simple[] = {
    {"save", "save", HOME_IF_RUNNING, "saved"},
    {"dump", "save", HOME_IF_RUNNING, "saved"},
    {"ping", "ping", HOME_START, "pong"},
    {"cleardump", "forget", HOME_START, "forgotten"},
    {"reloadLogs", "reload-logs", HOME_IF_RUNNING, "reopened"},
};

static int run_simple(const struct app_args *args, const char *command)
{
    for (size_t i = 0; i < COUNT(simple); i++) {
        int code;

        if (strcmp(simple[i].command, command) != 0)
            continue;
        code = app_code(home_ask(simple[i].what, json_pack("{s:b}", "force", args->force),
                                 simple[i].wish, NULL));
        if (code == 0 && !args->silent)
            puts(simple[i].done);
        return code;
    }
    return 1;
}

int app_simple(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    (void)options;
    if (app_args_parse(&args, argc, argv, ARGS_STATE))
        code = run_simple(&args, argv[0]);
    app_args_fini(&args);
    return code;
}

/* ---- resurrect */

static void say_what_came(json_t *apps)
{
    json_t *app;
    size_t index;

    json_array_foreach(apps, index, app)
    {
        json_t *env = json_object_get(app, "env");
        const char *name;
        json_t *value;

        printf("%s: from pm2's list", json_string_value(json_object_get(app, "name")));
        if (env != NULL)
            fputs(", with these variables:", stdout);
        json_object_foreach(env, name, value) printf(" %s", name);
        fputc('\n', stdout);
    }
}

/* NULL: message printed. */
static json_t *pm2_request(const struct app_args *args)
{
    char path[PATH_MAX];
    json_t *apps = NULL;

    if (args->file != NULL)
        apps = pm2_dump_load(args->file);
    else if (pm2_dump_path(path, sizeof path))
        apps = pm2_dump_load(path);
    if (apps == NULL)
        return NULL;
    if (!args->silent)
        say_what_came(apps);
    return json_pack("{s:o, s:b}", "apps", apps, "only_new", 1);
}

static void hint_at_pm2(void)
{
    char path[PATH_MAX];

    if (pm2_dump_path(path, sizeof path) && access(path, R_OK) == 0)
        fprintf(stderr,
                "pelayan: pm2 has saved a list (%s): \"pelayan resurrect --pm2\" takes it\n", path);
}

static int run_resurrect(const struct run_options *options, const struct app_args *args)
{
    json_t *request = args->pm2 ? pm2_request(args) : json_object();
    const char *what = args->pm2 ? "start" : "resurrect";
    int code;

    if (request == NULL)
        return 1;
    json_object_set_new(request, "inherited", home_environment());
    if (args->no_daemon)
        return app_run_here(options, what, request, args, "");
    code = app_code(home_ask(what, request, HOME_START, NULL));
    if (code != 0 && !args->pm2)
        hint_at_pm2();
    if (code == 0 && !site_server_bring_back(options))
        code = 1;
    return code == 0 ? app_show_after(0, args) : code;
}

int app_resurrect(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    if (app_args_parse(&args, argc, argv, ARGS_STATE))
        code = run_resurrect(options, &args);
    app_args_fini(&args);
    return code;
}

/* ---- update and kill */

int app_update(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    (void)options;
    if (app_args_parse(&args, argc, argv, ARGS_PLAIN))
        code = app_show_after(home_update(), &args);
    app_args_fini(&args);
    return code;
}

int app_kill(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    bool server = false;
    int asked = 1;

    (void)options;
    if (app_args_parse(&args, argc, argv, ARGS_PLAIN)) {
        server = site_server_stop();
        asked = home_kill();
        if (!args.silent && server)
            puts("the server of your domains has ended");
        if (!args.silent && asked != 1)
            puts(asked == 2 ? (server ? "no apps were running" : "nothing was running")
                            : "all apps have ended");
    }
    app_args_fini(&args);
    return asked == 1 ? 1 : 0;
}
