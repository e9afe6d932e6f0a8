/* The control socket: one JSON object per line in, one per line out; commands are rows of a table.
 *
 *   {"command":"reload"}
 *   {"ok":false,"message":"pelayan: [emerg] unknown directive ..."}
 *
 * Only root and the user the master runs as are heard. A command may answer later; its connection
 * waits. A client that leaves earlier changes nothing. Runs in: master's loop. */
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

/* The listening descriptor, for handing it to the next program. */
int control_server_fd(const struct control_server *server);

/* The descriptor of the client who waits for this answer; -1: it has left. */
int control_request_fd(const struct control_request *request);

/* Each connection that waits for nothing, for handing it to the next program: `unread` is what
 * came of its next line. */
void control_server_each(const struct control_server *server,
                         void (*fn)(void *context, int fd, struct slice unread), void *context);

/* Goes on with such a connection; `fd` is taken over. */
void control_server_adopt(struct control_server *server, int fd, struct slice unread);
