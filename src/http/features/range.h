/* Parts of responses (RFC 9110, 14). Runs in: worker, loop thread. */
#pragma once

#include "http/feature.h"

extern struct feature range_feature;

struct byte_range {
    uint64_t start;
    uint64_t end; /* one past the last byte */
};

enum ranges_result {
    RANGES_OK,    /* `count` >= 1 ranges */
    RANGES_WHOLE, /* more than `max`, more than the whole, or nonsense that asks for nothing: 200 */
    RANGES_BAD,   /* malformed, or none of them lies inside: 416 */
};

/* The text after "bytes=" against a body of `length` bytes. `ranges` has room for one more than the
 * text has commas. */
enum ranges_result parse_ranges(struct slice text, uint64_t length, int max,
                                struct byte_range *ranges, size_t *count)
    __attribute__((warn_unused_result));
