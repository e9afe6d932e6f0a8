/* All apps as one JSON value, and back. Runs in: runner's loop. */
#include "apps/handover.h"

#include "apps/apps_internal.h"
#include "apps/handover_internal.h"
#include "base/diag.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- small values */

static const char digits[] = "0123456789abcdef";

json_t *bytes_pack(struct slice bytes)
{
    char *text = malloc(bytes.len * 2 + 1);
    json_t *packed;

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < bytes.len; i++) {
        text[2 * i] = digits[(unsigned char)bytes.data[i] >> 4];
        text[2 * i + 1] = digits[(unsigned char)bytes.data[i] & 15];
    }
    packed = json_stringn(text, bytes.len * 2);
    free(text);
    return packed;
}

size_t bytes_unpack(const json_t *text, char *out, size_t max)
{
    const char *at = json_string_value(text);
    size_t len = json_string_length(text) / 2;

    if (at == NULL || len > max || strspn(at, digits) != json_string_length(text))
        return 0;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)((strchr(digits, at[2 * i]) - digits) << 4 |
                        (strchr(digits, at[2 * i + 1]) - digits));
    return len;
}

json_t *fd_pack(int fd, json_t *fds)
{
    json_array_append_new(fds, json_integer(fd));
    return json_integer(fd);
}

enum field_kind { FIELD_BOOL, FIELD_INT, FIELD_UNSIGNED, FIELD_U64, FIELD_REAL };

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
};

#define ROW(field)                                                                                 \
    {                                                                                              \
#field,                                                                                    \
            _Generic(((struct instance *)0)->field, bool                                           \
                     : FIELD_BOOL, int                                                             \
                     : FIELD_INT, unsigned                                                         \
                     : FIELD_UNSIGNED, uint64_t                                                    \
                     : FIELD_U64, double                                                           \
                     : FIELD_REAL),                                                                \
            offsetof(struct instance, field)                                                       \
    }

/* Times are monotonic or wall time of this machine: they mean the same to the next program. */
static const struct field fields[] = {
    ROW(id),
    ROW(index),
    ROW(increment),
    ROW(start_again),
    ROW(free_after),
    ROW(disconnecting),
    ROW(disconnected),
    ROW(killed),
    ROW(replaced),
    ROW(outlived),
    ROW(hung),
    ROW(too_large),
    ROW(pid),
    ROW(port),
    ROW(serial),
    ROW(six),
    ROW(draining),
    ROW(drain_until_ms),
    ROW(tunnels_until_ms),
    ROW(runs),
    ROW(restarts),
    ROW(unstable),
    ROW(delay_ms),
    ROW(backoff_ms),
    ROW(crash_level),
    ROW(crashed_ms),
    ROW(created_ms),
    ROW(started_ms),
    ROW(created_wall_ms),
    ROW(started_wall_ms),
    ROW(exit_code),
    ROW(exit_signal),
    ROW(end_started_wall_ms),
    ROW(end_wall_ms),
    ROW(end_peak_bytes),
    ROW(peak_bytes),
    ROW(group_killed),
    ROW(rate.answered),
    ROW(rate.busy_us),
    ROW(oom_kills),
    ROW(sampled_ms),
    ROW(sampled_cpu_us),
    ROW(rss_bytes),
    ROW(cpu_percent),
};

static json_t *field_pack(const struct field *field, const struct instance *instance)
{
    const void *at = (const char *)instance + field->offset;

    switch (field->kind) {
    case FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    case FIELD_INT:
        return json_integer(*(const int *)at);
    case FIELD_UNSIGNED:
        return json_integer(*(const unsigned *)at);
    case FIELD_U64:
        return json_integer((json_int_t) * (const uint64_t *)at);
    case FIELD_REAL:
        return json_real(*(const double *)at);
    }
    return NULL;
}

static void field_unpack(const struct field *field, struct instance *instance, const json_t *value)
{
    void *at = (char *)instance + field->offset;

    switch (field->kind) {
    case FIELD_BOOL:
        *(bool *)at = json_is_true(value);
        break;
    case FIELD_INT:
        *(int *)at = (int)json_integer_value(value);
        break;
    case FIELD_UNSIGNED:
        *(unsigned *)at = (unsigned)json_integer_value(value);
        break;
    case FIELD_U64:
        *(uint64_t *)at = (uint64_t)json_integer_value(value);
        break;
    case FIELD_REAL:
        *(double *)at = json_number_value(value);
        break;
    }
}

/* ---- packing */

/* Specs are shared by an app, its instances and their outputs: each stands once in a list. */
struct packing {
    json_t *fds;   /* borrowed */
    json_t *specs; /* owned until it is part of the state */
    const struct app_spec **known;
    size_t count, capacity;
};

static json_t *pack_spec(struct packing *packing, const struct app_spec *spec)
{
    for (size_t i = 0; i < packing->count; i++) {
        if (packing->known[i] == spec)
            return json_integer((json_int_t)i);
    }
    if (packing->count == packing->capacity) {
        size_t capacity = packing->capacity == 0 ? 32 : packing->capacity * 2;
        const struct app_spec **known = realloc(packing->known, capacity * sizeof *known);

        if (known == NULL)
            return NULL;
        packing->known = known;
        packing->capacity = capacity;
    }
    packing->known[packing->count] = spec;
    json_array_append_new(packing->specs, json_pack("{s:O, s:O?}", "source", spec->source,
                                                    "inherited", spec->inherited));
    return json_integer((json_int_t)packing->count++);
}

static json_t *pack_instance(struct packing *packing, const struct instance *instance,
                             bool retiring)
{
    uint64_t now_ms = loop_now_ms(instance->app->apps->loop);
    uint64_t due_ms = instance->timer.expires_ms;
    json_t *object = json_object();

    for (size_t i = 0; i < COUNT(fields); i++)
        json_object_set_new(object, fields[i].name, field_pack(&fields[i], instance));
    json_object_set_new(object, "state", json_string(instance_state_name(instance->state)));
    json_object_set_new(object, "reason", json_string(instance->reason));
    if (instance->socket != NULL)
        json_object_set_new(object, "socket", json_string(instance->socket));
    if (instance->group != NULL)
        json_object_set_new(object, "group", json_string(instance->group));
    if (due_ms != 0)
        json_object_set_new(object, "timer",
                            json_integer(due_ms > now_ms ? (json_int_t)(due_ms - now_ms) : 0));
    json_object_set_new(object, "retiring", json_boolean(retiring));
    json_object_set_new(object, "spec", pack_spec(packing, instance->spec));
    if (instance->pid > 0)
        json_object_set_new(object, "process", process_pack(instance, packing->fds));
    return object;
}

static json_t *pack_app(struct packing *packing, const struct app *app)
{
    json_t *instances = json_array();

    list_each(it, keep, &app->instances) json_array_append_new(
        instances, pack_instance(packing, container_of(it, struct instance, link), false));
    list_each(old, keep_old, &app->retiring) json_array_append_new(
        instances, pack_instance(packing, container_of(old, struct instance, link), true));
    return json_pack("{s:o, s:I, s:b, s:s?, s:o, s:o}", "spec", pack_spec(packing, app->spec),
                     "due", (json_int_t)app->due, "idle", app->idle, "config", app->source,
                     "cluster", cluster_pack(&app->cluster, packing->fds), "instances", instances);
}

static json_t *pack_outputs(struct packing *packing, const struct sinks *sinks)
{
    json_t *outputs = json_array();

    list_each(it, keep, &sinks->outputs)
    {
        const struct output *output = container_of(it, struct output, link);
        json_t *object = output_pack(output, packing->fds);

        json_object_set_new(object, "spec", pack_spec(packing, output->owner));
        json_array_append_new(outputs, object);
    }
    return outputs;
}

static json_t *pack_files(const struct sinks *sinks)
{
    json_t *files = json_object();

    list_each(it, keep, &sinks->all)
    {
        const struct sink *sink = container_of(it, struct sink, link);

        json_object_set_new(files, sink->path,
                            json_pack("{s:I, s:I}", "began", (json_int_t)sink->began_ms, "dropped",
                                      (json_int_t)sink->dropped_bytes));
    }
    return files;
}

json_t *apps_pack(const struct apps *apps, json_t *fds)
{
    struct packing packing = {.fds = fds, .specs = json_array()};
    json_t *list = json_array();
    json_t *state;

    list_each(it, keep, &apps->apps)
        json_array_append_new(list, pack_app(&packing, container_of(it, struct app, link)));
    state = json_pack("{s:i, s:i, s:i, s:i, s:b, s:I, s:o, s:o, s:o, s:o}", "next_id",
                      apps->next_id, "next_serial", (int)apps->next_serial, "next_socket",
                      (int)apps->next_socket, "next_group", (int)apps->groups.next, "may_leave",
                      apps->may_leave, "version", (json_int_t)apps->version, "apps", list,
                      "outputs", pack_outputs(&packing, &apps->sinks), "files",
                      pack_files(&apps->sinks), "specs", packing.specs);
    free(packing.known);
    return state;
}

bool apps_busy(const struct apps *apps, char *why, size_t why_bytes)
{
    list_each(it, keep, &apps->apps)
    {
        const struct app *app = container_of(it, struct app, link);

        if (app->rollout == NULL)
            continue;
        snprintf(why, why_bytes, "app \"%s\" is being changed", app->name);
        return true;
    }
    if (!list_empty(&apps->operations))
        snprintf(why, why_bytes, "apps are being started or stopped");
    return !list_empty(&apps->operations);
}

/* ---- unpacking */

struct unpacking {
    struct apps *apps;
    struct app_spec **specs; /* owned, each one reference; NULL where it was not understood */
    size_t count;
};

static bool unpack_specs(struct unpacking *unpacking, const json_t *state, struct diag *diag)
{
    const json_t *list = json_object_get(state, "specs");
    bool good = true;

    unpacking->specs = calloc(json_array_size(list) + 1, sizeof *unpacking->specs);
    if (unpacking->specs == NULL || !json_is_array(list)) {
        diag_add(diag, DIAG_ERROR, NULL, "no list of apps, or no memory");
        return false;
    }
    for (unpacking->count = 0; unpacking->count < json_array_size(list); unpacking->count++) {
        json_t *entry = json_array_get(list, unpacking->count);
        struct app_spec *spec = spec_new(json_object_get(entry, "source"), NULL,
                                         json_object_get(entry, "inherited"), diag);

        unpacking->specs[unpacking->count] = spec;
        good = good && spec != NULL;
    }
    return good;
}

static void forget_specs(struct unpacking *unpacking)
{
    for (size_t i = 0; i < unpacking->count; i++)
        spec_unref(unpacking->specs[i]);
    free(unpacking->specs);
}

/* NULL: there is none. */
static struct app_spec *spec_of(const struct unpacking *unpacking, const json_t *from)
{
    const json_t *number = json_object_get(from, "spec");
    json_int_t index = json_is_integer(number) ? json_integer_value(number) : -1;

    return index >= 0 && (size_t)index < unpacking->count ? unpacking->specs[index] : NULL;
}

static bool unpack_state(const json_t *from, enum instance_state *state)
{
    const char *name = json_string_value(json_object_get(from, "state"));

    for (int i = 0; name != NULL && i < STATE_COUNT; i++) {
        *state = (enum instance_state)i;
        if (strcmp(instance_state_name(*state), name) == 0)
            return true;
    }
    return false;
}

/* A process that is not there any more has ended without our seeing how. */
static void unpack_process(struct instance *instance, const json_t *from)
{
    const json_t *timer = json_object_get(from, "timer");

    if (instance->pid > 0 && !process_unpack(instance, json_object_get(from, "process"))) {
        snprintf(instance->reason, sizeof instance->reason, "lost in the update of the runner");
        log_write(instance->app->apps->log, LOG_LEVEL_ERROR, 0, "app %s (%d): %s",
                  instance->app->name, instance->id, instance->reason);
        instance->pid = 0;
        instance->state = STATE_STOPPED;
        return;
    }
    if (timer != NULL)
        deadline_arm(instance->app->apps->loop, &instance->timer,
                     (uint64_t)json_integer_value(timer));
}

static void unpack_instance(const struct unpacking *unpacking, struct app *app, const json_t *from)
{
    struct app_spec *spec = spec_of(unpacking, from);
    const char *reason = json_string_value(json_object_get(from, "reason"));
    const char *path = json_string_value(json_object_get(from, "socket"));
    const char *group = json_string_value(json_object_get(from, "group"));
    struct instance *instance = instance_new(app, 0, 0);

    if (instance == NULL)
        return;
    for (size_t i = 0; i < COUNT(fields); i++)
        field_unpack(&fields[i], instance, json_object_get(from, fields[i].name));
    /* who follows us comes again, but what it had under way it tells only if that changes */
    instance->drain_blind = instance->draining;
    snprintf(instance->reason, sizeof instance->reason, "%s", reason == NULL ? "" : reason);
    instance->socket = path == NULL ? NULL : strdup(path);
    instance->group = group == NULL ? NULL : strdup(group);
    if (spec != NULL) {
        spec_unref(instance->spec);
        instance->spec = spec_ref(spec);
    }
    if (!unpack_state(from, &instance->state))
        instance->state = instance->pid > 0 ? STATE_ONLINE : STATE_STOPPED;
    if (json_is_true(json_object_get(from, "retiring"))) {
        list_remove(&instance->link);
        list_push_back(&app->retiring, &instance->link);
    }
    unpack_process(instance, from);
}

static void unpack_app(const struct unpacking *unpacking, const json_t *from)
{
    struct app_spec *spec = spec_of(unpacking, from);
    const char *source = json_string_value(json_object_get(from, "config"));
    struct app *app = spec == NULL ? NULL : app_new(unpacking->apps, spec);
    json_t *instance;
    size_t index;

    if (app == NULL) {
        log_write(unpacking->apps->log, LOG_LEVEL_ERROR, 0,
                  "an app was lost in the update of the runner");
        return;
    }
    app->idle = json_is_true(json_object_get(from, "idle"));
    if (source != NULL)
        app->source = strdup(source);
    app_due_at(app, (time_t)json_integer_value(json_object_get(from, "due")));
    if (!cluster_unpack(&app->cluster, json_object_get(from, "cluster")))
        log_write(unpacking->apps->log, LOG_LEVEL_ERROR, 0,
                  "app %s: a listening socket was lost in the update of the runner", app->name);
    json_array_foreach(json_object_get(from, "instances"), index, instance)
        unpack_instance(unpacking, app, instance);
}

static void unpack_outputs(const struct unpacking *unpacking, const json_t *state)
{
    struct sinks *sinks = &unpacking->apps->sinks;
    const json_t *files = json_object_get(state, "files");
    json_t *output;
    size_t index;

    json_array_foreach(json_object_get(state, "outputs"), index, output)
    {
        struct app_spec *spec = spec_of(unpacking, output);

        if (spec == NULL || !output_unpack(unpacking->apps, spec, output))
            log_write(unpacking->apps->log, LOG_LEVEL_ERROR, 0,
                      "a log was lost in the update of the runner");
    }
    list_each(it, keep, &sinks->all)
    {
        struct sink *sink = container_of(it, struct sink, link);
        const json_t *file = json_object_get(files, sink->path);

        if (file == NULL)
            continue;
        sink->began_ms = (uint64_t)json_integer_value(json_object_get(file, "began"));
        sink->dropped_bytes = (uint64_t)json_integer_value(json_object_get(file, "dropped"));
    }
}

void apps_unpack(struct apps *apps, const json_t *state)
{
    struct unpacking unpacking = {.apps = apps};
    struct diag diag;
    json_t *app;
    size_t index;

    assert(list_empty(&apps->apps));
    diag_init(&diag);
    unpack_specs(&unpacking, state, &diag);
    for (const struct diag_entry *entry = diag.first; entry != NULL; entry = entry->next)
        log_write(apps->log, LOG_LEVEL_WARN, 0, "update of the runner: %s", entry->message);
    json_array_foreach(json_object_get(state, "apps"), index, app) unpack_app(&unpacking, app);
    unpack_outputs(&unpacking, state);
    apps->next_id = (int)json_integer_value(json_object_get(state, "next_id"));
    apps->next_serial = (unsigned)json_integer_value(json_object_get(state, "next_serial"));
    apps->may_leave = json_is_true(json_object_get(state, "may_leave"));
    apps->version = (uint64_t)json_integer_value(json_object_get(state, "version"));
    apps->groups.next = (unsigned)json_integer_value(json_object_get(state, "next_group"));
    apps->next_socket = (unsigned)json_integer_value(json_object_get(state, "next_socket"));
    forget_specs(&unpacking);
    diag_fini(&diag);
}

bool apps_understand(const json_t *state, struct diag *diag)
{
    struct unpacking unpacking = {.apps = NULL};
    bool understood = unpack_specs(&unpacking, state, diag);

    if (understood && !json_is_array(json_object_get(state, "apps"))) {
        diag_add(diag, DIAG_ERROR, NULL, "no list of apps");
        understood = false;
    }
    forget_specs(&unpacking);
    return understood;
}
