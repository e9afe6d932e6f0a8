/* Following the runner of apps, for the workers: what it says of each app goes to them, and what
 * they say of apps goes to it. Runs in: master.
 *
 * The runner is a process of its own: it may not be there yet, end, or come again. As long as it
 * is not there, its apps are not either; those that the configuration declares are on their way. */
#include "daemon/app_link.h"

#include "base/list.h"
#include "base/log.h"
#include "control/line_client.h"
#include "daemon/app_link_internal.h"
#include "daemon/channel.h"
#include "daemon/manifest.h"
#include "daemon/master_internal.h"
#include "daemon/parts.h"
#include "daemon/runner.h"
#include "daemon/runner_home.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { AGAIN_MIN_MS = 20, AGAIN_MAX_MS = 2000, RESEND_MS = 100, LINE_BYTES_MAX = 1200 };

static void connect_to_runner(struct master *master);

/* ---- what is known of an app */

struct linked_app *linked_app_find(struct app_link *link, struct slice name)
{
    list_each(it, keep, &link->apps)
    {
        struct linked_app *app = container_of(it, struct linked_app, link);

        if (slice_eq(name, slice_of(app->name)))
            return app;
    }
    return NULL;
}

static void linked_app_free(struct linked_app *app)
{
    list_remove(&app->link);
    free(app->name);
    free(app->text);
    free(app);
}

static struct linked_app *linked_app_make(struct app_link *link, struct slice name)
{
    struct linked_app *app = linked_app_find(link, name);

    if (app != NULL)
        return app;
    app = calloc(1, sizeof *app);
    if (app == NULL)
        return NULL;
    list_push_back(&link->apps, &app->link);
    app->name = slice_strdup(name);
    if (app->name != NULL)
        return app;
    linked_app_free(app);
    return NULL;
}

/* False: it does not read now. */
static bool send_app(struct worker_process *worker, const struct linked_app *app)
{
    struct app_progress *progress = &worker->apps;

    if (progress->half != app->turn)
        progress->half_bytes = 0;
    progress->half = app->turn;
    if (!parts_send(worker->channel.fd, MESSAGE_APP, app->version, slice_of(app->text),
                    &progress->half_bytes))
        return false;
    progress->told = app->turn;
    return true;
}

/* What it has not been told yet. What it does not read now comes a little later. */
static void send_news(struct worker_process *worker)
{
    struct master *master = worker->master;

    if (worker->state == WORKER_ENDED)
        return;
    list_each(it, keep, &master->apps.apps)
    {
        const struct linked_app *app = container_of(it, struct linked_app, link);

        if (app->turn <= worker->apps.told || send_app(worker, app))
            continue;
        if (!deadline_armed(&master->apps.resend))
            deadline_arm(master->loop, &master->apps.resend, RESEND_MS);
        return;
    }
}

static bool all_were_told(const struct master *master, uint64_t turn)
{
    list_each(it, keep, &master->workers)
    {
        const struct worker_process *worker = container_of(it, struct worker_process, link);

        if (worker->state != WORKER_ENDED && worker->apps.told < turn)
            return false;
    }
    return true;
}

/* A worker that was not told would go on asking instances that are no more. */
static void forget_lost(struct master *master)
{
    list_each(it, keep, &master->apps.apps)
    {
        struct linked_app *app = container_of(it, struct linked_app, link);

        if (app->lost && all_were_told(master, app->turn))
            linked_app_free(app);
    }
}

static void on_resend(struct deadline *deadline)
{
    struct master *master = container_of(deadline, struct master, apps.resend);

    list_each(it, keep, &master->workers) send_news(container_of(it, struct worker_process, link));
    forget_lost(master);
}

void app_link_greet(struct worker_process *worker)
{
    worker->apps = (struct app_progress){.told = 0};
    send_news(worker);
}

/* Takes `text`. */
static void set_text(struct master *master, struct linked_app *app, char *text, uint64_t version)
{
    bool same = text != NULL && app->text != NULL && strcmp(text, app->text) == 0;

    if (text == NULL || same) {
        free(text);
        return;
    }
    free(app->text);
    app->text = text;
    app->version = version;
    app->turn = ++master->apps.turn;
    list_remove(&app->link);
    list_push_back(&master->apps.apps, &app->link);
    list_each(it, keep, &master->workers) send_news(container_of(it, struct worker_process, link));
}

static char *plain_text(const struct linked_app *app, const char *status)
{
    char *text = NULL;

    return asprintf(&text, "%s %s 0\n", app->name, status) < 0 ? NULL : text;
}

/* The runner does not have it (any more). forget_lost() comes after all that are lost. */
static void lose(struct master *master, struct linked_app *app)
{
    app->lost = !app->declared;
    set_text(master, app, plain_text(app, app->declared ? "starting" : "gone"), 0);
}

/* ---- what the runner says */

/* A text of workers is made of words and lines: what is none would be read as something else. */
static bool is_word(const char *text)
{
    return text != NULL && text[0] != '\0' && strpbrk(text, " \n") == NULL;
}

static void print_instances(FILE *out, const struct log *log, const char *name, json_t *instances)
{
    json_t *instance;
    size_t index;

    json_array_foreach(instances, index, instance)
    {
        const char *address = json_string_value(json_object_get(instance, "address"));
        const char *state = json_string_value(json_object_get(instance, "state"));
        json_int_t id = json_integer_value(json_object_get(instance, "id"));

        if (!is_word(address) || !is_word(state))
            continue;
        if (ftell(out) + (long)strlen(address) + LINE_BYTES_MAX > PARTS_BYTES_MAX) {
            log_write(log, LOG_LEVEL_ERROR, 0,
                      "app \"%s\" has more instances than can be told to workers: %zu of %zu are"
                      " used",
                      name, index, json_array_size(instances));
            return;
        }
        fprintf(out, "%lld %s %s\n", (long long)id, address, state);
    }
}

char *linked_app_text(const struct log *log, const char *name, json_t *line)
{
    const char *status = json_string_value(json_object_get(line, "status"));
    const char *reason = json_string_value(json_object_get(line, "reason"));
    char *text = NULL;
    size_t len = 0;
    FILE *out = is_word(status) ? open_memstream(&text, &len) : NULL;

    if (out == NULL)
        return NULL;
    fprintf(out, "%s %s %lld\n", name, status,
            (long long)json_integer_value(json_object_get(line, "desired")));
    print_instances(out, log, name, json_object_get(line, "instances"));
    if (reason != NULL)
        fprintf(out, "! %.*s\n", (int)strcspn(reason, "\n"), reason);
    fclose(out);
    return text;
}

/* A name with a blank is no host's: nothing can mean it. */
static void hear_app(struct master *master, const char *name, json_t *line)
{
    const char *status = json_string_value(json_object_get(line, "status"));
    struct linked_app *app = NULL;

    if (is_word(status) && is_word(name))
        app = linked_app_make(&master->apps, slice_of(name));
    if (app == NULL)
        return;
    app->told = true;
    app->lost = false;
    if (strcmp(status, "gone") == 0)
        lose(master, app);
    else
        set_text(master, app, linked_app_text(&master->log, name, line),
                 (uint64_t)json_integer_value(json_object_get(line, "version")));
    forget_lost(master);
}

/* All of it has been told: what we know from before and was not in it is no more. */
static void hear_all(struct master *master)
{
    struct app_link *link = &master->apps;

    list_each(it, keep, &link->apps)
    {
        struct linked_app *app = container_of(it, struct linked_app, link);

        if (!app->told)
            lose(master, app);
    }
    forget_lost(master);
    link->told = true;
    link->apply.wanted = link->apply.wanted || link->declares; /* it may be another runner */
    app_apply_go_on(master);
}

static void on_line(void *context, struct slice line)
{
    struct master *master = context;
    json_t *said = json_loadb(line.data, line.len, 0, NULL);
    const char *name = json_string_value(json_object_get(said, "app"));

    if (name != NULL)
        hear_app(master, name, said);
    else if (json_object_get(said, "apps") != NULL)
        hear_all(master);
    json_decref(said);
}

/* ---- the connection */

static void drop_all(struct master *master)
{
    list_each(it, keep, &master->apps.apps) lose(master, container_of(it, struct linked_app, link));
    forget_lost(master);
}

static void on_again(struct deadline *deadline)
{
    connect_to_runner(container_of(deadline, struct master, apps.again));
}

static void again(struct master *master)
{
    struct app_link *link = &master->apps;
    uint64_t wait_ms = AGAIN_MIN_MS << (link->attempts < 10 ? link->attempts : 10);

    link->attempts++;
    link->again.on_expire = on_again;
    deadline_arm(master->loop, &link->again, wait_ms < AGAIN_MAX_MS ? wait_ms : AGAIN_MAX_MS);
}

/* Is it still there, as after its update, nothing has changed: it will say so. */
static void on_end(void *context)
{
    struct master *master = context;

    log_write(&master->log, LOG_LEVEL_NOTICE, 0, "the app runner of \"%s\" has left",
              master->apps.home);
    master->apps.client = NULL;
    master->apps.told = false;
    connect_to_runner(master);
}

static void forget_what_was_told(struct app_link *link)
{
    list_each(it, keep, &link->apps) container_of(it, struct linked_app, link)->told = false;
}

/* Nobody is there. Who declares apps wants one; who only uses them waits for one. */
static void start_runner(struct master *master)
{
    struct app_link *link = &master->apps;

    if (!link->declares || master->phase != MASTER_RUNNING || link->attempts % 8 != 0)
        return;
    log_write(&master->log, LOG_LEVEL_NOTICE, 0, "starting the app runner of \"%s\"", link->home);
    if (!runner_start_beside(link->home))
        log_write(&master->log, LOG_LEVEL_ALERT, errno, "cannot start the app runner");
}

static void connect_to_runner(struct master *master)
{
    static const char follow[] = "{\"command\":\"app\",\"do\":\"follow\"}\n";
    struct line_client_events events = {.on_line = on_line, .on_end = on_end, .context = master};
    struct app_link *link = &master->apps;

    assert(link->client == NULL);
    link->client = line_client_open(master->loop, link->socket_path, &events);
    if (link->client == NULL) {
        drop_all(master);
        start_runner(master);
        again(master);
        return;
    }
    link->attempts = 0;
    forget_what_was_told(link);
    line_client_send(link->client, slice_of(follow));
}

void app_link_say(struct master *master, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    size_t len = text == NULL ? 0 : strlen(text);

    json_decref(message);
    if (text != NULL && master->apps.client != NULL) {
        text[len] = '\n'; /* over the terminator: a line has none */
        line_client_send(master->apps.client, slice_make(text, len + 1));
    }
    free(text);
}

/* ---- with which configuration */

static void disconnect(struct master *master)
{
    struct app_link *link = &master->apps;

    line_client_close(link->client);
    link->client = NULL;
    link->told = false;
    deadline_disarm(&link->again);
    free(link->home);
    free(link->socket_path);
    link->home = link->socket_path = NULL;
}

static void declare(struct master *master, json_t *apps)
{
    json_t *spec;
    size_t index;

    list_each(it, keep, &master->apps.apps) container_of(it, struct linked_app, link)->declared =
        false;
    json_array_foreach(apps, index, spec)
    {
        const char *name = json_string_value(json_object_get(spec, "name"));
        struct linked_app *app = name == NULL ? NULL
                                              : linked_app_make(&master->apps, slice_of(name));

        if (app == NULL)
            continue;
        app->declared = true;
        /* a runner that is about to tell may know better */
        if ((app->text == NULL || app->lost) && (master->apps.client == NULL || master->apps.told))
            set_text(master, app, plain_text(app, "starting"), 0);
        app->lost = false;
    }
}

static bool choose_home(struct app_link *link, const struct manifest *manifest)
{
    char path[sizeof((struct sockaddr_un *)0)->sun_path];

    link->home = slice_strdup(manifest->apps_home);
    if (link->home != NULL && runner_socket_path(link->home, path, sizeof path))
        link->socket_path = strdup(path);
    return link->socket_path != NULL;
}

void app_link_use(struct master *master, const struct manifest *manifest)
{
    struct app_link *link = &master->apps;
    json_t *apps = json_loadb(manifest->apps.data, manifest->apps.len, 0, NULL);

    if (link->home != NULL &&
        (!manifest->apps_follow || !slice_eq(manifest->apps_home, slice_of(link->home)))) {
        app_apply_leave(master);
        disconnect(master);
    }
    link->declares = json_array_size(apps) > 0;
    if (manifest->apps_follow && link->home == NULL && choose_home(link, manifest))
        connect_to_runner(master);
    declare(master, apps);
    json_decref(apps);
    if (!manifest->apps_follow)
        drop_all(master);
}

void app_link_init(struct master *master)
{
    struct app_link *link = &master->apps;

    list_init(&link->apps);
    link->resend.on_expire = on_resend;
    app_apply_init(master);
}

void app_link_fini(struct master *master)
{
    struct app_link *link = &master->apps;

    app_apply_fini(master);
    disconnect(master);
    deadline_disarm(&link->resend);
    list_each(it, keep, &link->apps) linked_app_free(container_of(it, struct linked_app, link));
}
