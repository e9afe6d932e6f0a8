/* What the runner says of its apps, asked once. Runs in: commands, the process that checks a
 * configuration. */
#include "daemon/runner_apps.h"

#include "config/snapshot.h"
#include "control/client.h"
#include "daemon/apps_conf.h"
#include "daemon/runner.h"
#include "daemon/runner_home.h"

#include <stdio.h>
#include <sys/un.h>

/* False: all has been told. */
static bool on_line(void *data, struct slice line)
{
    json_t *apps = data;
    json_t *said = json_loadb(line.data, line.len, 0, NULL);
    const char *name = json_string_value(json_object_get(said, "app"));
    bool more = name != NULL && json_object_set(apps, name, said) == 0;

    json_decref(said);
    return more;
}

json_t *runner_apps(const struct snapshot *snapshot)
{
    static const char follow[] = "{\"command\":\"app\",\"do\":\"follow\"}\n";
    const struct apps_conf *conf = snapshot->apps;
    const char *home = runner_home();
    char given[4096];
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    json_t *apps;

    if (conf != NULL && conf->home.len > 0) {
        snprintf(given, sizeof given, "%.*s", SLICE_ARG(conf->home));
        home = given;
    }
    if (home == NULL || !runner_socket_path(home, path, sizeof path))
        return NULL;
    apps = json_object();
    if (apps != NULL && client_stream(path, slice_of(follow), on_line, apps))
        return apps;
    json_decref(apps);
    return NULL;
}

bool runner_has_app(void *data, struct slice name)
{
    json_t *apps = runner_apps(data);
    bool found = json_object_getn(apps, name.data, name.len) != NULL;

    json_decref(apps);
    return found;
}
