/* Making the runner's apps be as the configuration says: after each configuration that is served,
 * when the runner comes (again), and at our own end, when they go. Runs in: master. */
#include "base/list.h"
#include "base/log.h"
#include "control/line_client.h"
#include "control/server.h"
#include "daemon/app_link.h"
#include "daemon/app_link_internal.h"
#include "daemon/manifest.h"
#include "daemon/master_internal.h"
#include "daemon/options.h"
#include "daemon/runner.h"
#include "daemon/runner_home.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { RUNNER_MAX_MS = 15 * 1000, LEAVE_MAX_MS = 10 * 1000 };

static void ask(struct master *master);

/* "pelayan: [error] app ..." for each line that begins one; the others belong to it. */
static void print_reasons(FILE *out, const char *text)
{
    bool begins = true;

    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, "\n");

        begins = at[0] != ' ';
        fprintf(out, "%s%.*s\n", begins ? "pelayan: [error] " : "", (int)len, at);
        at += len + (at[len] == '\n');
    }
}

static void answer(struct master *master, bool ok, const char *why)
{
    struct app_apply *apply = &master->apps.apply;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out != NULL) {
        if (!ok)
            print_reasons(out, why);
        fclose(out);
    }
    if (!ok)
        log_write(&master->log, LOG_LEVEL_ERROR, 0, "apps are not as configured: %.*s",
                  (int)strcspn(why, "\n"), why);
    master_answer_all(&apply->waiting, ok, slice_make(text == NULL ? "" : text, len));
    free(text);
}

static void finish(struct master *master, bool ok, const char *why)
{
    struct app_apply *apply = &master->apps.apply;

    line_client_close(apply->client);
    apply->client = NULL;
    answer(master, ok, why);
    if (apply->leaving) {
        apply->left = true;
        deadline_disarm(&apply->patience);
        master_exit_if_done(master);
        return;
    }
    list_each(it, keep, &apply->waiting_next)
    {
        list_remove(it);
        list_push_back(&apply->waiting, it);
    }
    app_apply_go_on(master);
}

static void on_line(void *context, struct slice line)
{
    struct master *master = context;
    json_t *said = json_loadb(line.data, line.len, 0, NULL);
    json_t *result = json_object_get(said, "result");
    const char *why = json_string_value(json_object_get(result, "message"));
    bool ok = json_is_true(json_object_get(said, "ok"));

    if (why == NULL)
        why = json_string_value(json_object_get(said, "message"));
    finish(master, ok, why == NULL ? "the app runner gave no reason" : why);
    json_decref(said);
}

/* As after an update of the runner: it is asked again. */
static void on_end(void *context)
{
    struct master *master = context;
    struct app_apply *apply = &master->apps.apply;

    apply->client = NULL;
    if (apply->leaving) {
        finish(master, false, "the app runner has left");
        return;
    }
    apply->wanted = true;
    deadline_arm(master->loop, &apply->patience, RUNNER_MAX_MS);
}

static char *request_line(const struct master *master, const char *list, size_t *len)
{
    json_t *source = json_string(master->options->conf_path);
    json_t *environment = runner_environment();
    char *text = NULL;
    FILE *out = open_memstream(&text, len);

    if (out != NULL) {
        fputs("{\"command\":\"app\",\"do\":\"apply\",\"source\":", out);
        json_dumpf(source, out, JSON_COMPACT | JSON_ENCODE_ANY);
        fputs(",\"inherited\":", out);
        json_dumpf(environment, out, JSON_COMPACT);
        fprintf(out, ",\"leave\":%s,\"apps\":%s}\n",
                master->phase == MASTER_RUNNING ? "false" : "true", list);
        fclose(out);
    }
    json_decref(source);
    json_decref(environment);
    return text;
}

static bool send_list(struct master *master, struct line_client *client, const char *list)
{
    size_t len = 0;
    char *line = client == NULL ? NULL : request_line(master, list, &len);

    if (line != NULL)
        line_client_send(client, slice_make(line, len));
    free(line);
    return line != NULL;
}

static struct line_client *open_client(struct master *master)
{
    struct line_client_events events = {.on_line = on_line, .on_end = on_end, .context = master};

    return line_client_open(master->loop, master->apps.socket_path, &events);
}

static void ask(struct master *master)
{
    struct app_apply *apply = &master->apps.apply;

    apply->wanted = false;
    deadline_disarm(&apply->patience);
    apply->client = open_client(master);
    if (send_list(master, apply->client, apply->leaving ? "[]" : apply->list))
        apply->applied = true;
    else
        finish(master, false, "the app runner cannot be asked");
}

void app_apply_go_on(struct master *master)
{
    struct app_apply *apply = &master->apps.apply;

    if (apply->client == NULL && master->apps.told && apply->list != NULL && apply->wanted)
        ask(master);
}

static void on_impatience(struct deadline *deadline)
{
    struct master *master = container_of(deadline, struct master, apps.apply.patience);
    struct app_apply *apply = &master->apps.apply;

    if (apply->leaving)
        finish(master, false, "the app runner takes too long to remove them: it goes on");
    else
        answer(master, false, "the app runner cannot be reached; its apps are started when it can");
}

static void on_swept(void *context, struct slice line)
{
    (void)context;
    (void)line;
}

static void on_sweep_end(void *context)
{
    (void)context;
}

/* A master before us that was killed has left its apps with the runner. If the configuration has
 * lost them since, nobody else removes them. They are the runner's that it means now, or meant when
 * it named none; one that was started for them ends, too. */
static void sweep(struct master *master, const struct manifest *manifest)
{
    struct line_client_events events = {.on_line = on_swept, .on_end = on_sweep_end};
    char home[PATH_MAX];
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    struct line_client *client = NULL;
    char *line = NULL;
    json_t *request;

    snprintf(home, sizeof home, "%.*s", SLICE_ARG(manifest->apps_home));
    if (runner_socket_path(home, path, sizeof path))
        client = line_client_open(master->loop, path, &events);
    if (client == NULL)
        return; /* no runner, no apps */
    request = json_pack("{s:s, s:s, s:s, s:b, s:[]}", "command", "app", "do", "apply", "source",
                        master->options->conf_path, "leave", !manifest->apps_follow, "apps");
    line = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (line != NULL) {
        line_client_send(client, slice_of(line));
        line_client_send(client, slice_of("\n"));
    }
    free(line);
    line_client_close(client); /* it reads what it has been sent all the same */
}

void app_link_apply(struct master *master, const struct manifest *manifest, struct list *waiting)
{
    struct app_link *link = &master->apps;
    struct app_apply *apply = &link->apply;
    struct list *queue = apply->client != NULL ? &apply->waiting_next : &apply->waiting;

    free(apply->list);
    apply->list = slice_strdup(manifest->apps);
    if (!apply->swept && !link->declares && !apply->applied)
        sweep(master, manifest);
    apply->swept = true;
    if (link->home == NULL || (!link->declares && !apply->applied) || apply->list == NULL) {
        master_answer_all(waiting, true, slice_of(""));
        return;
    }
    list_each(it, keep, waiting)
    {
        list_remove(it);
        list_push_back(queue, it);
    }
    apply->wanted = true;
    app_apply_go_on(master);
    if (apply->client == NULL)
        deadline_arm(master->loop, &apply->patience, RUNNER_MAX_MS);
}

void app_apply_leave(struct master *master)
{
    struct app_apply *apply = &master->apps.apply;
    struct line_client *client = apply->applied ? open_client(master) : NULL;

    line_client_close(apply->client);
    apply->client = NULL;
    send_list(master, client, "[]");
    line_client_close(client); /* it reads what it has been sent all the same */
    apply->applied = false;
}

bool app_link_left(struct master *master)
{
    struct app_apply *apply = &master->apps.apply;

    if (apply->left || (!apply->applied && !master->apps.declares) || master->apps.client == NULL)
        return true;
    if (apply->leaving)
        return false;
    apply->leaving = true;
    line_client_close(apply->client);
    apply->client = NULL;
    deadline_arm(master->loop, &apply->patience, LEAVE_MAX_MS);
    apply->client = open_client(master);
    return !send_list(master, apply->client, "[]");
}

void app_apply_init(struct master *master)
{
    struct app_apply *apply = &master->apps.apply;

    list_init(&apply->waiting);
    list_init(&apply->waiting_next);
    apply->patience.on_expire = on_impatience;
}

void app_apply_fini(struct master *master)
{
    struct app_apply *apply = &master->apps.apply;

    deadline_disarm(&apply->patience);
    line_client_close(apply->client);
    apply->client = NULL;
    master_answer_all(&apply->waiting, false, slice_of("pelayan: [error] shutting down\n"));
    master_answer_all(&apply->waiting_next, false, slice_of("pelayan: [error] shutting down\n"));
    free(apply->list);
    apply->list = NULL;
}
