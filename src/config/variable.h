/* Variables and texts that contain them ("templates"), compiled at load.
 *
 * A registry belongs to a config; which variables exist is known when it is loaded, and "unknown
 * variable" is an error then. A subject is what a variable speaks about: an exchange, or a stream
 * connection. Values are computed when asked for, and remembered in the subject unless the variable
 * says otherwise. Runs in: load: any; evaluation: loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct address;
struct arena;
struct diag;
struct log_subject;
struct variables;

enum value_state {
    VALUE_UNKNOWN, /* not asked yet */
    VALUE_SET,
    VALUE_MISSING, /* there is no such thing here ("not found"): reads as empty, logs as "-" */
};

struct value {
    struct slice text; /* arena of the subject, or longer lived */
    enum value_state state;
};

enum { SUBJECT_CAPTURES_MAX = 10 }; /* $0 .. $9 */

/* First member of struct exchange and of a stream connection. */
struct subject {
    struct arena *arena;               /* borrowed: lives as long as the subject */
    const struct variables *variables; /* borrowed: of the subject's snapshot */
    struct value *values; /* arena: [variables_slot_count], NULL until the first is asked for */
    const struct address *client;  /* borrowed: who asks (after realip) */
    const struct log_subject *log; /* borrowed */
    struct slice
        captures[SUBJECT_CAPTURES_MAX]; /* of the last regex that matched; [0] the whole match */
    unsigned capture_count;
    unsigned undecided; /* how many values could not be had, because a regex gave up */
};

enum variable_flags {
    VARIABLE_VOLATILE = 1 << 0, /* computed at every use, never remembered (nginx: nocacheable) */
    VARIABLE_CHANGEABLE =
        1 << 1, /* `set`, `map`, `auth_request_set` ... may define the same name again */
    VARIABLE_PREFIX = 1 << 2, /* a family: name "http_" stands for $http_NAME */
    VARIABLE_LOCAL = 1 << 3,  /* remembered until the URI or location changes */
    /* Set by the registry: */
    VARIABLE_DECLARED = 1 << 4, /* by variables_declare(): only assignment gives it a value */
    VARIABLE_CAPTURE = 1 << 5,  /* declared by a named capture: unassigned is nothing to warn of */
    VARIABLE_PENDING = 1 << 6,  /* asked for, and expected to be defined before loading ends */
    VARIABLE_MEMBER = 1 << 7,   /* of a family: `set` may make it a variable of its own */
};

struct variable {
    struct slice name; /* without the $; of a family: the prefix */
    /* True: `*text` is the value, false: there is none. For a family `v->name` is the full name
     * asked for. */
    bool (*get)(struct subject *subject, const struct variable *v, struct slice *text);
    /* Assignment by `set`: NULL for read-only ones that keep the value in their slot. */
    bool (*assign)(struct subject *subject, const struct variable *v, struct slice text);
    uintptr_t data; /* for get: an offset, a header id, a pointer to a map... */
    unsigned flags;
    unsigned slot; /* filled by the registry: index into subject->values */
};

struct variables *variables_new(struct arena *arena);

/* Adds a copy. False: the name exists already and is not changeable (the caller says so with its
 * place), or no memory. */
bool variables_add(struct variables *variables, const struct variable *variable);
bool variables_add_table(struct variables *variables, const struct variable *table, size_t count);

/* The variable called `name` (creates the member of a family), or NULL: unknown. The pointer stays
 * valid as long as the registry. */
const struct variable *variables_find(struct variables *variables, struct slice name);

/* Finds or declares a variable that `set`, a named capture or auth_request_set will assign:
 * unassigned it reads as missing. NULL: read-only name, or no memory. */
const struct variable *variables_declare(struct variables *variables, struct slice name);

/* The same for a named capture of a regex: unassigned it is no cause for a warning. */
const struct variable *variables_declare_capture(struct variables *variables, struct slice name);

/* A config may use a variable above the `set`, `map` or capture that defines it. So while a config
 * is loaded, an unknown name becomes a pending variable, `on_pending` hears of it, and the loader
 * reports at the end those that variables_known() still denies. NULL: unknown names are refused at
 * once again. */
void variables_expect(struct variables *variables,
                      void (*on_pending)(void *data, const struct variable *variable), void *data);
bool variables_known(const struct variable *variable);

/* Called (in the loop thread) when a variable of variables_declare() is read before it was
 * assigned: for `uninitialized_variable_warn`. NULL: nobody. */
void variables_on_unset(struct variables *variables,
                        void (*fn)(struct subject *subject, const struct variable *variable));

/* Number of slots a subject needs. Fixed once loading has ended. */
size_t variables_slot_count(const struct variables *variables);

/* Nearest known name for "did you mean", or NULL. */
const char *variables_nearest(const struct variables *variables, struct slice name);

/* The value now. `*text` is empty when missing. False: missing (or no memory). */
bool variable_value(struct subject *subject, const struct variable *variable, struct slice *text);

/* Remembers `text` (which must live as long as the subject) as the variable's value. */
bool variable_assign(struct subject *subject, const struct variable *variable, struct slice text);

/* Forgets all remembered values that depend on the URI or location: an internal redirect keeps
 * `set` variables, as nginx does. */
void subject_flush_volatile(struct subject *subject);

/* A text with variables: "http://$host$uri", "${name}x", "\$" is not an escape (nginx has none). */
struct template
{
    struct slice source; /* as written */
    bool constant;       /* no variables: `source` is the value */
    unsigned part_count;
    const struct template_part *parts; /* arena of the config */
};

/* Compiles; NULL: unknown variable or syntax, message and (0-based) offset within `text` in
 * `*error` (arena) for the caller to place. */
struct template *template_compile(struct variables *variables, struct arena *arena,
                                  struct slice text, const char **error);

/* The text for this subject: constant, one variable's own value, or a new piece of the subject's
 * arena (which a NUL byte that is not counted follows). False: no memory, or one of the values
 * could not be had: nothing may be decided by what is there instead. */
bool template_eval(const struct template *template, struct subject *subject, struct slice *text);

/* Is it "0" without evaluation? For what is off by default. */
static inline bool template_is_zero(const struct template *template)
{
    return template->constant && template->source.len == 1 && template->source.data[0] == '0';
}

/* template_eval(), and "" or "0" is false: the rule of `if`, `access_log if=`, `proxy_no_cache`. */
bool template_true(const struct template *template, struct subject *subject);
