/* apps { }: the apps that a configuration declares. Runs in: load time.
 *
 * An app's rows are those of apps/options.c in nginx's spelling: names with blanks instead of
 * lists, on and off, times and sizes with nginx's units. What they make is the same JSON that an
 * ecosystem file has, so that everything else about an app is understood in one place. */
#include "daemon/apps_conf.h"

#include "apps/launch.h"
#include "apps/spec.h"
#include "balance/upstream.h"
#include "base/arena.h"
#include "base/diag.h"
#include "base/list.h"
#include "config/loader.h"
#include "config/snapshot.h"
#include "config/tree.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { ROWS_MAX = 200, TEXT_BYTES = 40, ARGS_MAX = 255 };

/* What an app's directives write to. */
struct app_block {
    json_t *spec; /* owned while the block is loaded */
};

/* ---- one value */

static json_t *text_of(struct conf_call *call, size_t first)
{
    struct slice text = conf_arg(call, first);

    for (size_t i = first + 1; i < conf_arg_count(call); i++)
        text = arena_printf(call->loader->scratch, "%.*s %.*s", SLICE_ARG(text),
                            SLICE_ARG(conf_arg(call, i)));
    return json_stringn(text.data, text.len);
}

static json_t *list_of(struct conf_call *call, size_t first)
{
    json_t *list = json_array();

    for (size_t i = first; i < conf_arg_count(call); i++)
        json_array_append_new(list, json_stringn(conf_arg(call, i).data, conf_arg(call, i).len));
    return list;
}

/* NULL: not of nginx's form. */
static json_t *value_of(struct conf_call *call, const struct option *option)
{
    struct slice word = conf_arg(call, 1);
    uint64_t ms;
    size_t bytes;
    bool on;

    switch (option->kind) {
    case OPTION_BOOL:
        return conf_parse_flag(word, &on) ? json_boolean(on) : NULL;
    case OPTION_MSEC:
        return conf_parse_msec(word, &ms) ? json_integer((json_int_t)ms) : NULL;
    case OPTION_BYTES:
        return conf_parse_bytes(word, &bytes) ? json_integer((json_int_t)bytes) : NULL;
    case OPTION_WORDS:
    case OPTION_CODES:
        return list_of(call, 1);
    case OPTION_SWITCH:
        if (conf_arg_count(call) == 2 && conf_parse_flag(word, &on))
            return json_boolean(on);
        return list_of(call, 1);
    default:
        return text_of(call, 1);
    }
}

static const char *form_of(enum option_kind kind)
{
    return kind == OPTION_BOOL ? "on or off" : kind == OPTION_MSEC ? "a time" : "a size";
}

/* The same message as for an ecosystem file, at its place. */
static bool report(struct conf_call *call, size_t index, const struct diag *diag)
{
    const char *message = diag->first == NULL ? "no memory" : diag->first->message;

    return conf_error(call, index, "%s", message);
}

static bool check(struct conf_call *call, const struct option *option, json_t *value)
{
    struct diag diag;
    bool fits;

    diag_init(&diag);
    fits = option_fits(option, value, &diag);
    if (!fits)
        report(call, 1, &diag);
    diag_fini(&diag);
    return fits;
}

static bool set_option(struct conf_call *call)
{
    const struct app_block *block = call->scope->block;
    const struct option *option = option_find(call->directive->name);
    json_t *value = value_of(call, option);

    if (value == NULL)
        return conf_error(call, 1, "invalid value \"%.*s\" in \"%s\": %s is expected",
                          SLICE_ARG(conf_arg(call, 1)), call->directive->name,
                          form_of(option->kind));
    if (json_object_get(block->spec, option->name) != NULL) {
        json_decref(value);
        return conf_error(call, 0, "\"%s\" is given twice", option->name);
    }
    if (!check(call, option, value)) {
        json_decref(value);
        return false;
    }
    return json_object_set_new(block->spec, option->name, value) == 0;
}

/* Several words are a program and its arguments; one that has blanks is a line for the shell. */
static bool set_command(struct conf_call *call)
{
    const struct app_block *block = call->scope->block;
    struct slice script = conf_arg(call, 1);

    if (json_object_get(block->spec, "script") != NULL)
        return conf_error(call, 0, "\"command\" is given twice");
    if (json_object_set_new(block->spec, "script", json_stringn(script.data, script.len)) != 0)
        return conf_error(call, 1, "\"command\" must be a text in UTF-8");
    if (conf_arg_count(call) == 2)
        return true;
    if (json_object_get(block->spec, "args") != NULL)
        return conf_error(call, 2, "the arguments are in \"args\" already");
    return json_object_set_new(block->spec, "args", list_of(call, 2)) == 0;
}

static bool set_env(struct conf_call *call)
{
    const struct app_block *block = call->scope->block;
    struct slice name = conf_arg(call, 1);
    json_t *env = json_object_get(block->spec, "env");

    if (name.len == 0 || memchr(name.data, '=', name.len) != NULL)
        return conf_error(call, 1, "a variable's name has no \"=\": env NAME VALUE");
    if (env == NULL) {
        env = json_object();
        json_object_set_new(block->spec, "env", env);
    }
    return json_object_setn_new(env, name.data, name.len, text_of(call, 2)) == 0 ||
           conf_error(call, 2, "a variable is a text in UTF-8");
}

/* ---- an app as a whole */

/* Where an option of the app stands, for a message about it; else the app itself. */
static struct conf_call place_of(struct conf_call *call, const char *key, size_t *index)
{
    struct conf_call at = *call;
    const struct option *wanted = option_find(key);

    *index = 1;
    for (const struct node *node = call->node->children; node != NULL && wanted != NULL;
         node = node->next) {
        char name[TEXT_BYTES];

        snprintf(name, sizeof name, "%.*s", SLICE_ARG(word_text(node->words[0])));
        if (option_find(name) == wanted)
            at.node = node;
    }
    return at;
}

/* Messages about a spec begin with the key they are about, in quotes. */
static bool report_spec(struct conf_call *call, const struct diag *diag)
{
    const char *message = diag->first == NULL ? "no memory" : diag->first->message;
    char key[TEXT_BYTES] = "";
    struct conf_call at;
    size_t index;

    if (message[0] == '"')
        snprintf(key, sizeof key, "%.*s", (int)strcspn(message + 1, "\""), message + 1);
    at = place_of(call, key, &index);
    return conf_error(&at, index, "%s", message);
}

static bool has(const json_t *spec, const char *key)
{
    return json_object_get(spec, key) != NULL;
}

/* What is declared beside a balancer is for it, unless it has an address of another kind. */
static void complete(struct conf_call *call, json_t *spec)
{
    const char *mode = json_string_value(json_object_get(spec, "exec_mode"));
    const char *folder = json_string_value(json_object_get(spec, "cwd"));
    struct slice path = loader_conf_path(call->loader, slice_of(folder == NULL ? "." : folder));

    if (!has(spec, "balance") && !has(spec, "port") &&
        (mode == NULL || strncmp(mode, "cluster", 7) != 0))
        json_object_set_new(spec, "balance", json_true());
    if (path.len > 2 && memcmp(path.data + path.len - 2, "/.", 2) == 0)
        path.len -= 2;
    json_object_set_new(spec, "cwd", json_stringn(path.data, path.len));
}

static bool is_whole(struct conf_call *call, json_t *spec)
{
    struct app_spec *parsed;
    struct diag diag;

    complete(call, spec);
    diag_init(&diag);
    parsed = spec_new(spec, NULL, NULL, &diag);
    if (parsed == NULL)
        report_spec(call, &diag);
    diag_fini(&diag);
    spec_unref(parsed);
    return parsed != NULL;
}

static bool name_is_good(struct conf_call *call, const struct apps_conf *conf)
{
    struct slice name = conf_arg(call, 1);
    json_t *app;
    size_t index;

    if (name.len == 0 || memchr(name.data, ' ', name.len) != NULL ||
        memchr(name.data, '/', name.len) != NULL)
        return conf_error(call, 1, "an app's name has no blank and no \"/\"");
    json_array_foreach(conf->apps, index, app)
    {
        if (slice_eq(name, slice_of(json_string_value(json_object_get(app, "name")))))
            return conf_error(call, 1, "two apps are called \"%.*s\"", SLICE_ARG(name));
    }
    return true;
}

static bool keep(struct conf_call *call, struct apps_conf *conf, json_t *spec)
{
    size_t count = json_array_size(conf->apps);

    if (count == conf->capacity) {
        size_t capacity = count == 0 ? 16 : count * 2;
        const struct node **nodes = arena_alloc(call->loader->arena, capacity * sizeof *nodes);

        if (nodes == NULL)
            return conf_error(call, 0, "no memory");
        if (count > 0)
            memcpy(nodes, conf->nodes, count * sizeof(struct node *));
        conf->nodes = nodes;
        conf->capacity = capacity;
    }
    conf->nodes[count] = call->node;
    return json_array_append(conf->apps, spec) == 0;
}

/* Its name is one, for proxy_pass and for `app` in an upstream. */
static bool is_upstream(struct conf_call *call)
{
    struct upstreams *upstreams = upstreams_of(call->loader);

    return (upstreams != NULL && upstreams_declare_app(upstreams, conf_arg(call, 1))) ||
           conf_error(call, 0, "no memory");
}

static bool set_app(struct conf_call *call)
{
    struct apps_conf *conf = call->scope->block;
    struct slice name = conf_arg(call, 1);
    struct app_block block = {.spec = NULL};
    struct scope child;
    bool good;

    if (!name_is_good(call, conf))
        return false;
    block.spec = json_pack("{s:s%}", "name", name.data, name.len);
    if (block.spec == NULL)
        return conf_error(call, 1, "an app's name is a text in UTF-8");
    good = loader_block(call, CTX_APP, &block, &child) && is_whole(call, block.spec) &&
           keep(call, conf, block.spec) && is_upstream(call);
    json_decref(block.spec);
    return good;
}

static bool set_home(struct conf_call *call)
{
    struct apps_conf *conf = call->scope->block;

    conf->home = loader_path(call->loader, conf_arg(call, 1));
    return conf->home.data != NULL || conf_error(call, 0, "no memory");
}

static void drop_json(void *json)
{
    json_decref(json);
}

static struct apps_conf *conf_of(struct conf_call *call)
{
    struct snapshot *snapshot = call->loader->context;
    struct apps_conf *conf = snapshot->apps;

    if (conf != NULL)
        return conf;
    conf = arena_zalloc(call->loader->arena, sizeof *conf);
    if (conf == NULL)
        return NULL;
    conf->apps = json_array();
    if (conf->apps == NULL || !arena_on_drop(call->loader->arena, drop_json, conf->apps))
        return NULL;
    return snapshot->apps = conf;
}

static bool set_apps(struct conf_call *call)
{
    struct apps_conf *conf = conf_of(call);
    struct scope child;

    if (conf == NULL)
        return conf_error(call, 0, "no memory");
    return loader_block(call, CTX_APPS, conf, &child);
}

/* ---- rows */

static const struct directive own_rows[] = {
    {.name = "apps",
     .contexts = CTX_MAIN,
     .field = CUSTOM,
     .set = set_apps,
     .block = true,
     .repeatable = true,
     .example = "apps { app web { command node server.js; } }",
     .doc = "Apps that are run beside the balancer, by the app runner."},
    {.name = "home",
     .contexts = CTX_APPS,
     .field = CUSTOM,
     .set = set_home,
     .args_min = 1,
     .args_max = 1,
     .example = "home /srv/pelayan;",
     .doc = "The folder of the app runner; PELAYAN_HOME, or its user's default without it."},
    {.name = "app",
     .contexts = CTX_APPS,
     .field = CUSTOM,
     .set = set_app,
     .block = true,
     .args_min = 1,
     .args_max = 1,
     .repeatable = true,
     .example = "app web { directory /srv/web; command npm run start; instances 2; }",
     .doc = "An app: what runs, how often, and when it is ready. Its name is an upstream's."},
};

static struct {
    pthread_once_t once;
    struct directive rows[ROWS_MAX];
    char texts[ROWS_MAX][TEXT_BYTES]; /* names of aliases */
    char defaults[ROWS_MAX][TEXT_BYTES];
    size_t count;
    struct conf_feature feature;
} table = {.once = PTHREAD_ONCE_INIT};

/* pm2's defaults are in ms, and say true and false. */
static const char *default_of(const struct option *option)
{
    char *out = table.defaults[table.count];
    size_t digits;

    if (option->def == NULL)
        return NULL;
    digits = strspn(option->def, "0123456789");
    if (option->kind == OPTION_BOOL)
        return strcmp(option->def, "true") == 0 ? "on" : "off";
    snprintf(out, TEXT_BYTES, "%s%s", option->def,
             option->kind == OPTION_MSEC && option->def[digits] == '\0' ? "ms" : "");
    return out;
}

static void add_row(const struct option *option, const char *name)
{
    bool is_env = strcmp(option->name, "env") == 0;
    bool is_command = strcmp(option->name, "script") == 0;
    bool is_single = option->kind == OPTION_BOOL || option->kind == OPTION_INT ||
                     option->kind == OPTION_MSEC || option->kind == OPTION_BYTES;

    assert(table.count < ROWS_MAX);
    table.rows[table.count] = (struct directive){
        .name = name,
        .contexts = CTX_APP,
        .field = CUSTOM,
        .set = is_env       ? set_env
               : is_command ? set_command
                            : set_option,
        .args_min = is_env ? 2 : 1,
        .args_max = is_single ? 1 : ARGS_MAX,
        .repeatable = is_env,
        .def = default_of(option),
        .doc = is_env ? "env NAME VALUE: a variable of the app's environment." : option->doc,
    };
    table.count++;
}

static void add_aliases(const struct option *option)
{
    struct slice rest = slice_of(option->aliases == NULL ? "" : option->aliases);
    struct slice word;

    while (slice_split(&rest, ' ', &word)) {
        char *name = table.texts[table.count];

        if (word.len == 0)
            continue;
        snprintf(name, TEXT_BYTES, "%.*s", SLICE_ARG(word));
        add_row(option, name);
    }
}

/* An app's name is its block's; what has no effect in pm2's files has no place in ours. */
static bool is_for_files(const struct option *option)
{
    return option->kind == OPTION_NOTHING || strcmp(option->name, "name") == 0 ||
           (option->kind == OPTION_OTHER && strcmp(option->name, "env") != 0);
}

static void make_table(void)
{
    memcpy(table.rows, own_rows, sizeof own_rows);
    table.count = COUNT(own_rows);
    for (size_t i = 0; i < app_option_count; i++) {
        if (is_for_files(&app_options[i]))
            continue;
        add_row(&app_options[i], app_options[i].name);
        add_aliases(&app_options[i]);
    }
    table.feature = (struct conf_feature){
        .name = "apps", .directives = table.rows, .directive_count = table.count};
}

const struct conf_feature *apps_conf_feature(void)
{
    pthread_once(&table.once, make_table);
    return &table.feature;
}

/* ---- what only the disk can tell */

struct look {
    const struct tree *tree;
    const struct node *app;
    struct diag *diag;
};

static const struct node *node_of(const struct node *app, const char *key)
{
    const struct option *wanted = option_find(key);

    for (const struct node *node = app->children; node != NULL; node = node->next) {
        char name[TEXT_BYTES];

        snprintf(name, sizeof name, "%.*s", SLICE_ARG(word_text(node->words[0])));
        if (option_find(name) == wanted)
            return node;
    }
    return app;
}

static void complain(const struct look *look, const char *key, const char *message)
{
    struct diag_place place;

    tree_place(look->tree, node_of(look->app, key), 1, &place);
    diag_add(look->diag, DIAG_ERROR, &place, "%s", message);
}

static void look_at_folder(const struct look *look, const struct app_spec *spec)
{
    char message[512];
    struct stat stat_;
    int error = 0;

    if (stat(spec->cwd, &stat_) != 0)
        error = errno;
    else if (!S_ISDIR(stat_.st_mode))
        error = ENOTDIR;
    if (error == 0)
        return;
    snprintf(message, sizeof message, "the folder \"%.400s\" of app \"%.60s\": %s", spec->cwd,
             spec->name, strerror(error));
    complain(look, "cwd", message);
}

static const char *key_of(const char *message)
{
    return strstr(message, "user") != NULL    ? "uid"
           : strstr(message, "group") != NULL ? "gid"
                                              : "script";
}

/* As if it were started: program, interpreter, user and group are looked up. */
static void look_at_program(const struct look *look, struct app_spec *spec)
{
    struct place place = {.port = spec->port > 0 ? spec->port : 1, .socket = "socket"};
    struct arena *arena = arena_new(8192);
    struct launch launch;
    struct diag diag;

    diag_init(&diag);
    if (arena != NULL && !launch_prepare(&launch, spec, &place, arena, &diag))
        complain(look, key_of(diag.first->message), diag.first->message);
    diag_fini(&diag);
    arena_drop(arena);
}

bool apps_conf_check(const struct apps_conf *conf, const struct tree *tree, struct diag *diag)
{
    size_t errors_before = diag->error_count;
    json_t *app;
    size_t index;

    json_array_foreach(conf->apps, index, app)
    {
        struct look look = {.tree = tree, .app = conf->nodes[index], .diag = diag};
        struct diag ignored;
        struct app_spec *spec;

        diag_init(&ignored);
        spec = spec_new(app, NULL, NULL, &ignored);
        diag_fini(&ignored);
        if (spec == NULL)
            continue;
        look_at_folder(&look, spec);
        look_at_program(&look, spec);
        spec_unref(spec);
    }
    return diag->error_count == errors_before;
}
