/* The other end of a stream on a control socket. Runs in: master's loop. */
#include "control/line_client.h"

#include "event/loop.h"
#include "event/socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 4096, LINE_BYTES_MAX = 16 << 20, UNSENT_BYTES_MAX = 16 << 20 };

struct line_client {
    struct io io;
    struct line_client_events events;
    struct loop *loop; /* borrowed */
    struct task free;
    char *line; /* owned: what came of the next one */
    size_t len, capacity;
    char *unsent; /* owned: what the other side has not taken, or NULL */
    size_t unsent_len;
};

static void on_free(struct task *task)
{
    struct line_client *client = container_of(task, struct line_client, free);

    free(client->line);
    free(client->unsent);
    free(client);
}

void line_client_close(struct line_client *client)
{
    if (client == NULL)
        return;
    loop_unwatch(&client->io);
    close(client->io.fd);
    client->io.fd = -1;
    client->free.run = on_free; /* later: this may be one of its own callbacks */
    loop_defer(client->loop, &client->free);
}

static void end(struct line_client *client)
{
    struct line_client_events events = client->events;

    line_client_close(client);
    events.on_end(events.context);
}

/* False: the connection is broken; its end is announced. */
static bool send_some(struct line_client *client, const char *data, size_t len, size_t *sent)
{
    *sent = 0;
    while (*sent < len) {
        ssize_t wrote = send(client->io.fd, data + *sent, len - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0 && errno == EAGAIN) {
            client->io.ready &= ~(unsigned)IO_WRITE;
            return true;
        }
        if (wrote < 0) {
            shutdown(client->io.fd, SHUT_RDWR);
            return false;
        }
        *sent += (size_t)wrote;
    }
    return true;
}

static void send_unsent(struct line_client *client)
{
    size_t sent;

    if (client->unsent_len == 0 || !send_some(client, client->unsent, client->unsent_len, &sent))
        return;
    client->unsent_len -= sent;
    memmove(client->unsent, client->unsent + sent, client->unsent_len);
}

void line_client_send(struct line_client *client, struct slice line)
{
    size_t sent = 0;
    char *grown;

    if (client->unsent_len == 0 && !send_some(client, line.data, line.len, &sent))
        return;
    line = slice_skip(line, sent);
    if (line.len == 0)
        return;
    grown = client->unsent_len + line.len > UNSENT_BYTES_MAX
                ? NULL
                : realloc(client->unsent, client->unsent_len + line.len);
    if (grown == NULL) {
        shutdown(client->io.fd, SHUT_RDWR); /* its end is announced */
        return;
    }
    memcpy(grown + client->unsent_len, line.data, line.len);
    client->unsent = grown;
    client->unsent_len += line.len;
}

static void take_lines(struct line_client *client)
{
    char *end;

    while (client->io.fd >= 0 && client->len > 0 &&
           (end = memchr(client->line, '\n', client->len)) != NULL) {
        size_t used = (size_t)(end - client->line) + 1;

        client->events.on_line(client->events.context, slice_make(client->line, used - 1));
        client->len -= used;
        memmove(client->line, client->line + used, client->len);
    }
}

static bool make_room(struct line_client *client)
{
    size_t capacity = client->capacity == 0 ? READ_BYTES : client->capacity * 2;
    char *line;

    if (client->len < client->capacity)
        return true;
    line = capacity > LINE_BYTES_MAX ? NULL : realloc(client->line, capacity);
    if (line == NULL)
        return false;
    client->line = line;
    client->capacity = capacity;
    return true;
}

static void on_ready(struct io *io, unsigned events)
{
    struct line_client *client = container_of(io, struct line_client, io);
    struct io_result got = {.kind = IO_DONE};

    (void)events;
    send_unsent(client);
    while (client->io.fd >= 0 && got.kind == IO_DONE) {
        got = (struct io_result){.kind = IO_END};
        if (make_room(client))
            got = socket_recv(io->fd, client->line + client->len, client->capacity - client->len);
        if (got.kind != IO_DONE)
            break;
        client->len += got.bytes;
        take_lines(client);
    }
    if (client->io.fd < 0)
        return; /* closed by a callback */
    if (got.kind == IO_AGAIN)
        io->ready &= ~(unsigned)IO_READ;
    else
        end(client);
}

static int connect_to(const char *path)
{
    char text[ADDRESS_TEXT_BYTES];
    struct address address;
    bool done;

    if (snprintf(text, sizeof text, "unix:%s", path) < (int)sizeof text &&
        address_parse(slice_of(text), 0, &address))
        return socket_connect(&address, NULL, &done);
    errno = ENAMETOOLONG;
    return -1;
}

struct line_client *line_client_open(struct loop *loop, const char *path,
                                     const struct line_client_events *events)
{
    int fd = connect_to(path);
    struct line_client *client = fd < 0 ? NULL : calloc(1, sizeof *client);

    if (fd < 0)
        return NULL;
    if (client == NULL) {
        close(fd);
        return NULL;
    }
    *client = (struct line_client){
        .io = {.fd = fd, .on_ready = on_ready}, .events = *events, .loop = loop};
    if (loop_watch(loop, &client->io))
        return client;
    close(fd);
    free(client);
    return NULL;
}
