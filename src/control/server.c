/* The control socket. Runs in: master's loop. */
#include "control/server.h"

#include "base/arena.h"
#include "control/json.h"
#include "event/loop.h"
#include "event/socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 16384, CONNECTIONS_MAX = 64, BACKLOG = 16 };

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
    char line[LINE_BYTES_MAX];
    size_t len;
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

static void connection_free(struct connection *connection)
{
    if (connection->waiting != NULL)
        connection->waiting->connection = NULL;
    if (connection->io.loop != NULL)
        loop_unwatch(&connection->io);
    close(connection->io.fd);
    list_remove(&connection->link);
    connection->server->connection_count--;
    free(connection);
}

/* Answers are short and the client waits for them: what does not fit into the socket's buffer is a
 * client that does not read, and it loses the rest. */
static void write_answer(int fd, bool ok, struct slice text)
{
    char *line = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&line, &len);

    if (out == NULL)
        return;
    fprintf(out, "{\"ok\":%s,\"message\":", ok ? "true" : "false");
    json_write_text(out, text);
    fputs("}\n", out);
    if (fclose(out) == 0 && send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        shutdown(fd, SHUT_RDWR);
    free(line);
}

static void request_free(struct request *request)
{
    if (request->connection != NULL)
        request->connection->waiting = NULL;
    arena_drop(request->arena);
}

static void run_line(struct connection *connection, struct slice line);

/* Runs complete lines until one has to wait for its answer. */
static void run_lines(struct connection *connection)
{
    while (connection->waiting == NULL) {
        char *end = memchr(connection->line, '\n', connection->len);
        size_t used = end == NULL ? 0 : (size_t)(end - connection->line) + 1;
        char line[LINE_BYTES_MAX];

        if (end == NULL)
            return;
        memcpy(line, connection->line, used);
        connection->len -= used;
        memmove(connection->line, connection->line + used, connection->len);
        run_line(connection, slice_make(line, used - 1));
    }
}

void control_answer(struct control_request *public, bool ok, struct slice text)
{
    struct request *request = container_of(public, struct request, public);
    struct connection *connection = request->connection;

    if (connection != NULL)
        write_answer(connection->io.fd, ok, text);
    request_free(request);
}

static void run_line(struct connection *connection, struct slice line)
{
    struct control_server *server = connection->server;
    struct arena *arena = arena_new(1024);
    struct request *request = arena == NULL ? NULL : arena_zalloc(arena, sizeof *request);
    const struct json *body = request == NULL ? NULL : json_parse(arena, line);
    struct slice name = json_member_text(body, "command");

    for (size_t i = 0; body != NULL && i < server->command_count; i++) {
        if (!slice_eq(name, slice_of(server->commands[i].name)))
            continue;
        *request = (struct request){
            .public = {.body = body}, .arena = arena, .connection = connection};
        connection->waiting = request;
        server->commands[i].run(&request->public, server->context);
        return;
    }
    write_answer(connection->io.fd, false,
                 slice_of(body == NULL ? "not a JSON object in one line" : "unknown command"));
    arena_drop(arena);
}

static void on_bytes(struct io *io, unsigned events)
{
    struct connection *connection = container_of(io, struct connection, io);

    (void)events;
    for (;;) {
        size_t room = sizeof connection->line - connection->len;
        struct io_result got = {.kind = IO_END};

        if (room > 0)
            got = socket_recv(io->fd, connection->line + connection->len, room);
        if (got.kind == IO_AGAIN)
            break;
        if (got.kind != IO_DONE) {
            connection_free(connection);
            return;
        }
        connection->len += got.bytes;
        run_lines(connection);
    }
    io->ready &= ~(unsigned)IO_READ;
    /* lines that came while an earlier one was waiting */
    run_lines(connection);
}

static bool peer_may(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void accept_one(struct control_server *server, int fd)
{
    struct connection *connection = NULL;

    if (peer_may(fd) && server->connection_count < CONNECTIONS_MAX)
        connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        close(fd);
        return;
    }
    connection->server = server;
    connection->io = (struct io){.fd = fd, .on_ready = on_bytes};
    list_push_back(&server->connections, &connection->link);
    server->connection_count++;
    if (!loop_watch(server->loop, &connection->io))
        connection_free(connection);
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
