/* pelayan start|restart|reload ...: from files and flags to specs. Runs in: the process the user
 * started. */
#include "apps/ecosystem.h"
#include "apps/spec.h"
#include "base/diag.h"
#include "cli/app_args.h"
#include "cli/app_commands.h"
#include "cli/app_shared.h"
#include "cli/home.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_script(const char *word)
{
    struct stat stat_;

    return stat(word, &stat_) == 0 && S_ISREG(stat_.st_mode);
}

/* Absolute, so that the daemon, which stands elsewhere, means the same. */
static void make_absolute(json_t *app)
{
    const char *cwd = json_string_value(json_object_get(app, "cwd"));
    char here[PATH_MAX];

    if (cwd == NULL)
        cwd = json_string_value(json_object_get(app, "directory"));
    if (cwd != NULL && cwd[0] == '/')
        return;
    if (getcwd(here, sizeof here) == NULL)
        return;
    json_object_set_new(app, "cwd",
                        cwd == NULL ? json_string(here) : json_sprintf("%s/%s", here, cwd));
}

static void print_warnings(const char *name, const struct diag *diag)
{
    for (const struct diag_entry *entry = diag->first; entry != NULL; entry = entry->next)
        fprintf(stderr, "pelayan: %s%s%s%s%s%s\n", name == NULL ? "" : "app ",
                name == NULL ? "" : name, name == NULL ? "" : ": ", entry->message,
                entry->hint == NULL ? "" : ": ", entry->hint == NULL ? "" : entry->hint);
}

/* The daemon will look at it again; here the user sees warnings, and errors before anything
 * starts. */
static bool check(json_t *app, const char *env_name)
{
    struct diag diag;
    struct app_spec *spec;

    diag_init(&diag);
    make_absolute(app);
    spec = spec_new(app, env_name, NULL, &diag);
    print_warnings(json_string_value(json_object_get(app, "name")), &diag);
    diag_fini(&diag);
    spec_unref(spec);
    return spec != NULL;
}

static bool is_wanted(json_t *app, const char *only)
{
    const char *name = json_string_value(json_object_get(app, "name"));
    size_t len = name == NULL ? 0 : strlen(name);

    for (const char *at = only; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (len > 0 && strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return only == NULL;
}

/* The apps of a file, with the flags laid over them. NULL: message printed. */
static json_t *from_file(const char *path, const struct app_args *args)
{
    struct diag diag;
    json_t *file;
    json_t *result = NULL;
    json_t *app;
    size_t index;

    diag_init(&diag);
    file = ecosystem_load(path, &diag);
    print_warnings(NULL, &diag);
    diag_fini(&diag);
    if (file == NULL)
        return NULL;
    result = json_array();
    json_array_foreach(json_object_get(file, "apps"), index, app)
    {
        if (!is_wanted(app, args->only))
            continue;
        json_object_update(app, args->spec);
        if (!json_is_object(app) || !check(app, args->env_name)) {
            json_decref(result);
            result = NULL;
            break;
        }
        json_array_append(result, app);
    }
    json_decref(file);
    return result;
}

/* One app: the word is its script, the others are its arguments. */
static json_t *from_words(const struct app_args *args)
{
    json_t *app = json_deep_copy(args->spec);
    json_t *words = json_array();

    json_object_set_new(app, "script", json_string(args->words[0]));
    for (size_t i = 1; i < args->word_count; i++)
        json_array_append_new(words, json_string(args->words[i]));
    json_array_extend(words, json_object_get(app, "args"));
    if (json_array_size(words) > 0)
        json_object_set(app, "args", words);
    json_decref(words);
    if (check(app, args->env_name))
        return json_pack("[o]", app);
    json_decref(app);
    return NULL;
}

static json_t *request_of(const struct app_args *args)
{
    json_t *request = json_object();

    json_object_set_new(request, "inherited", home_environment());
    json_object_set_new(request, "force", json_boolean(args->force));
    json_object_set_new(request, "update_env", json_boolean(args->update_env));
    if (args->env_name != NULL)
        json_object_set_new(request, "env_name", json_string(args->env_name));
    return request;
}

static int start_apps(json_t *apps, const struct app_args *args, bool only_new, bool reload)
{
    json_t *request = request_of(args);

    if (apps == NULL) {
        json_decref(request);
        return 1;
    }
    json_object_set_new(request, "apps", apps);
    json_object_set_new(request, "only_new", json_boolean(only_new));
    json_object_set_new(request, "reload", json_boolean(reload));
    if (args->no_daemon)
        return app_run_here("start", request, args);
    return app_show_after(home_ask("start", request, HOME_START, NULL), args);
}

static int change_known(const char *what, const struct app_args *args)
{
    json_t *request;
    int code = 0;

    for (size_t i = 0; i < args->word_count && code == 0; i++) {
        request = request_of(args);
        json_object_set_new(request, "target", json_string(args->words[i]));
        if (json_object_size(args->spec) > 0)
            json_object_set(request, "changes", args->spec);
        code = app_code(home_ask(what, request, HOME_IF_RUNNING, NULL));
    }
    return app_show_after(code, args);
}

/* Is there an app of that name or number? */
static bool is_known(const char *word)
{
    json_t *list = NULL;
    json_t *instance;
    size_t index;
    bool known = strcmp(word, "all") == 0;

    home_ask("list", json_object(), HOME_IF_RUNNING, &list);
    json_array_foreach(list, index, instance)
    {
        const char *name = json_string_value(json_object_get(instance, "name"));
        char id[16];

        snprintf(id, sizeof id, "%d", (int)json_integer_value(json_object_get(instance, "pm_id")));
        known = known || strcmp(id, word) == 0 || (name != NULL && strcmp(name, word) == 0);
    }
    json_decref(list);
    return known;
}

static int run_start(const struct app_args *args)
{
    const char *word = args->word_count > 0 ? args->words[0] : "ecosystem.config.js";

    if (ecosystem_is_file(word))
        return start_apps(from_file(word, args), args, false, false);
    if (!is_script(word) && strchr(word, ' ') == NULL && is_known(word))
        return change_known("start", args);
    return start_apps(from_words(args), args, true, false);
}

static int run_change(const char *what, const struct app_args *args)
{
    if (args->word_count == 0) {
        fprintf(stderr, "usage: pelayan %s NAME|ID|NAMESPACE|/REGEX/|all|FILE\n", what);
        if (strcmp(what, "reload") == 0) /* who knows nginx means its configuration */
            fputs("to apply a changed configuration file: \"pelayan -s reload\"\n", stderr);
        return 1;
    }
    if (strcmp(what, "delete") != 0 && strcmp(what, "stop") != 0 &&
        ecosystem_is_file(args->words[0]))
        return start_apps(from_file(args->words[0], args), args, false,
                          strcmp(what, "reload") == 0);
    return change_known(what, args);
}

int app_start(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    (void)options;
    if (app_args_parse(&args, argc, argv, true))
        code = run_start(&args);
    app_args_fini(&args);
    return code;
}

/* The daemon's word for a command: pm2 has several for some. */
static const char *canonical(const char *word)
{
    if (strcmp(word, "del") == 0)
        return "delete";
    if (strcmp(word, "startOrRestart") == 0)
        return "restart";
    if (strcmp(word, "startOrReload") == 0 || strcmp(word, "startOrGracefulReload") == 0 ||
        strcmp(word, "gracefulReload") == 0)
        return "reload";
    return word;
}

int app_change(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    (void)options;
    if (app_args_parse(&args, argc, argv, true))
        code = run_change(canonical(argv[0]), &args);
    app_args_fini(&args);
    return code;
}
