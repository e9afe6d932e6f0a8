/* Something asked of several instances, answered when all of them have come to rest.
 * Runs in: master's loop. */
#include "apps/apps_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct target {
    struct instance *instance; /* NULL: gone */
    enum goal goal;
};

struct operation {
    struct list link;
    struct apps *apps;
    enum goal goal;
    apps_answer_fn *answer;
    void *context;
    struct target *targets; /* owned */
    size_t count, capacity;
    const struct rollout **waiting; /* owned: for these */
    size_t rollouts;
    json_t *result; /* owned */
    char *failure;  /* owned: why a rollout failed */
    bool begun;
};

struct operation *operation_new(struct apps *apps, enum goal goal, apps_answer_fn *answer,
                                void *context)
{
    struct operation *operation = calloc(1, sizeof *operation);

    if (operation == NULL)
        return NULL;
    *operation = (struct operation){
        .apps = apps, .goal = goal, .answer = answer, .context = context};
    list_push_back(&apps->operations, &operation->link);
    return operation;
}

static bool add(struct operation *operation, struct instance *instance, enum goal goal)
{
    if (operation->count == operation->capacity) {
        size_t capacity = operation->capacity == 0 ? 8 : operation->capacity * 2;
        struct target *targets = realloc(operation->targets, capacity * sizeof *targets);

        if (targets == NULL)
            return false;
        operation->targets = targets;
        operation->capacity = capacity;
    }
    operation->targets[operation->count++] = (struct target){.instance = instance, .goal = goal};
    return true;
}

bool operation_add(struct operation *operation, struct instance *instance)
{
    return add(operation, instance, operation->goal);
}

bool operation_add_leaving(struct operation *operation, struct instance *instance)
{
    return add(operation, instance, GOAL_GONE);
}

bool operation_add_rollout(struct operation *operation, struct rollout *rollout)
{
    const struct rollout **waiting = realloc(operation->waiting, (operation->rollouts + 1) *
                                                                     sizeof *operation->waiting);

    if (waiting == NULL)
        return false;
    operation->waiting = waiting;
    waiting[operation->rollouts++] = rollout;
    return true;
}

/* The first reasons are told, as many as there is memory for. */
void operation_fail(struct operation *operation, const char *why)
{
    char *text = NULL;

    if (asprintf(&text, "%s%s", operation->failure == NULL ? "" : operation->failure, why) < 0)
        return;
    free(operation->failure);
    operation->failure = text;
}

void operation_result(struct operation *operation, json_t *result)
{
    json_decref(operation->result);
    operation->result = result;
}

static bool is_at_rest(const struct target *target)
{
    const struct instance *instance = target->instance;

    if (instance == NULL)
        return true;
    if (target->goal == GOAL_GONE || instance->state == STATE_STOPPING)
        return false;
    if (target->goal == GOAL_STOPPED)
        return instance->state == STATE_STOPPED || instance->state == STATE_ERRORED;
    return instance->state != STATE_STARTING;
}

static bool has_failed(const struct target *target)
{
    const struct instance *instance = target->instance;

    if (target->goal != GOAL_RUNNING)
        return false;
    if (instance == NULL || instance->state == STATE_ERRORED || instance->state == STATE_WAITING)
        return true;
    return instance->state == STATE_STOPPED && instance->exit_code != 0;
}

static void print_indented(FILE *out, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, "\n");

        fprintf(out, "    %.*s\n", (int)len, at);
        at += len + (at[len] == '\n');
    }
}

static void print_failure(FILE *out, const struct target *target)
{
    struct instance *instance = target->instance;
    char *tail;

    if (instance == NULL) {
        fputs("an instance was deleted meanwhile\n", out);
        return;
    }
    fprintf(out, "%s (%d) is %s: %s\n", instance->app->name, instance->id,
            instance_state_name(instance->state),
            instance->reason[0] == '\0' ? "it was stopped" : instance->reason);
    tail = report_tail(instance, true);
    if (tail != NULL)
        print_indented(out, tail);
    free(tail);
}

/* NULL: all went well. */
static char *failures(const struct operation *operation)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = NULL;

    for (size_t i = 0; i < operation->count; i++) {
        if (!has_failed(&operation->targets[i]))
            continue;
        if (out == NULL)
            out = open_memstream(&text, &len);
        if (out != NULL)
            print_failure(out, &operation->targets[i]);
    }
    if (operation->failure != NULL && out == NULL)
        return strdup(operation->failure);
    if (out != NULL && operation->failure != NULL)
        fputs(operation->failure, out);
    if (out != NULL)
        fclose(out);
    return text;
}

static void operation_finish(struct operation *operation)
{
    char *text = failures(operation);
    json_t *result = operation->result;

    list_remove(&operation->link);
    state_autosave(operation->apps);
    if (text != NULL)
        result = json_pack("{s:s}", "message", text);
    operation->answer(operation->context, text == NULL, result);
    if (text != NULL)
        json_decref(result);
    json_decref(operation->result);
    free(text);
    free(operation->targets);
    free(operation->waiting);
    free(operation->failure);
    free(operation);
}

static bool is_done(const struct operation *operation)
{
    if (!operation->begun || operation->rollouts > 0)
        return false;
    for (size_t i = 0; i < operation->count; i++) {
        if (!is_at_rest(&operation->targets[i]))
            return false;
    }
    return true;
}

/* An answer may lead to anything: the list is looked at from its beginning then. */
void operations_check(struct apps *apps)
{
    struct list *it = apps->operations.next;

    while (it != &apps->operations) {
        struct operation *operation = container_of(it, struct operation, link);

        it = it->next;
        if (!is_done(operation))
            continue;
        operation_finish(operation);
        it = apps->operations.next;
    }
}

void operation_begin(struct operation *operation)
{
    operation->begun = true;
    operations_check(operation->apps);
}

void operations_forget(struct apps *apps, const struct instance *instance)
{
    list_each(it, keep, &apps->operations)
    {
        struct operation *operation = container_of(it, struct operation, link);

        for (size_t i = 0; i < operation->count; i++) {
            if (operation->targets[i].instance == instance)
                operation->targets[i].instance = NULL;
        }
    }
}

void operations_rollout_ended(struct apps *apps, const struct rollout *rollout, const char *why)
{
    list_each(it, keep, &apps->operations)
    {
        struct operation *operation = container_of(it, struct operation, link);

        for (size_t i = 0; i < operation->rollouts; i++) {
            if (operation->waiting[i] != rollout)
                continue;
            operation->waiting[i--] = operation->waiting[--operation->rollouts];
            if (why != NULL)
                operation_fail(operation, why);
        }
    }
}
