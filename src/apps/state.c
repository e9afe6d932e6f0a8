/* The list of apps on the disk: specs as the user gave them, and how many of each ran. What the
 * shell had in its environment is not in it. Runs in: master. */
#include "apps/apps_internal.h"
#include "base/diag.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *state_path(const struct apps *apps, const char *suffix)
{
    char *path = NULL;

    return asprintf(&path, "%s/dump.json%s", apps->home, suffix) < 0 ? NULL : path;
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
                     "stopped", stopped);
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t wrote = write(fd, text, len);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        text += wrote;
        len -= (size_t)wrote;
    }
    return true;
}

/* Beside, synced, renamed: there is always one whole file. */
static bool replace(const struct apps *apps, const char *text, struct diag *diag)
{
    char *path = state_path(apps, "");
    char *beside = state_path(apps, ".new");
    int fd = -1;
    bool done = false;

    if (path != NULL && beside != NULL)
        fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && fchmod(fd, 0600) == 0 && write_all(fd, text, strlen(text)) && fsync(fd) == 0)
        done = rename(beside, path) == 0;
    if (!done)
        diag_errno(diag, "write", beside == NULL ? "the list of apps" : beside);
    if (fd >= 0)
        close(fd);
    free(path);
    free(beside);
    return done;
}

bool state_save(struct apps *apps, struct diag *diag)
{
    json_t *list = json_array();
    json_t *state = json_pack("{s:i, s:o}", "version", 1, "apps", list);
    char *text;
    bool saved;

    list_each(it, keep, &apps->apps)
        json_array_append_new(list, describe(container_of(it, struct app, link)));
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

void state_autosave(struct apps *apps)
{
    char *path = NULL;
    struct diag diag;

    if (apps->stopping || asprintf(&path, "%s/autosave", apps->home) < 0)
        return;
    diag_init(&diag);
    if (access(path, F_OK) == 0 && !state_save(apps, &diag))
        log_write(apps->log, LOG_LEVEL_ERROR, 0, "%s",
                  diag.first == NULL ? "no memory" : diag.first->message);
    diag_fini(&diag);
    free(path);
}

json_t *state_load(struct apps *apps, struct diag *diag)
{
    char *path = state_path(apps, "");
    json_error_t error;
    json_t *state = path == NULL ? NULL : json_load_file(path, 0, &error);
    json_t *list = json_object_get(state, "apps");

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
