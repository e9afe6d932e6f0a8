/* Directives are rows: name, where it may stand, what it takes, its default and its sentence.
 *
 * From a row come checking, inheritance, `pelayan help directive`, the manual and "did you mean".
 * This room knows no feature: tables are passed in.
 *
 * How a block is loaded (config/loader.c). Each feature has one struct of settings, which every
 * block sees through its `scope`: first its parent's struct itself, and as soon as a directive of
 * the feature stands in this block, a copy of it. So a block that overrides nothing costs nothing,
 * one that does costs what it overrides (struct settings), nothing is merged, and run-time code
 * never sees "unset". In a block the simple directives are
 * loaded first, then the blocks inside it, so that a setting that stands below a nested block is
 * inherited by it too. Runs in: any process, at load time. */
#pragma once

#include "base/list.h"
#include "base/slice.h"
#include "config/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct diag;
struct loader;
struct template;

/* Where a directive may stand: bits, so that a row can name several. */
enum context {
    CTX_MAIN = 1 << 0,
    CTX_EVENTS = 1 << 1,
    CTX_HTTP = 1 << 2,
    CTX_SERVER = 1 << 3,
    CTX_LOCATION = 1 << 4,
    CTX_SERVER_IF = 1 << 5,
    CTX_LOCATION_IF = 1 << 6,
    CTX_LIMIT_EXCEPT = 1 << 7,
    CTX_UPSTREAM = 1 << 8,
    CTX_STREAM = 1 << 9,
    CTX_STREAM_SERVER = 1 << 10,
    CTX_STREAM_UPSTREAM = 1 << 11,
    CTX_APPS = 1 << 12,
    CTX_APP = 1 << 13,
    CTX_ANYWHERE = 1 << 14, /* include-like: every block */
    CTX_HTTP_ALL = CTX_HTTP | CTX_SERVER |
                   CTX_LOCATION, /* nginx's usual "http, server, location" */
};

enum conf_kind {
    CONF_CUSTOM,   /* `set` does it all */
    CONF_FLAG,     /* on|off -> bool */
    CONF_INT,      /* -> int, int64_t: decimal with .min and .max */
    CONF_MSEC,     /* "500ms", "10s", "1h 30m" -> uint64_t ms */
    CONF_SEC,      /* the same -> uint64_t s; ms refused */
    CONF_BYTES,    /* "8k", "1m" (g too) -> size_t */
    CONF_TEXT,     /* -> struct slice */
    CONF_ENUM,     /* one of .words -> int */
    CONF_BITS,     /* one or more of .words -> unsigned */
    CONF_TEMPLATE, /* text with variables -> struct template * */
    CONF_BUFFERS,  /* "8 4k" -> struct conf_buffers */
    CONF_NOTHING,  /* accepted and without effect: .noop says why; a warning unless .quiet */
};

struct conf_buffers {
    int count;
    size_t bytes;
};

struct conf_field {
    enum conf_kind kind;
    size_t offset;
};

/* A row whose kind does not match its field does not compile. */
#define FIELD_(k, T, f, type)                                                                      \
    {                                                                                              \
        k, _Generic(((T *)0)->f, type : offsetof(T, f))                                            \
    }
#define FLAG(T, f) FIELD_(CONF_FLAG, T, f, bool)
#define INT(T, f) FIELD_(CONF_INT, T, f, int)
#define MSEC(T, f) FIELD_(CONF_MSEC, T, f, uint64_t)
#define SEC(T, f) FIELD_(CONF_SEC, T, f, uint64_t)
#define BYTES(T, f) FIELD_(CONF_BYTES, T, f, size_t)
#define TEXT(T, f) FIELD_(CONF_TEXT, T, f, struct slice)
#define ENUM(T, f) FIELD_(CONF_ENUM, T, f, int)
#define BITS(T, f) FIELD_(CONF_BITS, T, f, unsigned)
#define TEMPLATE(T, f) FIELD_(CONF_TEMPLATE, T, f, struct template *)
#define BUFFERS(T, f) FIELD_(CONF_BUFFERS, T, f, struct conf_buffers)
#define CUSTOM                                                                                     \
    {                                                                                              \
        CONF_CUSTOM, 0                                                                             \
    }
#define NOTHING                                                                                    \
    {                                                                                              \
        CONF_NOTHING, 0                                                                            \
    }

struct conf_word {
    const char *word; /* NULL ends the list */
    int value;
};

/* All features' settings of a block. Most blocks change those of one or two features, and a large
 * configuration has 100,000 such blocks: so the pointers stand in groups, and a block has copies of
 * its own only of the groups it changes. Features that are often set in small blocks share the
 * first group. */
enum { SETTINGS_GROUP = 8 };

struct settings_group {
    void *conf[SETTINGS_GROUP]; /* arena of the config */
};

struct settings {
    struct settings_group *group; /* read with settings_at() */
};

static inline void *settings_at(const struct settings *settings, size_t feature)
{
    return settings[feature / SETTINGS_GROUP].group->conf[feature % SETTINGS_GROUP];
}

/* What a block's directives write to. `own` and `given` are there only while the block is loaded.
 * `settings` may be replaced while the block's own directives are loaded: whoever keeps it reads it
 * after loader_block(), or in a block inside it. */
struct scope {
    struct scope *parent; /* NULL: the root */
    enum context context;
    struct settings *settings; /* arena of the config; shared with the parent until changed */
    uint64_t *own;             /* bit per feature: this scope has its own copy (loader's memory) */
    uint64_t *given;           /* bit per directive row: stands in this block (loader's memory) */
    const struct node *node;   /* the block's directive; NULL for the main level */
    void *block; /* what the block makes: struct http_server, http_location, upstream...; by context
                  */
};

/* One directive met in a file: what `set` gets. */
struct conf_call {
    struct loader *loader;
    const struct directive *directive;
    const struct node *node; /* words[0] is the name; children if it is a block */
    struct scope *scope;
    void
        *conf; /* the feature's settings in this scope, own copy: write here. NULL: a `nests` row */
    bool first; /* the first time this directive stands in this block: a list begins anew (it holds
                   the parent's) */
};

struct directive {
    const char *name;
    unsigned contexts; /* enum context bits */
    struct conf_field field;
    /* In the user's syntax, parsed by the user's parser; NULL: the zeroed field. Of a CUSTOM row
     * only if its feature has settings (conf_bytes); else, and of blocks and NOTHING, it is for the
     * manual. */
    const char *def;
    int64_t min, max; /* for INT, MSEC (ms), SEC, BYTES and the count of BUFFERS; both 0: 0 ..
                         INT_MAX or the type's largest */
    const struct conf_word *words;
    uint8_t args_min,
        args_max; /* CUSTOM and NOTHING: counted without the name; args_max 255: any number */
    bool block;   /* { } follows: `set` loads the children, with loader_block() or by itself */
    bool
        early; /* a block that is a setting (`types`): loaded in order with the simple directives */
    bool nests;      /* a block that only makes a scope inside (`server`, `location`, `if`):
                      * conf_call.conf is      NULL, so that thousands of such blocks copy nothing
                      * (conf_own()      copies if need be) */
    bool repeatable; /* may stand more than once in a block; else "is duplicate". CUSTOM and NOTHING
                      */
    bool quiet; /* NOTHING: without a warning (hash sizes and the like, which we size by ourselves)
                 */
    bool (*set)(struct conf_call *call); /* CUSTOM: false when it has reported an error */
    bool (*check)(struct conf_call
                      *call); /* after any other kind was stored: more than bounds; may be NULL */
    const char *noop;         /* NOTHING: why it does nothing here, and what to do instead */
    const char *doc;          /* one or more sentences; required */
    const char *example;      /* a line or block for the manual; NULL: made from name and default */
};

/* A feature's part in loading; http/feature.h has a larger struct with phases that begins with this
 * one. */
struct conf_feature {
    const char *name; /* "http_proxy": as in nginx's manual without "_module" */
    /* Settings struct, zeroed before defaults are parsed. 0: its rows write elsewhere
     * (scope->block); they then copy nothing, which rows that stand in every `server` should care
     * about. */
    size_t conf_bytes;
    const struct directive *directives;
    size_t directive_count;
    bool frequent; /* small blocks set it often: its pointer stands in the first group */
    /* Computes what depends on several settings, once per scope that has its own copy, after the
     * scope's own simple directives and before the blocks inside it. May be NULL. */
    bool (*finish)(struct loader *loader, struct scope *scope, void *conf);
};

/* The settings of the call's feature in the call's scope, its own copy made now if there was none
 * (for `nests` rows; what comes before the call's node in the block does not see it). NULL: no
 * memory. */
void *conf_own(struct conf_call *call);

/* For diagnostics in `set` and `check`: at word `index` of the call (0: the directive's name).
 * Returns false, so that `return conf_error(...)` reads well. */
bool conf_error(struct conf_call *call, size_t index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void conf_warn(struct conf_call *call, size_t index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Advice for the message added last. */
void conf_hint(struct conf_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For blocks whose children are data (`map`, `types`): none of them may be a block itself. False:
 * reported. */
bool conf_no_blocks(struct conf_call *call);

/* Words by position: 0 is the directive's name. */
static inline struct slice conf_arg(const struct conf_call *call, size_t index)
{
    return word_text(call->node->words[index]);
}
static inline size_t conf_arg_count(const struct conf_call *call)
{
    return call->node->word_count;
}

/* One parser per kind, for custom directives with such parts ("timeout=10s"). False: not of that
 * form. */
bool conf_parse_msec(struct slice text, uint64_t *ms);
bool conf_parse_sec(struct slice text, uint64_t *seconds);
bool conf_parse_bytes(struct slice text, size_t *bytes);
bool conf_parse_int(struct slice text, int64_t min, int64_t max, int64_t *value);
bool conf_parse_flag(struct slice text, bool *on);
