/* The list of apps on the disk: specs as the user gave them, and how many of each ran. What the
 * shell had in its environment is not in it. Runs in: master. */
#include "apps/apps_internal.h"
#include "base/diag.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char *state_path(const struct apps *apps)
{
    char *path = NULL;

    return asprintf(&path, "%s/dump.json", apps->home) < 0 ? NULL : path;
}

static json_t *describe(const struct app *app)
{
    bool stopped = true;

    list_each(it, keep, &app->instances)
    {
        enum instance_state state = container_of(it, struct instance, link)->state;

        stopped = stopped && (state == STATE_STOPPED || state == STATE_STOPPING);
    }
    return json_pack("{s:O, s:i, s:b}", "spec", app->spec->source, "count", (int)app_count(app),
                     "stopped", stopped && !app->idle); /* asleep is not stopped */
}

/* There is always one whole file. */
static bool replace(const struct apps *apps, const char *text, struct diag *diag)
{
    char *path = state_path(apps);
    bool done = path != NULL && file_replace(path, slice_of(text), 0600);

    if (!done)
        diag_errno(diag, "write", path == NULL ? "the list of apps" : path);
    free(path);
    return done;
}

bool state_save(struct apps *apps, struct diag *diag)
{
    json_t *list = json_array();
    json_t *state = json_pack("{s:i, s:o}", "version", 1, "apps", list);
    char *text;
    bool saved;

    list_each(it, keep, &apps->apps)
    {
        const struct app *app = container_of(it, struct app, link);

        if (app->source == NULL) /* else it comes with its configuration */
            json_array_append_new(list, describe(app));
    }
    text = json_dumps(state, JSON_INDENT(1));
    json_decref(state);
    if (text == NULL) {
        errno = ENOMEM;
        diag_errno(diag, "write", "the list of apps");
        return false;
    }
    saved = replace(apps, text, diag);
    free(text);
    return saved;
}

bool state_forget(struct apps *apps)
{
    char *path = state_path(apps);
    bool gone = path != NULL && (unlink(path) == 0 || errno == ENOENT);

    free(path);
    return gone;
}

/* Has `startup` been said? */
static bool is_kept(const struct apps *apps)
{
    char *path = NULL;
    bool kept = asprintf(&path, "%s/autosave", apps->home) >= 0 && access(path, F_OK) == 0;

    free(path);
    return kept;
}

void state_autosave(struct apps *apps)
{
    struct diag diag;

    if (apps->stopping || !is_kept(apps))
        return;
    diag_init(&diag);
    if (!state_save(apps, &diag))
        log_write(apps->log, LOG_LEVEL_ERROR, 0, "%s",
                  diag.first == NULL ? "no memory" : diag.first->message);
    diag_fini(&diag);
}

json_t *state_load(struct apps *apps, struct diag *diag)
{
    char *path = state_path(apps);
    json_error_t error;
    json_t *state = path == NULL ? NULL : json_load_file(path, 0, &error);
    json_t *list = json_object_get(state, "apps");

    /* nothing has been started since `startup` was said: that is an empty list */
    if (state == NULL && path != NULL && access(path, F_OK) != 0 && is_kept(apps)) {
        free(path);
        return json_array();
    }
    if (!json_is_array(list)) {
        diag_add(diag, DIAG_ERROR, NULL, "there is no saved list of apps in \"%s\"",
                 path == NULL ? "" : path);
        list = NULL;
    }
    json_incref(list);
    json_decref(state);
    free(path);
    return list;
}
