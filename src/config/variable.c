/* The registry of variables, and their values in a subject.
 * Runs in: load: any; evaluation: loop thread. */
#include "config/variable.h"

#include "base/arena.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "config/nearest_internal.h"

#include <assert.h>
#include <limits.h>

enum {
    NO_SLOT = UINT_MAX,
    EVALUATION_DEPTH_MAX = 100, /* variables inside variables: a circle of maps would not end */
};

struct family {
    struct family *next;
    struct variable variable;
};

struct variables {
    struct arena *arena; /* borrowed */
    struct map by_name;  /* nocase, as nginx; -> struct variable, in place for good */
    struct family *families;
    const struct variable **by_slot; /* arena */
    unsigned slot_count;
    unsigned slot_capacity;
    void (*on_pending)(void *data, const struct variable *variable);
    void *on_pending_data;
    void (*on_unset)(struct subject *subject, const struct variable *variable);
};

struct variables *variables_new(struct arena *arena)
{
    struct variables *variables = arena_zalloc(arena, sizeof *variables);

    if (variables == NULL)
        return NULL;
    variables->arena = arena;
    map_init(&variables->by_name, arena, true);
    return variables;
}

static struct slice copy_lower(struct arena *arena, struct slice name)
{
    struct slice copy = arena_copy(arena, name);

    for (size_t i = 0; copy.data != NULL && i < copy.len; i++)
        ((char *)(uintptr_t)copy.data)[i] = ascii_lower(copy.data[i]);
    return copy;
}

static struct variable *insert(struct variables *variables, const struct variable *source,
                               struct slice name)
{
    struct variable *copy = arena_alloc(variables->arena, sizeof *copy);
    struct slice lower = copy_lower(variables->arena, name);

    if (copy == NULL || lower.data == NULL)
        return NULL;
    *copy = *source;
    copy->name = lower;
    copy->slot = NO_SLOT;
    return map_put(&variables->by_name, lower, copy, NULL) ? copy : NULL;
}

static bool add_family(struct variables *variables, const struct variable *variable)
{
    struct family *family = arena_alloc(variables->arena, sizeof *family);

    if (family == NULL)
        return false;
    *family = (struct family){.next = variables->families, .variable = *variable};
    family->variable.name = copy_lower(variables->arena, variable->name);
    if (family->variable.name.data == NULL)
        return false;
    variables->families = family;
    return true;
}

bool variables_add(struct variables *variables, const struct variable *variable)
{
    struct variable *known;

    if (variable->flags & VARIABLE_PREFIX)
        return add_family(variables, variable);
    known = map_get(&variables->by_name, variable->name);
    if (known == NULL)
        return insert(variables, variable, variable->name) != NULL;
    if (!(known->flags & (VARIABLE_CHANGEABLE | VARIABLE_DECLARED | VARIABLE_PENDING)))
        return false;
    known->get = variable->get;
    known->assign = variable->assign;
    known->data = variable->data;
    known->flags = variable->flags;
    return true;
}

bool variables_add_table(struct variables *variables, const struct variable *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!variables_add(variables, &table[i]))
            return false;
    }
    return true;
}

/* A value needs room only if somebody asks for it. */
static bool give_slot(struct variables *variables, struct variable *variable)
{
    if (variable->slot != NO_SLOT)
        return true;
    if (variables->slot_count == variables->slot_capacity) {
        unsigned capacity = variables->slot_capacity * 2 + 32;
        const struct variable **grown = arena_alloc(variables->arena,
                                                    capacity * sizeof(const struct variable *));

        if (grown == NULL)
            return false;
        for (unsigned i = 0; i < variables->slot_count; i++)
            grown[i] = variables->by_slot[i];
        variables->by_slot = grown;
        variables->slot_capacity = capacity;
    }
    variable->slot = variables->slot_count++;
    variables->by_slot[variable->slot] = variable;
    return true;
}

/* The family with the longest prefix, as in nginx: $upstream_http_x is not $upstream_... . */
static struct variable *make_member(struct variables *variables, struct slice name)
{
    const struct family *best = NULL;
    struct variable *member;

    for (const struct family *it = variables->families; it != NULL; it = it->next) {
        struct slice prefix = it->variable.name;

        if (name.len > prefix.len && slice_eq_nocase(slice_head(name, prefix.len), prefix) &&
            (best == NULL || prefix.len > best->variable.name.len))
            best = it;
    }
    if (best == NULL)
        return NULL;
    member = insert(variables, &best->variable, name);
    if (member != NULL)
        member->flags = (member->flags & ~(unsigned)VARIABLE_PREFIX) | VARIABLE_MEMBER;
    return member;
}

static struct variable *make_pending(struct variables *variables, struct slice name)
{
    static const struct variable pending = {.flags = VARIABLE_PENDING};

    return variables->on_pending == NULL ? NULL : insert(variables, &pending, name);
}

const struct variable *variables_find(struct variables *variables, struct slice name)
{
    struct variable *variable = map_get(&variables->by_name, name);

    if (variable == NULL)
        variable = make_member(variables, name);
    if (variable == NULL)
        variable = make_pending(variables, name);
    if (variable == NULL || !give_slot(variables, variable))
        return NULL;
    if ((variable->flags & VARIABLE_PENDING) && variables->on_pending != NULL)
        variables->on_pending(variables->on_pending_data, variable);
    return variable;
}

static const struct variable *declare(struct variables *variables, struct slice name,
                                      unsigned flags)
{
    static const struct variable declared = {.flags = VARIABLE_CHANGEABLE};
    struct variable *variable = map_get(&variables->by_name, name);

    if (variable == NULL)
        variable = insert(variables, &declared, name);
    if (variable == NULL || !give_slot(variables, variable))
        return NULL;
    if (variable->flags & (VARIABLE_PENDING | VARIABLE_MEMBER)) {
        variable->flags = VARIABLE_CHANGEABLE;
        variable->get = NULL;
    }
    if (!(variable->flags & VARIABLE_CHANGEABLE) && variable->assign == NULL)
        return NULL;
    if (variable->get == NULL) {
        bool was_set = (variable->flags & VARIABLE_DECLARED) &&
                       !(variable->flags & VARIABLE_CAPTURE);

        variable->flags |= VARIABLE_DECLARED | flags;
        if (was_set || flags == 0)
            variable->flags &= ~(unsigned)VARIABLE_CAPTURE;
    }
    return variable;
}

const struct variable *variables_declare(struct variables *variables, struct slice name)
{
    return declare(variables, name, 0);
}

const struct variable *variables_declare_capture(struct variables *variables, struct slice name)
{
    return declare(variables, name, VARIABLE_CAPTURE);
}

void variables_expect(struct variables *variables,
                      void (*on_pending)(void *data, const struct variable *variable), void *data)
{
    variables->on_pending = on_pending;
    variables->on_pending_data = data;
}

bool variables_known(const struct variable *variable)
{
    return !(variable->flags & VARIABLE_PENDING);
}

void variables_on_unset(struct variables *variables,
                        void (*fn)(struct subject *subject, const struct variable *variable))
{
    variables->on_unset = fn;
}

size_t variables_slot_count(const struct variables *variables)
{
    return variables->slot_count;
}

const char *variables_nearest(const struct variables *variables, struct slice name)
{
    size_t position = 0;
    struct nearest nearest;
    struct map_entry *entry;

    nearest_init(&nearest, name);
    while ((entry = map_next(&variables->by_name, &position)) != NULL) {
        const struct variable *variable = entry->value;

        if (variables_known(variable))
            nearest_try(&nearest, variable->name.data);
    }
    return nearest.best;
}

/* NULL: no memory. */
static struct value *slot_of(struct subject *subject, const struct variable *variable)
{
    unsigned count = subject->variables->slot_count;

    assert(variable->slot < count);
    if (subject->values == NULL)
        subject->values = arena_zalloc(subject->arena, count * sizeof *subject->values);
    return subject->values == NULL ? NULL : &subject->values[variable->slot];
}

static bool compute(struct subject *subject, const struct variable *variable, struct slice *text)
{
    static _Thread_local unsigned depth;
    bool found = false;

    if (variable->get == NULL) {
        if ((variable->flags & (VARIABLE_DECLARED | VARIABLE_CAPTURE)) == VARIABLE_DECLARED &&
            subject->variables->on_unset != NULL)
            subject->variables->on_unset(subject, variable);
        return false;
    }
    if (depth >= EVALUATION_DEPTH_MAX) {
        log_about(subject->log, LOG_LEVEL_ERROR, 0, "cycle while evaluating variable \"%.*s\"",
                  SLICE_ARG(variable->name));
        return false;
    }
    depth++;
    found = variable->get(subject, variable, text);
    depth--;
    return found;
}

bool variable_value(struct subject *subject, const struct variable *variable, struct slice *text)
{
    static const struct slice empty = SLICE("");
    struct value *value = slot_of(subject, variable);
    bool found;

    *text = empty;
    if (value == NULL)
        return false;
    if (value->state != VALUE_UNKNOWN) {
        *text = value->text;
        return value->state == VALUE_SET;
    }
    found = compute(subject, variable, text);
    if (!found)
        *text = empty;
    if (!(variable->flags & VARIABLE_VOLATILE))
        *value = (struct value){.text = *text, .state = found ? VALUE_SET : VALUE_MISSING};
    return found;
}

bool variable_assign(struct subject *subject, const struct variable *variable, struct slice text)
{
    struct value *value;

    if (variable->assign != NULL)
        return variable->assign(subject, variable, text);
    value = slot_of(subject, variable);
    if (value == NULL)
        return false;
    *value = (struct value){.text = text, .state = VALUE_SET};
    return true;
}

void subject_flush_volatile(struct subject *subject)
{
    const struct variables *variables = subject->variables;

    if (subject->values == NULL)
        return;
    for (unsigned i = 0; i < variables->slot_count; i++) {
        if ((variables->by_slot[i]->flags & VARIABLE_LOCAL) && variables->by_slot[i]->get != NULL)
            subject->values[i].state = VALUE_UNKNOWN;
    }
}
