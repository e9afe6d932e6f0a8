/* Loads a tree into settings by the features' tables. Runs in: any process, at load time; one
 * thread. */
#pragma once

#include "config/directive.h"

#include <stdio.h>

struct arena;
struct config_files;
struct diag;
struct variables;

struct loader {
    struct arena *arena;   /* borrowed: the snapshot's; what the config keeps is allocated here */
    struct arena *scratch; /* owned: dropped when loading ends */
    struct diag *diag;     /* borrowed */
    struct tree *tree;     /* borrowed */
    const struct conf_feature *const
        *features; /* borrowed, [feature_count]; the position is the feature's index */
    size_t feature_count;
    struct variables *
        variables; /* borrowed: http's; stream has its own loader.variables while its block loads */
    const char *prefix; /* -p: for paths of logs, temp files */
    const char
        *conf_prefix; /* folder of the main file: for includes, certificates, password files */
    void *context;    /* the snapshot being built: http and stream find theirs through it */
    bool strict;      /* --strict: what is a warning by leniency becomes an error */
    struct loader_private *inner;
};

/* Fills `scratch`, `features` and `inner`; the caller has set the rest, or does before
 * loader_run(). Which feature has index `i` is the same in every process and load: the list is
 * fixed. */
bool loader_init(struct loader *loader, const struct conf_feature *const *features, size_t count);
void loader_fini(struct loader *loader);

/* Makes the root scope (defaults of every feature; root->block is the caller's) and loads the top
 * level. Errors are in loader->diag. Variables may be used above the line that defines them: what
 * is still unknown at the end is reported at each use. */
void loader_run(struct loader *loader, struct scope *root);

/* Loads the children of `call->node` in a new scope below `call->scope`. `block` becomes
 * scope->block. `child` is the caller's memory; its settings live in loader->arena (or are the
 * parent's) and are final when this returns. Directives of `context` are looked up; unknown ones,
 * wrong contexts and argument counts are reported. False: there were errors inside. */
bool loader_block(struct conf_call *call, enum context context, void *block, struct scope *child);

/* What equal directives of a config share instead of making it again, by a text that says all of
 * it, beginning with the directive's name. NULL: nobody has made it yet, or it cannot be shared. */
void *loader_shared(struct loader *loader, struct slice key);

/* Offers `thing`, just made for the directive being loaded, to those equal to it that follow. Not
 * done without memory, nor if the directive uses a variable that is not defined yet: every such use
 * is to be reported. */
void loader_share(struct loader *loader, struct slice key, void *thing);

/* Paths relative to the prefix are made absolute, in loader->arena. `.data` NULL: no memory. */
struct slice loader_path(struct loader *loader, struct slice path);
struct slice loader_conf_path(struct loader *loader, struct slice path);

/* Was a directive of the feature loaded so far? */
bool loader_uses(const struct loader *loader, const struct conf_feature *feature);

/* Is there a directive of that name, wherever it may stand? */
bool loader_knows(const struct loader *loader, struct slice name);

/* The nearest name a user may have meant, or NULL. `names`: candidates. */
const char *nearest_name(struct slice word, const char *const *names, size_t count);

/* `pelayan help directive NAME`: prints the rows of that name with syntax, default, contexts and
 * sentences. False: no such directive (prints the nearest). NULL name: lists all. */
bool directive_help(const struct conf_feature *const *features, size_t count, const char *name,
                    FILE *out);
