/* The environment of an instance. Runs in: master. */
#include "apps/env_internal.h"

#include "apps/launch.h"
#include "apps/spec.h"
#include "base/arena.h"
#include "base/map.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "NAME=value" by name. A name that was removed keeps the empty text: maps remove nothing. */
struct vars {
    struct arena *arena;
    struct map map;
    bool failed;
};

static void put(struct vars *vars, struct slice name, struct slice value)
{
    struct slice text = arena_printf(vars->arena, "%.*s=%.*s", SLICE_ARG(name), SLICE_ARG(value));

    if (text.data == NULL ||
        !map_put(&vars->map, slice_head(text, name.len), (char *)text.data, NULL))
        vars->failed = true;
}

static void put_text(struct vars *vars, const char *name, const char *value)
{
    put(vars, slice_of(name), slice_of(value));
}

static void put_number(struct vars *vars, const char *name, int number)
{
    put(vars, slice_of(name), arena_printf(vars->arena, "%d", number));
}

static void drop(struct vars *vars, const char *name)
{
    if (map_get(&vars->map, slice_of(name)) != NULL &&
        !map_put(&vars->map, slice_of(name), "", NULL))
        vars->failed = true;
}

/* A text as it is, everything else as JSON; null takes the variable away. */
static void put_json(struct vars *vars, const struct app_spec *spec, const struct place *place,
                     const char *name, const json_t *value)
{
    char *text;

    if (json_is_null(value)) {
        drop(vars, name);
    } else if (json_is_string(value)) {
        text = launch_fill_in(vars->arena, spec, place, json_string_value(value));
        put_text(vars, name, text == NULL ? "" : text);
    } else {
        text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        put_text(vars, name, text == NULL ? "" : text);
        free(text);
    }
}

static bool filtered(const struct switch_words *filter, const char *name)
{
    if (filter->on && filter->words.count == 0)
        return true;
    for (size_t i = 0; i < filter->words.count; i++) {
        if (filter->exact ? strcmp(name, filter->words.items[i]) == 0
                          : strstr(name, filter->words.items[i]) != NULL)
            return true;
    }
    return false;
}

/* What of the master must not reach an app: it would take the app for its own part. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {
        "NOTIFY_SOCKET",  "LISTEN_FDS",   "LISTEN_PID",    "LISTEN_FDNAMES", "NODE_CHANNEL_FD",
        "NODE_UNIQUE_ID", "WATCHDOG_PID", "WATCHDOG_USEC", "PELAYAN_STATE",  "PELAYAN_INSTANCE"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static void inherit(struct vars *vars, const struct app_spec *spec, const char *name,
                    const char *value)
{
    if (name[0] != '\0' && !is_ours(name) && !filtered(&spec->filter_env, name))
        put_text(vars, name, value);
}

static void inherit_own(struct vars *vars, const struct app_spec *spec)
{
    for (char **it = environ; *it != NULL; it++) {
        struct slice rest = slice_of(*it);
        struct slice name;

        if (slice_split(&rest, '=', &name) && rest.data != NULL) {
            struct slice copy = arena_copy(vars->arena, name);

            if (copy.data != NULL)
                inherit(vars, spec, copy.data, rest.data);
        }
    }
}

static void inherit_all(struct vars *vars, const struct app_spec *spec)
{
    const char *name;
    json_t *value;

    if (spec->inherited == NULL) {
        inherit_own(vars, spec);
        return;
    }
    json_object_foreach(spec->inherited, name, value)
    {
        if (json_is_string(value))
            inherit(vars, spec, name, json_string_value(value));
    }
}

static void put_user(struct vars *vars, const struct launch *launch)
{
    const struct passwd *user = launch->switch_user ? getpwuid(launch->uid) : NULL;

    if (user == NULL)
        return;
    put_text(vars, "HOME", user->pw_dir);
    put_text(vars, "USER", user->pw_name);
    put_text(vars, "LOGNAME", user->pw_name);
}

static void put_increment(struct vars *vars, const struct app_spec *spec, const struct place *place)
{
    const char *first;

    if (spec->increment_var == NULL)
        return;
    first = map_get(&vars->map, slice_of(spec->increment_var));
    first = first == NULL ? NULL : strchr(first, '=');
    put_number(vars, spec->increment_var,
               (int)(first == NULL ? 0 : strtol(first + 1, NULL, 10)) + place->increment);
}

static void put_place(struct vars *vars, const struct app_spec *spec, const struct place *place)
{
    put_text(vars, "name", spec->name);
    put_text(vars, "namespace", spec->namespace);
    put_text(vars, "exec_mode", spec_is_cluster(spec) ? "cluster_mode" : "fork_mode");
    put_text(vars, "pm_cwd", spec->cwd);
    put_number(vars, "pm_id", place->id);
    put_number(vars, spec->instance_var, place->index);
    if (place->socket != NULL)
        put_text(vars, "PORT", place->socket);
    else if (place->port > 0)
        put_number(vars, "PORT", place->port);
    put_increment(vars, spec, place);
    if (place->home != NULL)
        put_text(vars, "PELAYAN_HOME", place->home);
    if (place->notify != NULL)
        put_text(vars, "NOTIFY_SOCKET", place->notify);
    put_text(vars, "PELAYAN_INSTANCE",
             arena_printf(vars->arena, "%d.%u", place->id, place->run).data);
    if (place->listen_count > 0) {
        put_number(vars, "LISTEN_FDS", place->listen_count);
        put_text(vars, "LISTEN_PID", "4194304000"); /* the child writes its own */
    }
    if (place->channel > 0) {
        put_number(vars, "NODE_CHANNEL_FD", place->channel);
        put_text(vars, "NODE_CHANNEL_SERIALIZATION_MODE", "json");
    }
    if (place->cluster)
        put_number(vars, "NODE_UNIQUE_ID", place->id + 1);
}

static bool flatten(struct vars *vars, struct launch *launch)
{
    struct map_entry *entry;
    size_t position = 0;
    size_t count = 0;

    launch->envp = arena_zalloc(vars->arena, (vars->map.count + 1) * sizeof *launch->envp);
    if (launch->envp == NULL)
        return false;
    while ((entry = map_next(&vars->map, &position)) != NULL) {
        if (((char *)entry->value)[0] == '\0')
            continue;
        launch->envp[count++] = entry->value;
        if (strncmp(entry->value, "LISTEN_PID=", 11) == 0)
            launch->pid_text = entry->value;
    }
    return true;
}

static bool is_python(const struct app_spec *spec)
{
    size_t len = strlen(spec->script);

    return (len > 3 && strcmp(spec->script + len - 3, ".py") == 0) ||
           (spec->interpreter != NULL && strstr(spec->interpreter, "python") != NULL);
}

bool env_build(struct launch *launch, const struct app_spec *spec, const struct place *place,
               struct arena *arena)
{
    struct vars vars = {.arena = arena};
    const char *name;
    json_t *value;

    map_init(&vars.map, arena, false);
    inherit_all(&vars, spec);
    put_user(&vars, launch);
    if (is_python(spec)) /* lines must come when they are printed */
        put_text(&vars, "PYTHONUNBUFFERED", "1");
    json_object_foreach(spec->env, name, value) put_json(&vars, spec, place, name, value);
    put_place(&vars, spec, place);
    return !vars.failed && flatten(&vars, launch);
}
