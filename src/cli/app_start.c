/* pelayan start|restart|reload ...: from files and flags to specs. Runs in: the process the user
 * started. */
#include "apps/ecosystem.h"
#include "apps/spec.h"
#include "base/diag.h"
#include "base/list.h"
#include "base/slice.h"
#include "cli/app_args.h"
#include "cli/app_commands.h"
#include "cli/app_logs.h"
#include "cli/app_serve.h"
#include "cli/app_shared.h"
#include "cli/app_site.h"
#include "cli/home.h"
#include "cli/site_server.h"
#include "config/loader.h"

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
 * starts. The name becomes the one it will have. */
static bool check(json_t *app, const char *env_name)
{
    struct diag diag;
    struct app_spec *spec;

    diag_init(&diag);
    make_absolute(app);
    spec = spec_new(app, env_name, NULL, &diag);
    print_warnings(json_string_value(json_object_get(app, "name")), &diag);
    diag_fini(&diag);
    if (spec != NULL)
        json_object_set_new(app, "name", json_string(spec->name));
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
static json_t *from_file(const struct run_options *options, const char *path,
                         const struct app_args *args)
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
        if (!json_is_object(app) || !check(app, args->env_name) ||
            !app_serve_expand(options, app)) {
            json_decref(result);
            result = NULL;
            break;
        }
        json_array_append(result, app);
    }
    json_decref(file);
    return result;
}

/* One app: the word is its script. NULL: message printed. */
static json_t *from_word(const char *word, const struct app_args *args)
{
    json_t *app = json_deep_copy(args->spec);

    json_object_set_new(app, "script", json_string(word));
    if (check(app, args->env_name))
        return app;
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
    if (args->parallel != NULL)
        json_object_set_new(request, "parallel", json_string(args->parallel));
    return request;
}

/* Only a --domain may be asked for what runs already: then nothing happens to an app that is as it
 * is described. */
static json_t *start_request(const struct app_args *args, json_t *apps, bool only_new)
{
    json_t *request = request_of(args);

    json_object_set(request, "apps", apps);
    json_object_set_new(request, "only_new", json_boolean(only_new && args->domain == NULL));
    json_object_set_new(request, "only_changed", json_boolean(args->domain != NULL));
    return request;
}

static int start_apps(const struct app_args *args, json_t *apps, bool only_new, bool reload)
{
    json_t *request = start_request(args, apps, only_new);

    json_object_set_new(request, "reload", json_boolean(reload));
    return app_code(home_ask("start", request, HOME_START, NULL));
}

static int change_known(const char *what, const struct app_args *args, const char *target)
{
    json_t *request = request_of(args);

    json_object_set_new(request, "target", json_string(target));
    if (json_object_size(args->spec) > 0)
        json_object_set(request, "changes", args->spec);
    return app_code(home_ask(what, request, HOME_IF_RUNNING, NULL));
}

/* What follows a change that went well: domains, the list, the logs. */
static int finish(const struct run_options *options, const struct app_args *args, const char *app)
{
    struct app_args show = *args;
    json_t *list = NULL;
    int code;

    if (args->domain != NULL && !app_site_add(options, args, app))
        return 1;
    if (args->domain == NULL && !site_server_bring_back(options))
        return 1;
    app_show_after(0, args);
    show.word_count = 0; /* they are scripts and files */
    if (!args->attach || app_logs_list(&show, &list) != 0)
        return args->attach ? 1 : 0;
    code = app_logs_run(list, &show);
    json_decref(list);
    return code;
}

/* Is there an app of that name, number or namespace? */
static bool is_known(const char *word, bool *online)
{
    json_t *list = NULL;
    json_t *instance;
    size_t index;
    bool known = strcmp(word, "all") == 0;

    *online = false;
    home_ask("list", json_object(), HOME_IF_RUNNING, &list);
    json_array_foreach(list, index, instance)
    {
        const char *status = json_string_value(
            json_object_get(json_object_get(instance, "pm2_env"), "status"));

        if (!app_is_selected(instance, word))
            continue;
        known = true;
        *online = *online || (status != NULL && strcmp(status, "online") == 0);
    }
    json_decref(list);
    return known;
}

/* What the words of `start` mean. */
struct plan {
    json_t *of_files;   /* owned: apps */
    json_t *of_scripts; /* owned: apps */
    const char *known[APP_WORDS_MAX];
    size_t known_count;
};

static bool add_file(const struct run_options *options, struct plan *plan, const char *path,
                     const struct app_args *args)
{
    json_t *apps = from_file(options, path, args);

    json_array_extend(plan->of_files, apps);
    json_decref(apps);
    return apps != NULL;
}

static bool is_in_path(const char *word)
{
    struct slice rest = slice_of(getenv("PATH"));
    struct slice folder;
    char path[PATH_MAX];

    while (slice_split(&rest, ':', &folder)) {
        if (snprintf(path, sizeof path, "%.*s/%s", SLICE_ARG(folder), word) < PATH_MAX &&
            access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* The app that was perhaps meant, or NULL. Borrowed from `list`. */
static const char *nearest_app(json_t *list, const char *word)
{
    const char *names[256];
    size_t count = 0;
    json_t *instance;
    size_t index;

    json_array_foreach(list, index, instance)
    {
        const char *name = json_string_value(json_object_get(instance, "name"));

        if (name != NULL && count < COUNT(names))
            names[count++] = name;
    }
    return nearest_name(slice_of(word), names, count);
}

/* A word that is nothing is said at once: it would only become an app that cannot run. */
static bool is_something(const char *word, const struct app_args *args)
{
    const char *cwd = json_string_value(json_object_get(args->spec, "cwd"));
    json_t *list = NULL;
    const char *near;
    char path[PATH_MAX];

    if (strpbrk(word, "/ ") != NULL || is_script(word) || is_in_path(word))
        return true;
    if (cwd != NULL && snprintf(path, sizeof path, "%s/%s", cwd, word) < PATH_MAX &&
        is_script(path))
        return true;
    home_ask("list", json_object(), HOME_IF_RUNNING, &list);
    near = nearest_app(list, word);
    fprintf(stderr, "pelayan: there is no program, script or app \"%s\"%s%s%s\n", word,
            near == NULL ? "" : ": did you mean \"", near == NULL ? "" : near,
            near == NULL ? "" : "\"?");
    json_decref(list);
    return false;
}

static bool add_word(const struct run_options *options, struct plan *plan, const char *word,
                     const struct app_args *args)
{
    bool online;
    json_t *app;

    if (ecosystem_is_file(word))
        return add_file(options, plan, word, args);
    if (!is_script(word) && strchr(word, ' ') == NULL && is_known(word, &online)) {
        if (!online || args->domain == NULL)
            plan->known[plan->known_count++] = word;
        return true;
    }
    app = from_word(word, args);
    if (app != NULL && is_something(word, args))
        return json_array_append_new(plan->of_scripts, app) == 0;
    json_decref(app);
    return false;
}

/* The one app that --domain is about. NULL: message printed. */
static const char *domains_app(const struct plan *plan, const struct app_args *args)
{
    size_t files = json_array_size(plan->of_files);
    size_t scripts = json_array_size(plan->of_scripts);
    json_t *app = json_array_get(scripts > 0 ? plan->of_scripts : plan->of_files, 0);

    if (files + scripts == 0 && args->word_count == 1)
        return args->words[0];
    if (files + scripts == 1 && plan->known_count == 0)
        return json_string_value(json_object_get(app, "name"));
    fputs("pelayan: --domain is about one app: say which one with --only NAME, or start them one"
          " by one\n",
          stderr);
    return NULL;
}

static int carry_out(const struct run_options *options, const struct app_args *args,
                     const struct plan *plan)
{
    bool files = json_array_size(plan->of_files) > 0;
    bool scripts = json_array_size(plan->of_scripts) > 0;
    const char *app = args->domain == NULL ? "" : domains_app(plan, args);
    int code = 0;

    if (app == NULL || !app_site_check(args, app))
        return 1;
    if (args->no_daemon && files != scripts)
        return app_run_here(options, "start",
                            start_request(args, files ? plan->of_files : plan->of_scripts, scripts),
                            args, app);
    if (args->no_daemon) {
        fputs("pelayan: --no-daemon is for one file, or for scripts\n", stderr);
        return 1;
    }
    if (files)
        code = start_apps(args, plan->of_files, false, false);
    if (scripts && code == 0)
        code = start_apps(args, plan->of_scripts, true, false);
    for (size_t i = 0; i < plan->known_count && code == 0; i++)
        code = change_known("start", args, plan->known[i]);
    return code == 0 ? finish(options, args, app) : code;
}

/* Behind a domain each instance has an address of its own, unless the user gives it one. */
static void want_address(const struct app_args *args)
{
    static const char *const keys[] = {"balance", "socket", "port"};

    for (size_t i = 0; i < COUNT(keys); i++) {
        if (json_object_get(args->spec, keys[i]) != NULL)
            return;
    }
    if (args->domain != NULL)
        json_object_set_new(args->spec, "balance", json_true());
}

/* Nothing was named: pm2 means the file of this folder. */
static bool add_usual_file(const struct run_options *options, struct plan *plan,
                           const struct app_args *args)
{
    static const char name[] = "ecosystem.config.js";

    if (access(name, F_OK) == 0)
        return add_file(options, plan, name, args);
    fprintf(stderr,
            "pelayan: what is to be started? There is no %s in this folder: name a script, a "
            "program or a command, or let \"pelayan init\" write that file\n",
            name);
    return false;
}

static int run_start(const struct run_options *options, const struct app_args *args)
{
    struct plan plan = {.of_files = json_array(), .of_scripts = json_array()};
    int code = 1;
    bool good;

    want_address(args);
    good = args->word_count > 0 || add_usual_file(options, &plan, args);
    for (size_t i = 0; i < args->word_count && good; i++)
        good = add_word(options, &plan, args->words[i], args);
    if (good)
        code = carry_out(options, args, &plan);
    json_decref(plan.of_files);
    json_decref(plan.of_scripts);
    return code;
}

/* ---- stop, restart, reload, delete */

/* A deleted app may have domains. */
static bool forget_domains(const struct run_options *options, const struct app_args *args,
                           json_t *before)
{
    json_t *instance;
    json_t *seen = json_object();
    size_t index;
    bool good = true;

    json_array_foreach(before, index, instance)
    {
        const char *name = json_string_value(json_object_get(instance, "name"));

        if (name == NULL || json_object_get(seen, name) != NULL)
            continue;
        json_object_set_new(seen, name, json_true());
        good = app_site_remove(options, name, args->domain) && good;
    }
    json_decref(seen);
    return good;
}

static int delete_one(const struct run_options *options, const struct app_args *args,
                      const char *target)
{
    json_t *request = json_pack("{s:s}", "target", target);
    json_t *before = NULL;
    int code = app_code(home_ask("list", request, HOME_IF_RUNNING, &before));

    if (code == 0)
        code = change_known("delete", args, target);
    if (code == 0 && !forget_domains(options, args, before))
        code = 1;
    json_decref(before);
    return code;
}

static int change_one(const struct run_options *options, const char *what,
                      const struct app_args *args, const char *target)
{
    if (strcmp(what, "delete") == 0)
        return delete_one(options, args, target);
    return change_known(what, args, target);
}

/* The apps that a file names are stopped or deleted; restart and reload bring them to what it
 * says. */
static int change_file(const struct run_options *options, const char *what,
                       const struct app_args *args, const char *path)
{
    bool ends = strcmp(what, "stop") == 0 || strcmp(what, "delete") == 0;
    json_t *apps = from_file(options, path, args);
    json_t *app;
    size_t index;
    int code = apps == NULL;

    if (code == 0 && !ends)
        code = start_apps(args, apps, false, strcmp(what, "reload") == 0);
    json_array_foreach(apps, index, app)
    {
        if (ends && code == 0)
            code = change_one(options, what, args, json_string_value(json_object_get(app, "name")));
    }
    json_decref(apps);
    return code;
}

static int run_change(const struct run_options *options, const char *what,
                      const struct app_args *args)
{
    int code = 0;

    if (args->word_count == 0) {
        fprintf(stderr, "usage: pelayan %s NAME|ID|NAMESPACE|/REGEX/|all|FILE\n", what);
        if (strcmp(what, "reload") == 0) /* who knows nginx means its configuration */
            fputs("to apply a changed configuration file: \"pelayan -s reload\"\n", stderr);
        return 1;
    }
    for (size_t i = 0; i < args->word_count && code == 0; i++)
        code = ecosystem_is_file(args->words[i]) ? change_file(options, what, args, args->words[i])
                                                 : change_one(options, what, args, args->words[i]);
    return code == 0 ? app_show_after(0, args) : code;
}

int app_start(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    if (app_args_parse(&args, argc, argv, ARGS_SPECS))
        code = run_start(options, &args);
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
    const char *what = canonical(argv[0]);
    struct app_args args;
    int code = 1;

    if (app_args_parse(&args, argc, argv, strcmp(what, "delete") == 0 ? ARGS_DELETE : ARGS_SPECS))
        code = run_change(options, what, &args);
    app_args_fini(&args);
    return code;
}
