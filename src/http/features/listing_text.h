/* A folder's listing as HTML, JSON or XML. Runs in: any thread: touches nothing but its arguments.
 */
#pragma once

#include "base/slice.h"

struct listing;

enum listing_format { LISTING_HTML, LISTING_JSON, LISTING_JSONP, LISTING_XML };

struct listing_style {
    enum listing_format format;
    bool exact_size;
    bool local_time;
    struct slice callback; /* JSONP */
};

/* The text, on the heap; `.data` NULL: no memory. */
struct slice listing_text(const struct listing *listing, struct slice uri,
                          const struct listing_style *style);
