/* Reading the request's body: all of it first (buffered, to a temp file if large), as a stream, or
 * not at all. client_max_body_size is enforced by the codec for all three (413). Runs in: worker,
 * loop thread. */
#pragma once

#include "http/exchange.h"

/* Reads it all, up to client_body_buffer_size in memory and the rest into a temp file, then calls
 * `then(x)` (perhaps before returning). On failure the exchange is answered (400, 408, 413, 500) or
 * aborted and `then` is never called. */
void body_read_all(struct exchange *x, void (*then)(struct exchange *x));

/* Streams: `on_data(x)` is called when chunks have come, and once with body.complete or
 * body.failed. At most `memory_max` bytes are kept waiting. */
void body_stream(struct exchange *x, size_t memory_max, void (*on_data)(struct exchange *x));

/* Takes the first waiting chunk (the caller releases or forwards it), or NULL. Call body_more()
 * when done taking. */
struct chunk *body_take(struct exchange *x);

/* Room was made: the codec may go on reading. */
void body_more(struct exchange *x);

/* The request goes on as if it had no body: an error page is asked for because of it. What still
 * comes is not read; the connection ends with the response. */
void body_forsake(struct exchange *x);

/* Is there any body to come or waiting? */
bool body_expected(const struct exchange *x);

/* Did the request's head announce a body? */
static inline bool body_declared(const struct exchange *x)
{
    return x->request.content_length > 0 || x->request.chunked;
}

/* Does somebody read it, or throw it away? */
static inline bool body_is_read(const struct exchange *x)
{
    return x->body.on_data != NULL || x->body.discarding;
}

/* After body_read_all(): the whole body as chunks to send: memory pieces and the temp file's range,
 * in order; it stays with the exchange, so that it can be sent again to another peer. `*count`
 * chunks in an arena array. */
struct chunk *body_chunks(struct exchange *x, uint64_t *total_bytes);

/* After body_read_all(): the body in one piece if it is all in memory ($request_body); false if in
 * a file. */
bool body_text(struct exchange *x, struct slice *text);
