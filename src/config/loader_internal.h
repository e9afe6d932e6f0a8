/* The loader's own memory, and what its files share. Runs in: any process, at load time. */
#pragma once

#include "base/map.h"
#include "config/loader.h"
#include "config/tree.h"

struct variable;

/* A row under its name. */
struct entry {
    struct entry *next; /* of the same name, in the order of the features */
    const struct directive *row;
    size_t feature; /* index */
    size_t bit;     /* in scope->given */
};

/* A use of a variable that nobody has defined yet. */
struct pending {
    struct pending *next;
    const struct variable *variable;
    const struct variables *variables;
    const struct node *node;
};

struct loader_private {
    struct map by_name; /* -> the first struct entry */
    size_t row_words;   /* uint64_t in scope->given */
    size_t feature_words;
    uint64_t *used;     /* bit per feature: one of its directives was loaded; scratch */
    size_t group_count; /* of an array of settings: up to the last feature that has some */
    /* [depth]: own and given bits of the scope open there, one after the other; scratch */
    uint64_t *bits[TREE_DEPTH_MAX + 2];
    size_t depth;
    const struct node *current; /* being loaded */
    struct map shared;          /* see loader_share() */
    struct map said;            /* names of settings that have no effect, once each */
    struct variables *watched;
    struct pending *pending;
    struct pending **last_pending;
};

/* Why no row fits: unknown, of a module that is not built in, or not allowed here. */
void report_no_row(struct loader *loader, const struct scope *scope, const struct node *node);
void report_form(struct loader *loader, const struct node *node); /* a block, or none, where not */
void report_duplicate(struct loader *loader, const struct scope *scope, const struct node *node);
void report_arguments(struct loader *loader, const struct node *node);
void report_unknown_variables(struct loader *loader);

/* Puts the messages into the order of the text: blocks are loaded after what stands below them. */
void report_sort(struct loader *loader);

/* "http, server, location" in the loader's scratch. */
struct slice context_names(struct arena *arena, unsigned contexts);

/* The module of nginx a directive belongs to, without "_module"; NULL: nginx has no such directive.
 * With `is_stream` the stream module's row is preferred, else any other's. */
const char *known_module(struct slice name, bool is_stream);

/* What to say of a directive that nginx had once, or that others' modules add; NULL: nothing. */
const char *known_elsewhere(struct slice name);

/* The module of nginx that has such a variable, of those not built in; NULL: none. */
const char *known_variable_module(struct slice name);

/* For a directive of a module that is not built in: the directive it is a mere setting of, whose
 * refusal is enough. NULL: it does something by itself. */
const char *known_idle(struct slice name, const char *module);
