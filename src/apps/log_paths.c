/* Names of an instance's files: as pm2's, below our home. Runs in: master. */
#include "apps/apps_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An app's name may hold what a file's name must not. */
static void safe_name(const char *name, char out[160])
{
    size_t len = 0;

    for (; *name != '\0' && len < 150; name++)
        out[len++] = *name == '/' ? '-' : *name;
    out[len] = '\0';
}

static bool is_merged(const struct instance *instance)
{
    const struct app_spec *spec = instance->spec;

    return spec->merge_logs ||
           (spec->instances == NULL && !spec_is_cluster(spec) && app_count(instance->app) <= 1);
}

/* "-ID" goes before ".log", or to the end. */
static char *with_id(const char *path, int id)
{
    size_t len = strlen(path);
    bool log = len > 4 && strcmp(path + len - 4, ".log") == 0;
    char *out = NULL;

    if (asprintf(&out, "%.*s-%d%s", (int)(log ? len - 4 : len), path, id, log ? ".log" : "") < 0)
        return NULL;
    return out;
}

static char *below(const char *folder, const char *path)
{
    char *out = NULL;

    if (path[0] == '/' || strcmp(path, "NULL") == 0)
        return strdup(path);
    if (asprintf(&out, "%s/%s", folder, path) < 0)
        return NULL;
    return out;
}

char *log_path(const struct instance *instance, bool errors)
{
    const struct app_spec *spec = instance->spec;
    const char *given = errors ? spec->error_file : spec->out_file;
    char *path = NULL;
    char *result;
    char name[160];

    safe_name(spec->name, name);
    if (given != NULL)
        path = below(spec->cwd, given);
    else if (asprintf(&path, "%s/logs/%s-%s.log", instance->app->apps->home, name,
                      errors ? "error" : "out") < 0)
        path = NULL;
    if (path == NULL || is_merged(instance) || strcmp(path, "/dev/null") == 0 ||
        strcmp(path, "NULL") == 0)
        return path;
    result = with_id(path, instance->id);
    free(path);
    return result;
}

char *pid_path(const struct instance *instance)
{
    char name[160];
    char *path = NULL;

    if (instance->spec->pid_file != NULL)
        return below(instance->spec->cwd, instance->spec->pid_file);
    safe_name(instance->spec->name, name);
    if (asprintf(&path, "%s/pids/%s-%d.pid", instance->app->apps->home, name, instance->id) < 0)
        return NULL;
    return path;
}
