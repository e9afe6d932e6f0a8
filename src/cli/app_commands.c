/* pelayan ls, describe, logs, ...: asking about apps. Runs in: the process the user started. */
#include "cli/app_commands.h"

#include "base/list.h"
#include "cli/app_args.h"
#include "cli/app_list.h"
#include "cli/app_logs.h"
#include "cli/app_shared.h"
#include "cli/home.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int app_code(int asked)
{
    if (asked == 2)
        fputs("pelayan: no apps are running here\n", stderr);
    return asked == 0 ? 0 : 1;
}

bool app_colour(const struct app_args *args)
{
    return !args->no_color && getenv("NO_COLOR") == NULL && isatty(STDOUT_FILENO) == 1;
}

static void print_json(json_t *value, size_t flags)
{
    json_dumpf(value, stdout, flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    fputc('\n', stdout);
}

/* Nobody runs anything: that is an empty list. */
static int get_list(const char *target, json_t **list)
{
    json_t *request = json_object();
    int asked;

    if (target != NULL)
        json_object_set_new(request, "target", json_string(target));
    asked = home_ask("list", request, HOME_IF_RUNNING, list);
    if (asked == 2 && target == NULL) {
        *list = json_array();
        return 0;
    }
    return app_code(asked);
}

struct list_look app_look(const struct app_args *args)
{
    struct list_look look = {.colour = app_colour(args), .mini = args->mini_list};
    struct winsize size;

    if (isatty(STDOUT_FILENO) == 1 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        look.width = size.ws_col;
    return look;
}

static bool matches(const char *name, const char *word, size_t len)
{
    char pattern[256];
    regex_t regex;
    bool found;

    if (len < 3 || len >= sizeof pattern || word[0] != '/' || word[len - 1] != '/')
        return false;
    snprintf(pattern, sizeof pattern, "%.*s", (int)len - 2, word + 1);
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    found = regexec(&regex, name, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

bool app_is_selected(json_t *instance, const char *word)
{
    json_t *env = json_object_get(instance, "pm2_env");
    const char *name = json_string_value(json_object_get(instance, "name"));
    const char *space = json_string_value(json_object_get(env, "namespace"));
    char id[16];

    snprintf(id, sizeof id, "%d", (int)json_integer_value(json_object_get(instance, "pm_id")));
    return strcmp(word, "all") == 0 || strcmp(id, word) == 0 ||
           (name != NULL && (strcmp(name, word) == 0 || matches(name, word, strlen(word)))) ||
           (space != NULL && strcmp(space, word) == 0);
}

/* The apps that the words name; all without words. */
int app_logs_list(const struct app_args *args, json_t **list)
{
    int code = 0;

    if (args->word_count == 0)
        return get_list(NULL, list);
    *list = json_array();
    for (size_t i = 0; i < args->word_count && code == 0; i++) {
        json_t *more = NULL;

        code = get_list(args->words[i], &more);
        json_array_extend(*list, more);
        json_decref(more);
    }
    return code;
}

static int print_list(const struct app_args *args)
{
    struct list_look look = app_look(args);
    json_t *list = NULL;
    int code = get_list(NULL, &list);

    if (code == 0 && !app_list_sort(list, args->sort)) {
        fprintf(stderr,
                "pelayan: --sort knows name, id, pid, cpu, memory, uptime, status, restarts,"
                " requests and latency (\"cpu:desc\" for the largest first)\n");
        code = 1;
    }
    if (code == 0 && args->json)
        print_json(list, JSON_COMPACT);
    else if (code == 0)
        app_list_print(stdout, list, &look);
    json_decref(list);
    return code;
}

int app_show_after(int asked, const struct app_args *args)
{
    int code = app_code(asked);

    if (code == 0 && !args->silent)
        print_list(args);
    return code;
}

/* What most commands have: parsed arguments, and a word if one is needed. */
static int with_args(int argc, char **argv, unsigned groups, const char *needs,
                     int (*run)(const struct app_args *args, const char *command))
{
    struct app_args args;
    int code = 1;

    if (app_args_parse(&args, argc, argv, groups)) {
        if (needs != NULL && args.word_count == 0)
            fprintf(stderr, "usage: pelayan %s %s\n", argv[0], needs);
        else
            code = run(&args, argv[0]);
    }
    app_args_fini(&args);
    return code;
}

static int run_list(const struct app_args *args, const char *command)
{
    (void)command;
    return print_list(args);
}

int app_list(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    return with_args(argc, argv, ARGS_PLAIN, NULL, run_list);
}

static int run_jlist(const struct app_args *args, const char *command)
{
    json_t *list = NULL;
    int code = get_list(NULL, &list);

    (void)args;
    if (code == 0)
        print_json(list, strcmp(command, "jlist") == 0 ? JSON_COMPACT : JSON_INDENT(2));
    json_decref(list);
    return code;
}

int app_jlist(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    return with_args(argc, argv, ARGS_PLAIN, NULL, run_jlist);
}

static int run_describe(const struct app_args *args, const char *command)
{
    json_t *list = NULL;
    json_t *instance;
    size_t index;
    int code = get_list(args->words[0], &list);

    (void)command;
    if (args->json && code == 0)
        print_json(list, JSON_COMPACT);
    json_array_foreach(list, index, instance)
    {
        if (args->json)
            break;
        if (index > 0)
            fputc('\n', stdout);
        app_list_describe(stdout, instance);
    }
    json_decref(list);
    return code;
}

int app_describe(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    return with_args(argc, argv, ARGS_PLAIN, "NAME|ID", run_describe);
}

/* The environment the process really has. */
static int print_environment(int pid)
{
    char path[64];
    FILE *file;
    int c;

    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    file = fopen(path, "re");
    if (file == NULL) {
        perror("pelayan: cannot read the environment");
        return 1;
    }
    while ((c = fgetc(file)) != EOF)
        putchar(c == '\0' ? '\n' : c);
    fclose(file);
    return 0;
}

static int run_env(const struct app_args *args, const char *command)
{
    json_t *list = NULL;
    int code = get_list(args->words[0], &list);
    int pid = (int)json_integer_value(json_object_get(json_array_get(list, 0), "pid"));

    (void)command;
    json_decref(list);
    if (code == 0 && pid == 0) {
        fputs("pelayan: it is not running\n", stderr);
        return 1;
    }
    return code == 0 ? print_environment(pid) : code;
}

int app_env(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    return with_args(argc, argv, ARGS_PLAIN, "ID", run_env);
}

/* pid [NAME] and id NAME print as pm2 does: 4711, [ 0, 1 ]; nothing and [] where there is no such
 * app, which is an answer and no failure. */
static int run_pid(const struct app_args *args, const char *command)
{
    json_t *list = NULL;
    json_t *instance;
    size_t index;
    size_t count = 0;
    bool ids = strcmp(command, "id") == 0;
    int code = get_list(NULL, &list);

    if (ids && code == 0)
        fputs("[", stdout);
    json_array_foreach(list, index, instance)
    {
        json_int_t number = json_integer_value(json_object_get(instance, ids ? "pm_id" : "pid"));

        if (args->word_count > 0 && !app_is_selected(instance, args->words[0]))
            continue;
        printf(ids ? "%s %d" : "%s%d\n", ids && count > 0 ? "," : "", (int)number);
        count++;
    }
    if (ids && code == 0)
        fputs(count > 0 ? " ]\n" : "]\n", stdout);
    json_decref(list);
    return code;
}

int app_pid(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    return with_args(argc, argv, ARGS_PLAIN, strcmp(argv[0], "id") == 0 ? "NAME" : NULL, run_pid);
}

static int run_logs(const struct app_args *args, const char *command)
{
    json_t *list = NULL;
    int code = app_logs_list(args, &list);

    (void)command;
    if (code == 0)
        code = app_logs_run(list, args);
    json_decref(list);
    return code;
}

int app_logs(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    return with_args(argc, argv, ARGS_LOGS, NULL, run_logs);
}

static int ask_target(const char *what, const char *target, const char *name, const char *value)
{
    json_t *request = json_pack("{s:s}", "target", target);

    if (name != NULL)
        json_object_set_new(request, name, json_string(value));
    return app_code(home_ask(what, request, HOME_IF_RUNNING, NULL));
}

static int run_flush(const struct app_args *args, const char *command)
{
    int code = 0;

    if (args->word_count == 0)
        return ask_target(command, "all", NULL, NULL);
    for (size_t i = 0; i < args->word_count && code == 0; i++)
        code = ask_target(command, args->words[i], NULL, NULL);
    return code;
}

int app_flush(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    return with_args(argc, argv, ARGS_PLAIN, strcmp(argv[0], "reset") == 0 ? "NAME|ID|all" : NULL,
                     run_flush);
}

static int run_scale(const struct app_args *args, const char *command)
{
    if (args->word_count < 2) {
        fprintf(stderr, "usage: pelayan %s NAME N|+N|-N\n", command);
        return 1;
    }
    return app_show_after(ask_target(command, args->words[0], "count", args->words[1]), args);
}

int app_scale(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    return with_args(argc, argv, ARGS_PLAIN, "NAME N|+N|-N", run_scale);
}

static int run_signal(const struct app_args *args, const char *command)
{
    (void)command;
    if (args->word_count < 2) {
        fputs("usage: pelayan sendSignal SIGNAL NAME|ID\n", stderr);
        return 1;
    }
    return ask_target("signal", args->words[1], "signal", args->words[0]);
}

int app_signal(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    return with_args(argc, argv, ARGS_PLAIN, "SIGNAL NAME|ID", run_signal);
}
