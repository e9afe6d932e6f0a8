/* The other end of a stream on a control socket: lines out, lines in, never blocking.
 * Runs in: master's loop. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

struct line_client;
struct loop;

struct line_client_events {
    void (*on_line)(void *context, struct slice line); /* without its end */
    void (*on_end)(void *context); /* it is gone, and so is the client: nothing may follow */
    void *context;
};

/* NULL: errno (ECONNREFUSED, ENOENT: nobody listens). Callbacks come from the loop only. */
struct line_client *line_client_open(struct loop *loop, const char *path,
                                     const struct line_client_events *events);

/* `line` with its end. What the other side does not take at once is kept; if that gets too much,
 * the connection ends. */
void line_client_send(struct line_client *client, struct slice line);

/* No callback comes any more. NULL is fine; within a callback, too. */
void line_client_close(struct line_client *client);
