/* The control socket. Runs in: master's or runner's loop. */
#include "control/server.h"

#include "base/arena.h"
#include "control/json.h"
#include "event/loop.h"
#include "event/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_BYTES = 4096,         /* grows up to */
    LINE_BYTES_MAX = 16 << 20, /* specs of many apps with their environments */
    CONNECTIONS_MAX = 64,
    BACKLOG = 64,
    STREAM_BYTES_MAX = 1 << 20, /* that a follower has not read */
};

struct control_server {
    struct loop *loop;
    struct io io;
    const struct control_command *commands;
    size_t command_count;
    void *context;
    struct list connections;
    size_t connection_count;
};

struct connection {
    struct list link;
    struct control_server *server;
    struct io io;
    struct request *waiting; /* the request not answered yet, or NULL */
    char *line;              /* owned */
    size_t len, capacity;
    char *unsent; /* owned: what the client has not taken yet, or NULL */
    size_t unsent_len, sent;
    bool is_stream;                   /* its lines are the listener's, not commands */
    struct control_listener listener; /* no callbacks: the other side of a stream has gone */
    struct task go_on; /* to the next line, when a command that took a while has been answered */
};

struct request {
    struct control_request public;
    struct arena *arena;           /* owned */
    struct connection *connection; /* NULL: the client has left */
};

int control_listen(const char *path)
{
    struct listen_options options = {.backlog = BACKLOG, .fastopen = -1};
    size_t len = strlen(path);
    mode_t before;
    int fd;

    if (len >= sizeof options.address.un.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    options.address.un.sun_family = AF_UNIX;
    memcpy(options.address.un.sun_path, path, len + 1);
    options.address.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    before = umask(0177);
    fd = socket_listen(&options);
    umask(before);
    if (fd >= 0)
        chmod(path, 0600);
    return fd;
}

static void end_stream(struct connection *connection)
{
    struct control_listener listener = connection->listener;

    connection->listener = (struct control_listener){.on_line = NULL};
    if (listener.on_end != NULL)
        listener.on_end(listener.context);
}

/* A task that is still queued frees it: its place in the list of tasks must stay. */
static void connection_free(struct connection *connection)
{
    end_stream(connection);
    if (connection->waiting != NULL)
        connection->waiting->connection = NULL;
    connection->waiting = NULL;
    if (connection->io.loop != NULL)
        loop_unwatch(&connection->io);
    if (connection->io.fd >= 0)
        close(connection->io.fd);
    connection->io.fd = -1;
    if (list_linked(&connection->link)) {
        list_remove(&connection->link);
        connection->server->connection_count--;
    }
    if (connection->go_on.queued)
        return;
    free(connection->line);
    free(connection->unsent);
    free(connection);
}

/* True: all of it is on its way, or the client is gone. */
static bool send_rest(struct connection *connection)
{
    while (connection->sent < connection->unsent_len) {
        ssize_t sent = send(connection->io.fd, connection->unsent + connection->sent,
                            connection->unsent_len - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            connection->io.ready &= ~(unsigned)IO_WRITE;
            return false;
        }
        if (sent < 0) {
            shutdown(connection->io.fd, SHUT_RDWR); /* its end is announced */
            break;
        }
        connection->sent += (size_t)sent;
    }
    free(connection->unsent);
    connection->unsent = NULL;
    connection->unsent_len = connection->sent = 0;
    return true;
}

/* What the socket does not take at once goes when it does; only one answer is under way at a time,
 * for the next line is not looked at before. */
static void write_answer(struct connection *connection, bool ok, struct slice text, bool is_json)
{
    FILE *out;

    assert(connection->unsent == NULL);
    out = open_memstream(&connection->unsent, &connection->unsent_len);
    if (out == NULL)
        return;
    fprintf(out, "{\"ok\":%s,\"%s\":", ok ? "true" : "false", is_json ? "result" : "message");
    if (is_json)
        fwrite(text.data, 1, text.len, out);
    else
        json_write_text(out, text);
    fputs("}\n", out);
    if (fclose(out) == 0)
        send_rest(connection);
}

static void request_free(struct request *request)
{
    if (request->connection != NULL)
        request->connection->waiting = NULL;
    arena_drop(request->arena);
}

static void run_line(struct connection *connection, struct slice line);

/* A command's line waits for the answer to the one before it; what a follower says does not. */
static bool may_run(const struct connection *connection)
{
    return connection->is_stream || (connection->waiting == NULL && connection->unsent == NULL);
}

/* Runs complete lines until one has to wait for its answer, or the answer for the client. */
static void run_lines(struct connection *connection)
{
    while (connection->len > 0 && may_run(connection)) {
        char *end = memchr(connection->line, '\n', connection->len);
        size_t used = end == NULL ? 0 : (size_t)(end - connection->line) + 1;

        if (end == NULL)
            return;
        run_line(connection, slice_make(connection->line, used - 1));
        connection->len -= used;
        memmove(connection->line, connection->line + used, connection->len);
    }
}

static void on_go_on(struct task *task)
{
    struct connection *connection = container_of(task, struct connection, go_on);

    if (connection->io.fd < 0)
        connection_free(connection); /* the client has left meanwhile */
    else
        run_lines(connection);
}

static void answer(struct control_request *public, bool ok, struct slice text, bool is_json)
{
    struct request *request = container_of(public, struct request, public);
    struct connection *connection = request->connection;

    if (connection != NULL)
        write_answer(connection, ok, text, is_json);
    request_free(request);
    if (connection == NULL)
        return;
    connection->go_on.run = on_go_on;
    loop_defer(connection->server->loop, &connection->go_on);
}

struct control_stream *control_stream_open(struct control_request *public,
                                           const struct control_listener *listener)
{
    struct request *request = container_of(public, struct request, public);
    struct connection *connection = request->connection;

    request_free(request);
    if (connection == NULL)
        return NULL;
    connection->is_stream = true;
    connection->listener = *listener;
    return (struct control_stream *)connection;
}

/* What is on its way already is moved to the front: the queue holds only what is to be sent. */
static bool enqueue(struct connection *connection, struct slice text)
{
    size_t rest = connection->unsent_len - connection->sent;
    char *queue = NULL;

    if (rest + text.len <= STREAM_BYTES_MAX)
        queue = malloc(rest + text.len);
    if (queue == NULL)
        return false;
    if (rest > 0)
        memcpy(queue, connection->unsent + connection->sent, rest);
    memcpy(queue + rest, text.data, text.len);
    free(connection->unsent);
    connection->unsent = queue;
    connection->unsent_len = rest + text.len;
    connection->sent = 0;
    return true;
}

void control_stream_send(struct control_stream *stream, struct slice line)
{
    struct connection *connection = (struct connection *)stream;

    assert(connection->is_stream);
    if (enqueue(connection, line))
        send_rest(connection);
    else
        shutdown(connection->io.fd, SHUT_RDWR); /* its end is announced */
}

void control_stream_close(struct control_stream *stream)
{
    struct connection *connection = (struct connection *)stream;

    connection->listener = (struct control_listener){.on_line = NULL};
    shutdown(connection->io.fd, SHUT_RDWR);
}

void control_answer(struct control_request *request, bool ok, struct slice text)
{
    answer(request, ok, text, false);
}

void control_answer_json(struct control_request *request, bool ok, struct slice value)
{
    answer(request, ok, value, true);
}

/* The request is a copy: it may outlive the connection. */
static void run_command(struct connection *connection, struct slice line)
{
    struct control_server *server = connection->server;
    struct arena *arena = arena_new(1024);
    struct request *request = arena == NULL ? NULL : arena_zalloc(arena, sizeof *request);
    struct slice copy = request == NULL ? slice_make(NULL, 0) : arena_copy(arena, line);
    const struct json *body = copy.data == NULL ? NULL : json_parse(arena, copy);
    struct slice name = json_member_text(body, "command");

    for (size_t i = 0; body != NULL && i < server->command_count; i++) {
        if (!slice_eq(name, slice_of(server->commands[i].name)))
            continue;
        *request = (struct request){
            .public = {.body = body, .line = copy}, .arena = arena, .connection = connection};
        connection->waiting = request;
        server->commands[i].run(&request->public, server->context);
        return;
    }
    write_answer(connection, false,
                 slice_of(body == NULL ? "not a JSON object in one line" : "unknown command"),
                 false);
    arena_drop(arena);
}

static void run_line(struct connection *connection, struct slice line)
{
    if (!connection->is_stream)
        run_command(connection, line);
    else if (connection->listener.on_line != NULL)
        connection->listener.on_line(connection->listener.context, line);
}

/* False: the line is too long, or there is no memory. */
static bool make_room(struct connection *connection)
{
    size_t capacity = connection->capacity == 0 ? LINE_BYTES : connection->capacity * 2;
    char *line;

    if (connection->len < connection->capacity)
        return true;
    line = capacity > LINE_BYTES_MAX ? NULL : realloc(connection->line, capacity);
    if (line == NULL)
        return false;
    connection->line = line;
    connection->capacity = capacity;
    return true;
}

/* False: `connection` is gone. */
static bool read_lines(struct connection *connection)
{
    for (;;) {
        struct io_result got = {.kind = IO_END};

        if (make_room(connection))
            got = socket_recv(connection->io.fd, connection->line + connection->len,
                              connection->capacity - connection->len);
        if (got.kind == IO_AGAIN)
            break;
        if (got.kind != IO_DONE) {
            connection_free(connection);
            return false;
        }
        connection->len += got.bytes;
        run_lines(connection);
    }
    connection->io.ready &= ~(unsigned)IO_READ;
    return true;
}

static void on_bytes(struct io *io, unsigned events)
{
    struct connection *connection = container_of(io, struct connection, io);

    (void)events;
    if (connection->unsent != NULL && !send_rest(connection) && !connection->is_stream)
        return;
    if (read_lines(connection))
        run_lines(connection); /* lines that came while an earlier one was waiting */
}

static bool peer_may(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

/* NULL: there is no room, and `fd` is closed. */
static struct connection *connection_new(struct control_server *server, int fd)
{
    struct connection *connection = NULL;

    if (server->connection_count < CONNECTIONS_MAX)
        connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        close(fd);
        return NULL;
    }
    connection->server = server;
    connection->io = (struct io){.fd = fd, .on_ready = on_bytes};
    list_push_back(&server->connections, &connection->link);
    server->connection_count++;
    if (loop_watch(server->loop, &connection->io))
        return connection;
    connection_free(connection);
    return NULL;
}

static void accept_one(struct control_server *server, int fd)
{
    if (peer_may(fd))
        connection_new(server, fd);
    else
        close(fd);
}

static void on_connection(struct io *io, unsigned events)
{
    struct control_server *server = container_of(io, struct control_server, io);
    struct address peer;
    int fd;

    (void)events;
    while ((fd = socket_accept(io->fd, &peer)) >= 0)
        accept_one(server, fd);
    io->ready &= ~(unsigned)IO_READ;
}

struct control_server *control_server_new(struct loop *loop, int fd,
                                          const struct control_command *commands, size_t count,
                                          void *context)
{
    struct control_server *server = calloc(1, sizeof *server);

    if (server == NULL)
        return NULL;
    *server = (struct control_server){.loop = loop,
                                      .io = {.fd = fd, .on_ready = on_connection},
                                      .commands = commands,
                                      .command_count = count,
                                      .context = context};
    list_init(&server->connections);
    if (loop_watch(loop, &server->io))
        return server;
    free(server);
    return NULL;
}

void control_server_free(struct control_server *server)
{
    if (server == NULL)
        return;
    list_each(it, keep, &server->connections)
        connection_free(container_of(it, struct connection, link));
    loop_unwatch(&server->io);
    close(server->io.fd);
    free(server);
}

int control_server_fd(const struct control_server *server)
{
    return server->io.fd;
}

int control_request_fd(const struct control_request *public)
{
    const struct request *request = container_of(public, const struct request, public);

    return request->connection == NULL ? -1 : request->connection->io.fd;
}

void control_server_each(const struct control_server *server,
                         void (*fn)(void *context, int fd, struct slice unread), void *context)
{
    list_each(it, keep, &server->connections)
    {
        const struct connection *connection = container_of(it, struct connection, link);

        if (connection->waiting == NULL && connection->unsent == NULL && !connection->is_stream)
            fn(context, connection->io.fd, slice_make(connection->line, connection->len));
    }
}

void control_server_adopt(struct control_server *server, int fd, struct slice unread)
{
    struct connection *connection = connection_new(server, fd);

    while (connection != NULL && connection->len < unread.len) {
        size_t room;

        if (!make_room(connection)) {
            connection_free(connection);
            return;
        }
        room = connection->capacity - connection->len;
        if (room > unread.len - connection->len)
            room = unread.len - connection->len;
        memcpy(connection->line + connection->len, unread.data + connection->len, room);
        connection->len += room;
    }
}
