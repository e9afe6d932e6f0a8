/* The rewrite feature: what rewrite, return, set, break and if become.
 *
 * A block's directives are a list of steps in the order of the file; an `if` is a step with a list
 * of its own. The list belongs to the block it stands in and is not inherited. Immutable after
 * load. Runs in: load: any; run: worker, loop thread. */
#pragma once

#include "base/slice.h"
#include "http/conf.h"
#include "http/feature.h"

struct http_location;
struct node;
struct regex;
struct rewrite_step;
struct template;

struct rewrite_list {
    struct rewrite_step *first;
    struct rewrite_step **last;
};

enum rewrite_flag { REWRITE_GO_ON, REWRITE_LAST, REWRITE_BREAK };

/* A piece of a rewrite's replacement. */
struct replacement_part {
    enum { PART_TEXT, PART_CAPTURE, PART_VARIABLE, PART_ARGS } kind; /* PART_ARGS: a '?' */
    struct slice text;
    unsigned capture;
    const struct variable *variable;
};

struct rewrite_rule {
    struct regex *regex;
    struct slice pattern;
    struct replacement_part *parts; /* arena */
    size_t part_count;
    int redirect;   /* 301 or 302; 0: the URI is changed */
    bool has_args;  /* there is a '?' in the replacement */
    bool keep_args; /* the request's arguments are appended: no '?' at the end */
    enum rewrite_flag flag;
};

struct rewrite_return {
    int status;
    struct template *text; /* body or Location, or NULL */
};

struct rewrite_set {
    const struct variable *variable;
    struct template *value;
};

struct condition {
    enum {
        COND_TRUE,  /* $variable */
        COND_EQUAL, /* = and != */
        COND_MATCH, /* ~, ~*, !~, !~* */
        COND_FILE,  /* -f and its like */
    } kind;
    bool negative;
    char test; /* 'f', 'd', 'e', 'x' */
    const struct variable *variable;
    struct template *operand; /* text to compare with, or path */
    struct regex *regex;
    struct slice pattern;
};

struct rewrite_if {
    struct condition condition;
    struct rewrite_list steps;
    const struct http_location
        *location; /* its settings apply from then on; NULL: an `if` of a server */
};

struct rewrite_step {
    struct rewrite_step *next;
    const struct node *node; /* while loading: for its place among the others */
    struct origin origin;    /* for `explain` */
    enum { STEP_IS_RULE, STEP_IS_RETURN, STEP_IS_SET, STEP_IS_BREAK, STEP_IS_IF } kind;
    union {
        struct rewrite_rule rule;
        struct rewrite_return answer;
        struct rewrite_set set;
        struct rewrite_if branch;
    };
};

struct rewrite_conf {
    const void *block; /* the http_server or http_location whose steps these are */
    struct rewrite_list steps;
    bool log;                /* rewrite_log */
    bool warn_uninitialized; /* uninitialized_variable_warn */
};

extern struct feature rewrite_feature;
extern struct feature server_rewrite_feature;

/* Parses the words of `if (...)` of the call. False: an error has been reported. */
bool condition_parse(struct conf_call *call, struct condition *condition);

/* Whether it holds now. */
bool condition_holds(const struct condition *condition, struct exchange *x,
                     const struct rewrite_conf *conf, bool *failed);

/* Runs the steps of a block. PHASE_PASS: the phases go on (request.uri_changed may be set). */
enum phase_verdict rewrite_run(const struct rewrite_conf *conf, struct exchange *x);

/* Hears of every step that did something, in this thread, until it is set to NULL: for `explain`.
 */
typedef void rewrite_observer(struct exchange *x, const struct rewrite_step *step);
void rewrite_observe(rewrite_observer *wanted);
