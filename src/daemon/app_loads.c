/* How busy apps are, as workers say: checked, added up, and passed on to the runner.
 * Runs in: master. */
#include "base/list.h"
#include "base/log.h"
#include "daemon/app_link.h"
#include "daemon/app_link_internal.h"
#include "daemon/master_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS_MAX = 15 };

/* What one worker says of one app. */
struct worker_load {
    struct list link; /* in worker->app_loads */
    char *name;       /* owned */
    uint64_t version;
    uint64_t numbers[3]; /* requests, waiting, queue_us */
    json_t *active;      /* owned: {"ID": requests} */
};

static void load_free(struct worker_load *load)
{
    list_remove(&load->link);
    json_decref(load->active);
    free(load->name);
    free(load);
}

static bool take_number(struct slice *rest, uint64_t *number)
{
    struct slice word;

    *number = 0;
    if (!slice_split(rest, ' ', &word) || word.len == 0 || word.len > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
        *number = *number * 10 + (uint64_t)(word.data[i] - '0');
    }
    return true;
}

/* "ID ACTIVE" */
static bool take_active(struct slice line, json_t *active)
{
    struct slice id = slice_head(line, line.len);
    uint64_t number;
    uint64_t requests;
    size_t len;

    if (!take_number(&line, &number) || !take_number(&line, &requests) || line.data != NULL)
        return false;
    len = (size_t)((const char *)memchr(id.data, ' ', id.len) - id.data);
    return json_object_setn_new(active, id.data, len, json_integer((json_int_t)requests)) == 0;
}

bool worker_load_parse(struct slice text, struct slice *name, uint64_t numbers[3], json_t *active)
{
    struct slice line;
    struct slice head;

    if (!slice_split(&text, '\n', &head) || !slice_split(&head, ' ', name) || name->len == 0)
        return false;
    for (int i = 0; i < 3; i++) {
        if (!take_number(&head, &numbers[i]))
            return false;
    }
    if (head.data != NULL)
        return false;
    while (slice_split(&text, '\n', &line)) {
        if (line.len > 0 && !take_active(line, active))
            return false;
    }
    return true;
}

static struct worker_load *load_of(struct worker_process *worker, const char *name)
{
    struct worker_load *load;

    list_each(it, keep, &worker->app_loads)
    {
        load = container_of(it, struct worker_load, link);
        if (strcmp(load->name, name) == 0)
            return load;
    }
    load = calloc(1, sizeof *load);
    if (load == NULL)
        return NULL;
    list_push_back(&worker->app_loads, &load->link);
    load->name = strdup(name);
    if (load->name != NULL)
        return load;
    load_free(load);
    return NULL;
}

static void add_actives(json_t *sum, json_t *actives)
{
    const char *id;
    json_t *value;

    json_object_foreach(actives, id, value)
    {
        json_int_t before = json_integer_value(json_object_get(sum, id));

        json_object_set_new(sum, id, json_integer(before + json_integer_value(value)));
    }
}

/* The runner knows of one balancer: us. With an old worker that drains, the sum is what counts; and
 * what both know is what the one knows who is behind. */
static void pass_on(struct master *master, const char *name)
{
    uint64_t numbers[3] = {0, 0, 0};
    uint64_t version = UINT64_MAX;
    json_t *active = json_object();

    list_each(it, keep, &master->workers)
    {
        struct worker_process *worker = container_of(it, struct worker_process, link);

        list_each(one, next, &worker->app_loads)
        {
            const struct worker_load *load = container_of(one, struct worker_load, link);

            if (strcmp(load->name, name) != 0)
                continue;
            numbers[0] += load->numbers[0];
            numbers[1] += load->numbers[1];
            numbers[2] = load->numbers[2] > numbers[2] ? load->numbers[2] : numbers[2];
            version = load->version < version ? load->version : version;
            add_actives(active, load->active);
        }
    }
    app_link_say(master,
                 json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o}", "do", "load", "app", name,
                           "version", (json_int_t)(version == UINT64_MAX ? 0 : version), "requests",
                           (json_int_t)numbers[0], "waiting", (json_int_t)numbers[1], "queue_us",
                           (json_int_t)numbers[2], "active", active));
}

static void complain(const struct worker_process *worker)
{
    log_write(&worker->master->log, LOG_LEVEL_ALERT, 0,
              "worker process %d says of an app what makes no sense", (int)worker->pid);
}

void app_link_load(struct worker_process *worker, struct slice text, uint64_t version)
{
    struct linked_app *app = NULL;
    struct worker_load *load = NULL;
    json_t *active = json_object();
    uint64_t numbers[3];
    struct slice name;

    if (!worker_load_parse(text, &name, numbers, active)) {
        complain(worker);
        json_decref(active);
        return;
    }
    app = linked_app_find(&worker->master->apps, name); /* one that is gone meanwhile is no error */
    if (app != NULL)
        load = load_of(worker, app->name);
    if (load == NULL) {
        json_decref(active);
        return;
    }
    json_decref(load->active);
    load->active = active;
    load->version = version;
    memcpy(load->numbers, numbers, sizeof numbers);
    pass_on(worker->master, load->name);
}

void app_link_wanted(struct worker_process *worker, struct slice name)
{
    struct linked_app *app = linked_app_find(&worker->master->apps, name);

    if (app != NULL)
        app_link_say(worker->master, json_pack("{s:s, s:s}", "do", "wake", "app", app->name));
}

void app_link_forget(struct worker_process *worker)
{
    struct list *first;

    while ((first = list_pop_front(&worker->app_loads)) != NULL) {
        struct worker_load *load = container_of(first, struct worker_load, link);

        pass_on(worker->master, load->name);
        json_decref(load->active);
        free(load->name);
        free(load);
    }
}
