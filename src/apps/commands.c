/* What apps can be asked, one row each. Runs in: master's loop. */
#include "apps/commands_internal.h"
#include "apps/selector_internal.h"
#include "base/diag.h"
#include "base/list.h"
#include "config/loader.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 256 };

void ask_refuse(const struct ask *ask, const char *format, ...)
{
    char message[4096];
    va_list args;
    json_t *result;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    result = json_pack("{s:s}", "message", message);
    ask->answer(ask->context, false, result);
    json_decref(result);
}

const char *ask_text(const struct ask *ask, const char *name)
{
    return json_string_value(json_object_get(ask->request, name));
}

bool ask_flag(const struct ask *ask, const char *name)
{
    return json_is_true(json_object_get(ask->request, name));
}

unsigned ask_parallel(const struct ask *ask)
{
    json_t *value = json_object_get(ask->request, "parallel");
    const char *text = json_string_value(value);
    json_int_t number = text != NULL ? strtol(text, NULL, 10) : json_integer_value(value);

    return number < 1 ? 1 : number > ROLLOUT_LANES_MAX ? ROLLOUT_LANES_MAX : (unsigned)number;
}

static void refuse_unknown(const struct ask *ask, const char *target)
{
    const char *names[NAMES_MAX];
    const char *near;
    size_t count = 0;

    list_each(it, keep, &ask->apps->apps)
    {
        if (count < NAMES_MAX)
            names[count++] = container_of(it, struct app, link)->name;
    }
    near = nearest_name(slice_of(target), names, count);
    if (near != NULL)
        ask_refuse(ask, "there is no app \"%s\": did you mean \"%s\"?", target, near);
    else
        ask_refuse(ask, "there is no app \"%s\": \"pelayan ls\" shows which there are", target);
}

/* False: refused. */
static bool select_targets(const struct ask *ask, struct selection *selection)
{
    const char *target = ask_text(ask, "target");

    if (target == NULL) {
        ask_refuse(ask, "no app was named");
        return false;
    }
    if (!selection_make(selection, ask->apps, target)) {
        ask_refuse(ask, "no memory, or \"%s\" is no regular expression", target);
        return false;
    }
    if (selection->count > 0 || strcmp(target, "all") == 0)
        return true;
    refuse_unknown(ask, target);
    selection_free(selection);
    return false;
}

/* The same, with changes that are under way cut short: what is stopped or deleted stays so. */
static bool select_to_end(const struct ask *ask, struct selection *selection)
{
    bool cut = false;

    if (!select_targets(ask, selection))
        return false;
    for (size_t i = 0; i < selection->count && !cut; i++) {
        cut = selection->items[i]->app->rollout != NULL;
        if (cut)
            rollout_free(selection->items[i]->app->rollout);
    }
    if (!cut)
        return true;
    selection_free(selection); /* one of them may be gone */
    return select_to_end(ask, selection);
}

/* ---- specs */

static void print_diag(const struct diag *diag, char *out, size_t bytes)
{
    size_t len = 0;

    out[0] = '\0';
    for (const struct diag_entry *entry = diag->first; entry != NULL; entry = entry->next) {
        int wrote = snprintf(out + len, bytes - len, "%s%s%s%s", len > 0 ? "\n" : "",
                             entry->message, entry->hint == NULL ? "" : ": ",
                             entry->hint == NULL ? "" : entry->hint);

        if (wrote < 0 || (size_t)wrote >= bytes - len)
            return;
        len += (size_t)wrote;
    }
}

/* NULL: refused. */
struct app_spec *ask_spec(const struct ask *ask, json_t *source)
{
    struct diag diag;
    struct app_spec *spec;
    char message[3072];

    diag_init(&diag);
    spec = spec_new(source, ask_text(ask, "env_name"), json_object_get(ask->request, "inherited"),
                    &diag);
    if (spec == NULL) {
        print_diag(&diag, message, sizeof message);
        ask_refuse(ask, "%s", message);
    }
    diag_fini(&diag);
    return spec;
}

/* ---- start */

/* Is all of it online and as `spec` says? */
static bool is_as_described(const struct app *app, const struct app_spec *spec)
{
    if (!json_equal(app->spec->source, spec->source) ||
        (spec->instances != NULL && !app_fits(app, spec)))
        return false;
    list_each(it, keep, &app->instances)
    {
        if (container_of(it, struct instance, link)->state != STATE_ONLINE)
            return false;
    }
    return true;
}

/* Known already: the new description, with as many instances as it says. */
static bool start_known(const struct ask *ask, struct operation *operation, struct app *app,
                        struct app_spec *spec)
{
    bool scaled = true;

    if (ask_flag(ask, "force"))
        return app_add_started(operation, app);
    if (ask_flag(ask, "only_changed") && is_as_described(app, spec))
        return true;
    app_use_spec(app, spec);
    if (!app_replace(operation, app, ask_parallel(ask)))
        return false;
    if (spec->instances != NULL)
        scaled = app_fit(operation, app);
    return scaled;
}

static bool is_repeated(const struct ask *ask, struct app_spec *const *specs, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(specs[i]->name, specs[index]->name) != 0)
            continue;
        ask_refuse(ask, "two apps are called \"%s\"", specs[i]->name);
        return true;
    }
    return false;
}

/* All or none are understood, before the first is started. */
static bool parse_specs(const struct ask *ask, json_t *list, struct app_spec **specs)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct app *known;

        specs[i] = ask_spec(ask, json_array_get(list, i));
        if (specs[i] == NULL || is_repeated(ask, specs, i))
            return false;
        known = app_find(ask->apps, specs[i]->name);
        if (known != NULL && ask_flag(ask, "only_new") && !ask_flag(ask, "force")) {
            ask_refuse(ask,
                       "app \"%s\" is there already: restart it, give the new one a --name, or"
                       " add an instance with --force",
                       specs[i]->name);
            return false;
        }
        if (known != NULL && known->rollout != NULL) {
            ask_refuse(ask, "app \"%s\" is being changed: wait until that is done", specs[i]->name);
            return false;
        }
    }
    return true;
}

static void start_specs(const struct ask *ask, json_t *list)
{
    size_t count = json_array_size(list);
    struct app_spec **specs = calloc(count + 1, sizeof *specs);
    struct operation *operation;
    bool good = specs != NULL && parse_specs(ask, list, specs);

    if (good) {
        operation = operation_new(ask->apps, GOAL_RUNNING, ask->answer, ask->context);
        for (size_t i = 0; operation != NULL && i < count; i++) {
            struct app *known = app_find(ask->apps, specs[i]->name);

            if (known == NULL)
                app_start_new(ask->apps, operation, specs[i]);
            else
                start_known(ask, operation, known, specs[i]);
        }
        if (operation != NULL)
            operation_begin(operation);
        else
            ask_refuse(ask, "no memory");
    }
    for (size_t i = 0; specs != NULL && i < count; i++)
        spec_unref(specs[i]);
    free(specs);
}

/* ---- instances that are there */

/* So many instances as the changes say. Instances that are too many may be freed at once: nothing
 * of the selection is looked at once that has begun. */
static void fit_changed(const struct ask *ask, struct operation *operation,
                        const struct selection *selection)
{
    json_t *changes = json_object_get(ask->request, "changes");
    struct app **apps = NULL;
    size_t count = 0;

    if (json_object_get(changes, "instances") != NULL)
        apps = calloc(selection->count + 1, sizeof *apps);
    for (size_t i = 0; apps != NULL && i < selection->count; i++) {
        struct app *app = selection->items[i]->app;
        bool known = false;

        for (size_t j = 0; j < count; j++)
            known = known || apps[j] == app;
        if (!known)
            apps[count++] = app;
    }
    for (size_t i = 0; i < count; i++)
        app_fit(operation, apps[i]);
    free(apps);
}

static void act(const struct ask *ask, enum goal goal, enum instance_event event)
{
    struct selection selection;
    struct operation *operation;

    if (!select_to_end(ask, &selection))
        return;
    operation = operation_new(ask->apps, goal, ask->answer, ask->context);
    for (size_t i = 0; operation != NULL && i < selection.count; i++)
        operation_add(operation, selection.items[i]);
    for (size_t i = 0; operation != NULL && i < selection.count; i++) {
        selection.items[i]->app->idle = false; /* whoever stops it does not want it woken */
        instance_event(selection.items[i], event);
        app_changed(selection.items[i]->app);
    }
    if (operation != NULL && event == EVENT_RESTART)
        fit_changed(ask, operation, &selection);
    selection_free(&selection);
    if (operation != NULL)
        operation_begin(operation);
    else
        ask_refuse(ask, "no memory");
}

/* The newest environment of who asks, and what else is to be changed. */
static bool update_spec(const struct ask *ask, struct app *app)
{
    json_t *changes = json_object_get(ask->request, "changes");
    json_t *inherited = json_object_get(ask->request, "inherited");
    const char *env_name = ask_text(ask, "env_name");
    struct app_spec *spec;
    struct diag diag;
    json_t *source;

    if (changes == NULL && env_name == NULL && !ask_flag(ask, "update_env"))
        return true;
    source = json_copy(app->spec->source);
    if (changes != NULL)
        json_object_update(source, changes);
    diag_init(&diag);
    spec = spec_new(source, env_name,
                    ask_flag(ask, "update_env") ? inherited : app->spec->inherited, &diag);
    json_decref(source);
    if (spec == NULL) {
        char message[3072];

        print_diag(&diag, message, sizeof message);
        ask_refuse(ask, "%s", message);
    } else {
        app_use_spec(app, spec);
        app_rename(app, spec->name);
        spec_unref(spec);
    }
    diag_fini(&diag);
    return spec != NULL;
}

static bool covers_app(const struct selection *selection, const struct app *app)
{
    size_t count = 0;

    for (size_t i = 0; i < selection->count; i++)
        count += selection->items[i]->app == app;
    return count == app_count(app);
}

/* False: refused. */
static bool may_rename(const struct ask *ask, const struct selection *selection, const char *name)
{
    const struct app *app = selection->items[0]->app;

    for (size_t i = 1; i < selection->count; i++) {
        if (selection->items[i]->app == app)
            continue;
        ask_refuse(ask, "one app at a time can get the name \"%s\"", name);
        return false;
    }
    if (strcmp(app->name, name) != 0 && app_find(ask->apps, name) != NULL)
        ask_refuse(ask, "app \"%s\" is there already", name);
    else if (strcmp(app->name, name) != 0 && app->source != NULL)
        ask_refuse(ask, "app \"%s\" has its name from %s: change it there", app->name, app->source);
    else
        return true;
    return false;
}

/* A name and a number of instances are of whole apps. False: refused. */
static bool may_change(const struct ask *ask, const struct selection *selection)
{
    json_t *changes = json_object_get(ask->request, "changes");
    const char *name = json_string_value(json_object_get(changes, "name"));
    bool whole = name != NULL || json_object_get(changes, "instances") != NULL;

    for (size_t i = 0; i < selection->count; i++) {
        const struct app *app = selection->items[i]->app;

        if (!whole || covers_app(selection, app))
            continue;
        ask_refuse(ask, "a name and a number of instances are those of all of \"%s\": say its name",
                   app->name);
        return false;
    }
    return name == NULL || selection->count == 0 || may_rename(ask, selection, name);
}

static bool is_busy(const struct ask *ask, const struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        if (selection->items[i]->app->rollout == NULL)
            continue;
        ask_refuse(ask, "app \"%s\" is being changed: wait until that is done",
                   selection->items[i]->app->name);
        return true;
    }
    return false;
}

/* Of two or more instances one goes on while the other is replaced; one alone that can have its
 * successor beside it is replaced in the same way. */
static bool rolls(const struct selection *selection, const struct app *app, bool reload)
{
    return covers_app(selection, app) &&
           (app_count(app) > 1 || reload || spec_has_address(app->spec));
}

/* Whole apps roll; single instances are restarted. */
static void roll(const struct ask *ask, bool reload)
{
    struct selection selection;
    struct operation *operation = NULL;
    bool good;

    if (!select_targets(ask, &selection))
        return;
    good = !is_busy(ask, &selection) && may_change(ask, &selection);
    for (size_t i = 0; good && i < selection.count; i++)
        good = update_spec(ask, selection.items[i]->app);
    if (good)
        operation = operation_new(ask->apps, GOAL_RUNNING, ask->answer, ask->context);
    for (size_t i = 0; operation != NULL && i < selection.count; i++) {
        struct instance *instance = selection.items[i];
        struct app *app = instance->app;

        if (app->rollout != NULL)
            continue; /* begun with an instance before this one */
        if (rolls(&selection, app, reload)) {
            app_replace(operation, app, ask_parallel(ask));
        } else {
            operation_add(operation, instance);
            instance_event(instance, EVENT_RESTART);
        }
    }
    if (operation != NULL)
        fit_changed(ask, operation, &selection);
    if (operation != NULL)
        operation_begin(operation);
    else if (good)
        ask_refuse(ask, "no memory");
    selection_free(&selection);
}

/* What was there already is started with what is said of it now. False: refused. */
static bool change_selected(struct ask *ask)
{
    const char *name = json_string_value(
        json_object_get(json_object_get(ask->request, "changes"), "name"));
    struct selection selection;
    bool good;

    if (!select_to_end(ask, &selection))
        return false;
    good = may_change(ask, &selection);
    for (size_t i = 0; good && i < selection.count; i++)
        good = update_spec(ask, selection.items[i]->app);
    selection_free(&selection);
    if (good && name != NULL)
        json_object_set_new(ask->request, "target", json_string(name));
    return good;
}

static void run_start(struct ask *ask)
{
    json_t *list = json_object_get(ask->request, "apps");

    if (ask->apps->stopping)
        ask_refuse(ask, "shutting down");
    else if (json_is_array(list))
        start_specs(ask, list);
    else if (change_selected(ask))
        act(ask, GOAL_RUNNING, EVENT_RESTART);
}

static void run_stop(struct ask *ask)
{
    act(ask, GOAL_STOPPED, EVENT_STOP);
}

static void run_restart(struct ask *ask)
{
    roll(ask, false);
}

static void run_reload(struct ask *ask)
{
    roll(ask, true);
}

static void run_delete(struct ask *ask)
{
    struct selection selection;
    struct operation *operation;

    if (!select_to_end(ask, &selection))
        return;
    operation = operation_new(ask->apps, GOAL_GONE, ask->answer, ask->context);
    for (size_t i = 0; operation != NULL && i < selection.count; i++)
        operation_add(operation, selection.items[i]);
    for (size_t i = 0; operation != NULL && i < selection.count; i++)
        app_remove(selection.items[i]);
    selection_free(&selection);
    if (operation != NULL)
        operation_begin(operation);
    else
        ask_refuse(ask, "no memory");
}

/* ---- scale */

static void run_scale(struct ask *ask)
{
    const char *target = ask_text(ask, "target");
    const char *text = ask_text(ask, "count");
    struct app *app = target == NULL ? NULL : app_find(ask->apps, target);
    struct operation *operation;
    char *end;
    long count = text == NULL ? 0 : strtol(text, &end, 10);

    if (app == NULL) {
        refuse_unknown(ask, target == NULL ? "" : target);
        return;
    }
    if (text == NULL || end == text || *end != '\0') {
        ask_refuse(ask, "\"%s\" needs a number: 4, +1, -1", target);
        return;
    }
    if (text[0] == '+' || text[0] == '-')
        count += app_living(app);
    if (count < 1 || count > 1000 || app->rollout != NULL) {
        ask_refuse(ask,
                   app->rollout != NULL ? "app \"%s\" is being changed: wait until that is done"
                                        : "app \"%s\" can have 1 to 1000 instances",
                   target);
        return;
    }
    operation = operation_new(ask->apps, GOAL_RUNNING, ask->answer, ask->context);
    if (operation == NULL) {
        ask_refuse(ask, "no memory");
        return;
    }
    app_resize(operation, app, (int)count);
    operation_begin(operation);
}

/* ---- asking and small things */

static void run_list(struct ask *ask)
{
    const char *target = ask_text(ask, "target");
    struct selection selection;
    json_t *result;

    apps_sample(ask->apps);
    if (target == NULL) {
        result = report_all(ask->apps);
    } else {
        if (!select_targets(ask, &selection))
            return;
        result = json_array();
        for (size_t i = 0; i < selection.count; i++)
            json_array_append_new(result, report_instance(selection.items[i], true));
        selection_free(&selection);
    }
    ask->answer(ask->context, true, result);
    json_decref(result);
}

static int signal_number(const char *name)
{
    char *end;
    long number = strtol(name, &end, 10);

    if (end != name && *end == '\0')
        return number > 0 && number < NSIG ? (int)number : 0;
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; i < NSIG; i++) {
        if (sigabbrev_np(i) != NULL && strcmp(sigabbrev_np(i), name) == 0)
            return i;
    }
    return 0;
}

static void each_selected(struct ask *ask, void (*fn)(struct instance *, void *), void *data)
{
    struct selection selection;

    if (!select_targets(ask, &selection))
        return;
    for (size_t i = 0; i < selection.count; i++)
        fn(selection.items[i], data);
    selection_free(&selection);
    ask->answer(ask->context, true, NULL);
}

static void signal_one(struct instance *instance, void *data)
{
    if (instance->pid > 0)
        kill(instance->pid, *(int *)data);
}

static void run_signal(struct ask *ask)
{
    const char *name = ask_text(ask, "signal");
    int number = name == NULL ? 0 : signal_number(name);

    if (number == 0)
        ask_refuse(ask, "there is no signal \"%s\"", name == NULL ? "" : name);
    else
        each_selected(ask, signal_one, &number);
}

static void reset_one(struct instance *instance, void *data)
{
    (void)data;
    instance->restarts = 0;
    instance->unstable = 0;
    instance->crash_level = 0;
    instance->backoff_ms = 0;
}

static void run_reset(struct ask *ask)
{
    each_selected(ask, reset_one, NULL);
}

static void flush_one(struct instance *instance, void *data)
{
    (void)data;
    for (int errors = 0; errors <= 1; errors++) {
        char *path = log_path(instance, errors == 1);

        if (path != NULL && strcmp(path, "/dev/null") != 0)
            sink_flush(&instance->app->apps->sinks, path);
        free(path);
    }
}

static void run_flush(struct ask *ask)
{
    each_selected(ask, flush_one, NULL);
}

static void run_reload_logs(struct ask *ask)
{
    apps_reopen_logs(ask->apps);
    ask->answer(ask->context, true, NULL);
}

static void run_save(struct ask *ask)
{
    struct diag diag;

    diag_init(&diag);
    if (list_empty(&ask->apps->apps) && !ask_flag(ask, "force"))
        ask_refuse(ask, "there are no apps to save; --force saves the empty list");
    else if (state_save(ask->apps, &diag))
        ask->answer(ask->context, true, NULL);
    else
        ask_refuse(ask, "%s", diag.first == NULL ? "no memory" : diag.first->message);
    diag_fini(&diag);
}

static void run_forget(struct ask *ask)
{
    if (state_forget(ask->apps))
        ask->answer(ask->context, true, NULL);
    else
        ask_refuse(ask, "cannot remove the saved list: %s", strerror(errno));
}

static void resurrect_one(const struct ask *ask, struct operation *operation, json_t *entry)
{
    json_t *source = json_deep_copy(json_object_get(entry, "spec"));
    const json_t *instances = json_object_get(source, "instances");
    const char *text = json_string_value(instances);
    struct app_spec *spec = NULL;
    struct app *app = NULL;
    struct diag diag;

    diag_init(&diag);
    if (source != NULL && json_is_integer(json_object_get(entry, "count")) && instances != NULL &&
        (text == NULL || strstr(text, "..") == NULL))
        json_object_set(source, "instances", json_object_get(entry, "count"));
    if (source != NULL && json_is_true(json_object_get(entry, "stopped")))
        json_object_set_new(source, "autostart", json_false());
    spec = spec_new(source, NULL, json_object_get(ask->request, "inherited"), &diag);
    if (spec != NULL && app_find(ask->apps, spec->name) == NULL)
        app = app_start_new(ask->apps, operation, spec);
    if (app != NULL && json_is_true(json_object_get(entry, "stopped")))
        app->idle = false; /* as somebody stopped it: no request may wake it */
    spec_unref(spec);
    json_decref(source);
    diag_fini(&diag);
}

static void run_resurrect(struct ask *ask)
{
    struct operation *operation = NULL;
    struct diag diag;
    json_t *list;

    diag_init(&diag);
    list = state_load(ask->apps, &diag);
    if (list != NULL)
        operation = operation_new(ask->apps, GOAL_RUNNING, ask->answer, ask->context);
    if (operation == NULL)
        ask_refuse(ask, "%s", diag.first == NULL ? "no memory" : diag.first->message);
    for (size_t i = 0; operation != NULL && i < json_array_size(list); i++)
        resurrect_one(ask, operation, json_array_get(list, i));
    if (operation != NULL)
        operation_begin(operation);
    json_decref(list);
    diag_fini(&diag);
}

/* A line of input, or a message on the channel. */
struct sending {
    struct slice text;
    bool message;
    const struct instance *failed; /* the first one that did not take it; NULL: none */
    const char *why;
};

static void send_one(struct instance *instance, struct sending *sending)
{
    const char *why;

    if (!sending->message)
        why = input_send(instance, sending->text);
    else
        why = channel_send_text(&instance->channel, sending->text.data)
                  ? NULL
                  : "has no channel for messages, or does not read it";
    if (why == NULL || sending->failed != NULL)
        return;
    sending->failed = instance;
    sending->why = why;
}

static void send_to_all(const struct ask *ask, struct sending *sending)
{
    struct selection selection;

    if (!select_targets(ask, &selection))
        return;
    for (size_t i = 0; i < selection.count; i++)
        send_one(selection.items[i], sending);
    if (sending->failed == NULL)
        ask->answer(ask->context, true, NULL);
    else
        ask_refuse(ask, "app %s (%d) %s", sending->failed->app->name, sending->failed->id,
                   sending->why);
    selection_free(&selection);
}

static void run_send(struct ask *ask)
{
    const char *text = ask_text(ask, "text");
    struct sending sending = {.text = slice_of(text), .message = ask_flag(ask, "message")};

    if (sending.message && (text == NULL || strpbrk(text, "\"\\\n") != NULL || strlen(text) > 200))
        ask_refuse(ask, "a message has up to 200 characters, without quotes");
    else if (text == NULL || sending.text.len == 0 || sending.text.len > INPUT_BYTES_MAX)
        ask_refuse(ask, "a line has up to %d bytes, its end included", INPUT_BYTES_MAX);
    else
        send_to_all(ask, &sending);
}

static void run_ping(struct ask *ask)
{
    json_t *result = json_pack("{s:i, s:s}", "pid", (int)getpid(), "home", ask->apps->home);

    ask->answer(ask->context, true, result);
    json_decref(result);
}

static const struct {
    const char *name;
    void (*run)(struct ask *ask);
} commands[] = {
    {"start", run_start},   {"stop", run_stop},           {"restart", run_restart},
    {"reload", run_reload}, {"delete", run_delete},       {"scale", run_scale},
    {"apply", run_apply},   {"list", run_list},           {"signal", run_signal},
    {"reset", run_reset},   {"flush", run_flush},         {"reload-logs", run_reload_logs},
    {"save", run_save},     {"resurrect", run_resurrect}, {"send", run_send},
    {"ping", run_ping},     {"forget", run_forget},
};

bool apps_ask(struct apps *apps, json_t *request, apps_answer_fn *answer, void *context)
{
    struct ask ask = {.apps = apps, .request = request, .answer = answer, .context = context};
    const char *name = ask_text(&ask, "command");

    for (size_t i = 0; name != NULL && i < COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        commands[i].run(&ask);
        return true;
    }
    return false;
}
