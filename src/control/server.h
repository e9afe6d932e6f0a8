/* The control socket: one JSON object per line in, one per line out; commands are rows of a table.
 *
 *   {"command":"reload"}
 *   {"ok":false,"message":"pelayan: [emerg] unknown directive ..."}
 *
 * Only root and the user the master runs as are heard. A command may answer later; its connection
 * waits. A client that leaves earlier changes nothing. Instead of answering, a command may turn its
 * connection into a stream, which gets lines as things happen. Runs in: master's or runner's loop.
 */
#pragma once

#include "base/list.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

struct control_server;
struct json;
struct loop;

struct control_request {
    struct list link;        /* for whoever keeps it until the answer */
    const struct json *body; /* the request, until the answer */
    struct slice line;       /* the same as it came */
};

struct control_command {
    const char *name;
    void (*run)(struct control_request *request, void *context); /* must lead to control_answer() */
    const char *doc;
};

/* A listening socket with mode 0600; one nobody listens on is replaced. -1: errno (EADDRINUSE:
 * somebody does). */
int control_listen(const char *path);

/* `fd` (taken over) is listening. The table must outlive the server. NULL: errno. */
struct control_server *control_server_new(struct loop *loop, int fd,
                                          const struct control_command *commands, size_t count,
                                          void *context);

/* Closes all connections; every request must have been answered. NULL is fine. */
void control_server_free(struct control_server *server);

/* Answers and frees `request`: nothing may follow. `text` may have several lines. */
void control_answer(struct control_request *request, bool ok, struct slice text);

/* As control_answer(), with a JSON value as the `result` instead of a text as the `message`. */
void control_answer_json(struct control_request *request, bool ok, struct slice value);

struct control_stream;

struct control_listener {
    void (*on_line)(void *context, struct slice line); /* the client said something; no answer */
    void (*on_end)(void *context); /* it has left, or does not read: the stream is gone */
    void *context;
};

/* Instead of an answer: frees the request, and its connection stays open for lines in both
 * directions until on_end(). NULL: the client has left already, and on_end() does not come. */
struct control_stream *control_stream_open(struct control_request *public,
                                           const struct control_listener *listener);

/* Queues a line (with its end) and sends what the client takes. Who lets a megabyte pile up is
 * dropped: on_end() comes later, from the loop. */
void control_stream_send(struct control_stream *stream, struct slice line);

/* Ends it from this side: no callback comes any more. */
void control_stream_close(struct control_stream *stream);

/* The listening descriptor, for handing it to the next program. */
int control_server_fd(const struct control_server *server);

/* The descriptor of the client who waits for this answer; -1: it has left. */
int control_request_fd(const struct control_request *public);

/* Each connection that waits for nothing and is no stream, for handing it to the next program:
 * `unread` is what came of its next line. */
void control_server_each(const struct control_server *server,
                         void (*fn)(void *context, int fd, struct slice unread), void *context);

/* Goes on with such a connection; `fd` is taken over. */
void control_server_adopt(struct control_server *server, int fd, struct slice unread);
