/* Small helpers of features that make values: texts in the exchange's arena.
 * Runs in: worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange;
struct header_list;

/* The decimal digits of `number`. False: no memory. */
bool text_decimal(struct exchange *x, uint64_t number, struct slice *text);

/* Milliseconds as seconds with three decimals: "1.250", as $request_time and $msec are. */
bool text_seconds(struct exchange *x, uint64_t ms, struct slice *text);

/* What every header of the request or response called `name` holds, joined by `separator`. `name`
 * is a variable's: lower case, '_' stands for '-'. False: none (or no memory). */
bool text_headers(struct exchange *x, const struct header_list *list, struct slice name,
                  struct slice *text);
