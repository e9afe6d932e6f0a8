/* Storing what a row's kind says. Runs in: any process, at load time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct conf_call;
struct directive;

/* How many arguments a row takes; UINT8_MAX: any number. */
struct arg_range {
    unsigned min;
    unsigned max;
};
struct arg_range directive_args(const struct directive *directive);

/* The bounds of a row's value: what .min and .max mean when both or one are 0. */
struct value_range {
    int64_t min;
    int64_t max;
};
struct value_range directive_bounds(const struct directive *directive);

/* Parses the words of the call into the field of `call->conf`; CUSTOM rows: calls `set`. False:
 * reported. */
bool conf_store(struct conf_call *call);
