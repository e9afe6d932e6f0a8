/* From pm2's dump to specs. Runs in: the process the user started. */
#include "cli/pm2_dump.h"

#include "apps/spec.h"
#include "base/list.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool pm2_dump_path(char *out, size_t out_bytes)
{
    const char *home = getenv("PM2_HOME");
    const char *user = getenv("HOME");
    int len;

    if (home != NULL)
        len = snprintf(out, out_bytes, "%s/dump.pm2", home);
    else
        len = snprintf(out, out_bytes, "%s/.pm2/dump.pm2", user == NULL ? "" : user);
    return len > 0 && (size_t)len < out_bytes;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* pm2 saves the whole environment of whoever started the app. What a login shell makes for itself
 * is not the app's. */
static bool is_shells(const char *name, const char *value)
{
    static const char *const names[] = {
        "PWD",     "OLDPWD", "SHLVL", "_",         "TERM",     "SHELL",     "USER",
        "LOGNAME", "HOME",   "LANG",  "PATH",      "MAIL",     "LS_COLORS", "DISPLAY",
        "EDITOR",  "PAGER",  "LESS",  "unique_id", "HOSTNAME", "windowid",  "NODE_APP_INSTANCE"};
    static const char *const prefixes[] = {"PM2_", "pm_", "SSH_",  "XDG_",  "TMUX",
                                           "npm_", "LC_", "DBUS_", "SUDO_", "BASH_"};
    const char *here = getenv(name);

    if (here != NULL && strcmp(here, value) == 0)
        return true;
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    for (size_t i = 0; i < COUNT(prefixes); i++) {
        if (begins(name, prefixes[i]))
            return true;
    }
    return false;
}

static json_t *own_variables(json_t *entry)
{
    json_t *env = json_object();
    const char *name;
    json_t *value;

    json_object_foreach(json_object_get(entry, "env"), name, value)
    {
        /* pm2 puts the app's own description there too, as objects */
        if (json_is_string(value) && !is_shells(name, json_string_value(value)))
            json_object_set(env, name, value);
    }
    return env;
}

/* The keys that are ours too, with their values as they are. */
static void copy_options(json_t *app, json_t *entry)
{
    static const char *const others[] = {"env",       "script",     "cwd",         "interpreter",
                                         "instances", "exec_mode",  "username",    "pid_file",
                                         "out_file",  "error_file", "instance_var"};
    const char *key;
    json_t *value;

    json_object_foreach(entry, key, value)
    {
        const struct option *option = option_find(key);
        bool taken = option != NULL && option->kind != OPTION_NOTHING &&
                     option->kind != OPTION_OTHER && !json_is_null(value);

        for (size_t i = 0; taken && i < COUNT(others); i++)
            taken = strcmp(option->name, others[i]) != 0;
        if (taken && !(json_is_array(value) && json_array_size(value) == 0))
            json_object_set(app, option->name, value);
    }
}

static void put(json_t *app, const char *name, json_t *value)
{
    if (value != NULL && !json_is_null(value))
        json_object_set(app, name, value);
}

static json_t *app_of(json_t *entry)
{
    json_t *app = json_object();
    json_t *env = own_variables(entry);
    const char *mode = json_string_value(json_object_get(entry, "exec_mode"));
    const char *status = json_string_value(json_object_get(entry, "status"));

    copy_options(app, entry);
    put(app, "script", json_object_get(entry, "pm_exec_path"));
    put(app, "cwd", json_object_get(entry, "pm_cwd"));
    put(app, "interpreter", json_object_get(entry, "exec_interpreter"));
    if (mode != NULL && begins(mode, "cluster"))
        json_object_set_new(app, "exec_mode", json_string("cluster"));
    if (status != NULL && strcmp(status, "stopped") == 0)
        json_object_set_new(app, "autostart", json_false());
    if (json_object_size(env) > 0)
        json_object_set(app, "env", env);
    json_decref(env);
    return app;
}

/* Each instance stands in the dump by itself. */
static void count_instance(json_t *app)
{
    json_int_t count = json_integer_value(json_object_get(app, "instances"));

    json_object_set_new(app, "instances", json_integer(count == 0 ? 2 : count + 1));
}

static json_t *find_app(json_t *apps, const char *name)
{
    json_t *app;
    size_t index;

    json_array_foreach(apps, index, app)
    {
        const char *other = json_string_value(json_object_get(app, "name"));

        if (other != NULL && strcmp(other, name) == 0)
            return app;
    }
    return NULL;
}

json_t *pm2_dump_load(const char *path)
{
    json_error_t error;
    json_t *dump = json_load_file(path, 0, &error);
    json_t *apps;
    json_t *entry;
    size_t index;

    if (!json_is_array(dump)) {
        fprintf(stderr, "pelayan: there is no list of pm2's in \"%s\": %s\n", path,
                dump == NULL ? error.text : "it is no list");
        json_decref(dump);
        return NULL;
    }
    apps = json_array();
    json_array_foreach(dump, index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        json_t *known = name == NULL ? NULL : find_app(apps, name);

        if (known != NULL)
            count_instance(known);
        else if (name != NULL)
            json_array_append_new(apps, app_of(entry));
    }
    json_decref(dump);
    return apps;
}
