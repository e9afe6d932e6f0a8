/* A feature: one nginx module in one file: its directives, variables, phase handler, filters.
 *
 * Listed in http/features.c in running order; adding one touches its file and one line there.
 * Runs in: worker, loop threads; the tables are also read by whoever loads a config. */
#pragma once

#include "config/directive.h"
#include "config/variable.h"
#include "http/exchange.h"

struct snapshot;

struct feature {
    struct conf_feature conf; /* first: what the loader needs */
    enum step phase; /* STEP_POST_READ .. STEP_CONTENT; 0 (STEP_SERVER): no phase handler */
    enum phase_verdict (*run)(struct exchange *x);
    /* Without a directive of this feature (mostly itself) in the whole config, `run`, `on_head` and
     * `on_log` have nothing to do and are not called. NULL: always called. */
    const struct feature *idle_without;
    /* Head filter: the response is about to begin. False: no memory. */
    bool (*on_head)(struct exchange *x);
    /* STEP_LOG: every exchange, also failed ones. Must not wait. */
    void (*on_log)(struct exchange *x);
    /* The loop ends: gives back what its slot (http_loop_slot) refers to, not the slot itself. */
    void (*on_loop_end)(void *slot);
    const struct variable *variables;
    size_t variable_count;
    /* Once per loaded http block, after all its blocks: whole-config checks and tables. */
    bool (*finish_http)(struct loader *loader, struct http_conf *conf);
    unsigned index; /* position in the list = index of settings and slots; set by http/features.c at
                       start */
};

/* A location's own content handler (proxy_pass, stub_status, return-like things): set by its
 * directive in http_location.content. */
struct content_handler {
    const char *name;
    void (*start)(struct exchange *x, void *data);
    void *data;
};

extern struct feature *const http_feature_list[]; /* NULL at the end */
