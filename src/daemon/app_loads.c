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
    struct worker_says says; /* its JSON is owned; its name means nothing any more */
};

static struct worker_says says_new(void)
{
    return (struct worker_says){
        .active = json_object(), .answered = json_object(), .tunnels = json_object()};
}

static void says_fini(const struct worker_says *says)
{
    json_decref(says->active);
    json_decref(says->answered);
    json_decref(says->tunnels);
}

static void load_free(struct worker_load *load)
{
    says_fini(&load->says);
    free(load->name);
    free(load);
}

static json_t *pair(json_int_t a, json_int_t b)
{
    json_t *list = json_array();

    json_array_append_new(list, json_integer(a));
    json_array_append_new(list, json_integer(b));
    return list;
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

static bool put(json_t *object, struct slice id, json_t *value)
{
    return json_object_setn_new(object, id.data, id.len, value) == 0;
}

/* "ID ACTIVE", and perhaps " ANSWERED BUSY_US", and perhaps " TUNNELS" */
static bool take_instance(struct slice line, struct worker_says *says)
{
    struct slice id = line;
    uint64_t number, requests, answered, busy_us, tunnels;

    if (!take_number(&line, &number) || !take_number(&line, &requests))
        return false;
    id.len = (size_t)((const char *)memchr(id.data, ' ', id.len) - id.data);
    if (!put(says->active, id, json_integer((json_int_t)requests)))
        return false;
    if (line.data == NULL)
        return true;
    if (!take_number(&line, &answered) || !take_number(&line, &busy_us) ||
        (answered > 0 && !put(says->answered, id, pair((json_int_t)answered, (json_int_t)busy_us))))
        return false;
    if (line.data == NULL)
        return true;
    return take_number(&line, &tunnels) && line.data == NULL &&
           (tunnels == 0 || put(says->tunnels, id, json_integer((json_int_t)tunnels)));
}

bool worker_load_parse(struct slice text, struct worker_says *says)
{
    uint64_t *numbers[] = {&says->requests, &says->waiting, &says->queue_us};
    struct slice line;
    struct slice head;

    if (!slice_split(&text, '\n', &head) || !slice_split(&head, ' ', &says->name) ||
        says->name.len == 0)
        return false;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        if (!take_number(&head, numbers[i]))
            return false;
    }
    if (head.data != NULL)
        return false;
    while (slice_split(&text, '\n', &line)) {
        if (line.len > 0 && !take_instance(line, says))
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
    list_remove(&load->link);
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

static void add_answered(json_t *sum, json_t *more)
{
    const char *id;
    json_t *value;

    json_object_foreach(more, id, value)
    {
        json_t *before = json_object_get(sum, id);
        json_int_t numbers[2];

        for (size_t i = 0; i < COUNT(numbers); i++)
            numbers[i] = json_integer_value(json_array_get(before, i)) +
                         json_integer_value(json_array_get(value, i));
        json_object_set_new(sum, id, pair(numbers[0], numbers[1]));
    }
}

/* The runner knows of one balancer: us. With an old worker that drains, the sum is what counts; and
 * what both know is what the one knows who is behind. */
static void pass_on(struct master *master, const char *name)
{
    struct worker_says sum = says_new();
    uint64_t version = UINT64_MAX;

    list_each(it, keep, &master->workers)
    {
        struct worker_process *worker = container_of(it, struct worker_process, link);

        list_each(one, next, &worker->app_loads)
        {
            const struct worker_load *load = container_of(one, struct worker_load, link);

            if (strcmp(load->name, name) != 0)
                continue;
            sum.requests += load->says.requests;
            sum.waiting += load->says.waiting;
            if (load->says.queue_us > sum.queue_us)
                sum.queue_us = load->says.queue_us;
            version = load->version < version ? load->version : version;
            add_actives(sum.active, load->says.active);
            add_actives(sum.tunnels, load->says.tunnels);
            add_answered(sum.answered, load->says.answered);
        }
    }
    app_link_say(master,
                 json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "do", "load", "app",
                           name, "version", (json_int_t)(version == UINT64_MAX ? 0 : version),
                           "requests", (json_int_t)sum.requests, "waiting", (json_int_t)sum.waiting,
                           "queue_us", (json_int_t)sum.queue_us, "active", sum.active, "answered",
                           sum.answered, "tunnels", sum.tunnels));
}

static void complain(const struct worker_process *worker)
{
    log_write(&worker->master->log, LOG_LEVEL_ALERT, 0,
              "worker process %d says of an app what makes no sense", (int)worker->pid);
}

/* Takes what is owned in `says`. */
static void take_says(struct worker_process *worker, const struct worker_says *says,
                      uint64_t version)
{
    struct linked_app *app = linked_app_find(&worker->master->apps, says->name);
    /* one that is gone meanwhile is no error */
    struct worker_load *load = app == NULL ? NULL : load_of(worker, app->name);

    if (load == NULL) {
        says_fini(says);
        return;
    }
    says_fini(&load->says);
    load->says = *says;
    load->version = version;
    pass_on(worker->master, load->name);
}

void app_link_load(struct worker_process *worker, struct slice text, uint64_t version)
{
    struct worker_says says = says_new();

    if (worker_load_parse(text, &says)) {
        take_says(worker, &says, version);
        return;
    }
    complain(worker);
    says_fini(&says);
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
        load_free(load);
    }
}
