/* Making a response: head, body, end. For content handlers; the codec does the framing.
 *
 *   x->response.status = 200; x->response.content_length = n; ...
 *   if (!response_begin(x)) return;        // head filters run here
 *   response_write(x, chunk); ...          // body filters run here; nothing is sent yet
 *   response_end(x);
 *   response_flush(x);                     // last statement: the exchange may be gone
 * Runs in: worker, loop thread. */
#pragma once

#include "http/exchange.h"

#include <stdarg.h>

struct chunk;

/* Runs the head filters in the order of the feature list and hands the head to the codec. False: a
 * filter failed the exchange (memory); it has been aborted or answered: touch nothing. */
bool response_begin(struct exchange *x) __attribute__((warn_unused_result));

/* Queues one chunk through the body filters. Ownership of the chunk goes over. False: no memory,
 * caller aborts. */
bool response_write(struct exchange *x, struct chunk *chunk) __attribute__((warn_unused_result));

/* Copies bytes into the last chunk that waits, as chunk_append() does. How many; the rest needs a
 * chunk of its own. */
size_t response_append(struct exchange *x, struct slice bytes);

/* No more chunks follow; filters give their rest. */
bool response_end(struct exchange *x) __attribute__((warn_unused_result));

/* Sends what is queued. The exchange may be gone afterwards: must be the last statement. */
void response_flush(struct exchange *x);

/* How many bytes a producer should still queue before it waits (0: wait with response_wait_room()).
 * `limit`: its own bound. */
size_t response_room(const struct exchange *x, size_t limit);
/* Calls on_room once when the queue has drained below half the mark. */
void response_wait_room(struct exchange *x, void (*on_room)(struct exchange *x));

/* For codecs, when there is room: who waits for it goes on. Inside their flush, as on_room. */
void response_resume(struct exchange *x);

/* Appends a field to the response; slices must outlive the exchange's sending (arena). */
bool response_header(struct exchange *x, const char *name, struct slice value);

/* A complete small response: status, type, body (arena or static). Begins, ends and flushes. */
void response_send(struct exchange *x, int status, struct slice content_type, struct slice body);

/* A redirect: 301, 302, 303, 307, 308 with Location (absolute or to be completed). */
void response_redirect(struct exchange *x, int status, struct slice location);

/* Our own page for a status (error pages, `return 404`). */
void response_error_page(struct exchange *x, int status);

/* For a head filter: the response becomes our page for `status`, whatever its handler writes.
 * False: no memory. */
bool response_replace(struct exchange *x, int status) __attribute__((warn_unused_result));

/* Would a body go out? (not for HEAD, 204, 304, 1xx) */
bool response_has_body(const struct exchange *x);

/* The type for a URI by the `types` of the location in force, or default_type. Of a URI, not of a
 * file: with "location = /key { alias key.html; }" it is what default_type says. */
struct slice response_type_for(struct exchange *x, struct slice uri);

/* For codecs: response.location as it is to be sent. "/path" becomes "http://host:port/path" unless
 * absolute_redirect is off. */
struct slice response_complete_location(struct exchange *x);

/* For codecs: the value of `Server`, as server_tokens says. */
struct slice response_server_name(const struct exchange *x);

/* How often limit_rate hands out a portion. */
enum { RESPONSE_RATE_SLICE_MS = 100 };

/* How many bytes limit_rate lets go out now (0: ask again after the slice); SIZE_MAX without a
 * limit. */
size_t response_rate_allows(struct exchange *x);

/* A filter of body bytes (gzip, ranges, sub_filter): put in front in its feature's on_head with
 * response_add_filter(). */
struct body_filter {
    struct body_filter *next; /* the following filter; NULL: the queue to the codec */
    bool takes_files;         /* it can handle file ranges; else producers read files for it */
    /* Takes the chunk over; passes what comes of it to body_filter_pass(filter, ...). chunk NULL:
     * the end. False: no memory or failure. */
    bool (*push)(struct body_filter *filter, struct exchange *x, struct chunk *chunk);
    /* For one that makes much of little: goes on after response_hold(). NULL: never holds. */
    bool (*more)(struct body_filter *filter, struct exchange *x);
};

/* From push() or more(): the queue is full and the filter has kept the rest, maybe the end too. Its
 * more() is called when there is room; until then the producer finds none. One filter at a time. */
void response_hold(struct exchange *x, struct body_filter *filter);

/* Appends to the chain: filters of features later in the list are nearer to the wire. */
void response_add_filter(struct exchange *x, struct body_filter *filter);
bool body_filter_pass(struct body_filter *filter, struct exchange *x, struct chunk *chunk);
