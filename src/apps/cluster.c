/* Sockets for the workers of node's cluster. Runs in: master. */
#include "apps/cluster.h"

#include "apps/channel.h"
#include "apps/handover_internal.h"
#include "event/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

enum { HANDLES_MAX = 64, BACKLOG = 511 };

struct handle {
    struct list link;
    char *key; /* owned: what the worker calls it */
    int fd;
    bool wanted; /* asked for since cluster_begin_change() */
};

void cluster_init(struct cluster *cluster)
{
    list_init(&cluster->handles);
}

static void handle_free(struct handle *handle)
{
    list_remove(&handle->link);
    close(handle->fd);
    free(handle->key);
    free(handle);
}

void cluster_fini(struct cluster *cluster)
{
    list_each(it, keep, &cluster->handles) handle_free(container_of(it, struct handle, link));
}

void cluster_begin_change(struct cluster *cluster)
{
    list_each(it, keep, &cluster->handles) container_of(it, struct handle, link)->wanted = false;
}

void cluster_end_change(struct cluster *cluster)
{
    list_each(it, keep, &cluster->handles)
    {
        struct handle *handle = container_of(it, struct handle, link);

        if (!handle->wanted)
            handle_free(handle);
    }
}

static struct handle *find(const struct cluster *cluster, const char *key)
{
    list_each(it, keep, &cluster->handles)
    {
        struct handle *handle = container_of(it, struct handle, link);

        if (strcmp(handle->key, key) == 0)
            return handle;
    }
    return NULL;
}

static int listen_on(const char *text)
{
    struct listen_options options = {.backlog = BACKLOG, .fastopen = -1};

    if (address_parse(slice_of(text), 0, &options.address))
        return socket_listen(&options);
    errno = EINVAL;
    return -1;
}

/* No address means any, of both families where there are two, as node itself does. */
static int listen_anywhere(int port)
{
    char text[32];
    int fd;

    snprintf(text, sizeof text, "[::]:%d", port);
    fd = listen_on(text);
    if (fd >= 0 || errno == EADDRINUSE || errno == EACCES)
        return fd;
    snprintf(text, sizeof text, "0.0.0.0:%d", port);
    return listen_on(text);
}

/* addressType: 4, 6, or -1 for a unix socket, whose path is in `address`. Other things (datagrams,
 * inherited descriptors) are not shared. */
static int open_socket(const struct channel *channel, json_t *message)
{
    const char *text = json_string_value(json_object_get(message, "address"));
    json_t *type_value = json_object_get(message, "addressType");
    json_int_t type = json_integer_value(type_value);
    json_int_t port = json_integer_value(json_object_get(message, "port"));
    char address[160];

    if (!json_is_integer(type_value) || (type != 4 && type != 6 && type != -1) ||
        port < (type == -1 ? -1 : 0) || port > 65535) {
        errno = EINVAL;
        return -1;
    }
    if (type == -1 && channel->is_foreign) {
        errno = EACCES;
        return -1;
    }
    if (type != -1 && text == NULL)
        return listen_anywhere((int)port);
    if (type == -1)
        snprintf(address, sizeof address, "unix:%s", text == NULL ? "" : text);
    else
        snprintf(address, sizeof address, type == 4 ? "%s:%d" : "[%s]:%d", text, (int)port);
    return listen_on(address);
}

static struct handle *add(struct cluster *cluster, const char *key, int fd)
{
    struct handle *handle = calloc(1, sizeof *handle);
    size_t count = 0;

    list_each(it, keep, &cluster->handles) count++;
    if (handle != NULL)
        handle->key = strdup(key);
    if (handle == NULL || handle->key == NULL || count >= HANDLES_MAX) {
        close(fd);
        if (handle != NULL)
            free(handle->key);
        free(handle);
        return NULL;
    }
    handle->fd = fd;
    list_push_back(&cluster->handles, &handle->link);
    return handle;
}

/* Blocking, as programs that take over a socket expect it. */
int cluster_listen(struct cluster *cluster, const char *address)
{
    bool is_port = strspn(address, "0123456789") == strlen(address);
    struct handle *handle;
    char key[256];
    int fd;

    snprintf(key, sizeof key, "listen_fds:%s", address);
    handle = find(cluster, key);
    if (handle == NULL) {
        fd = is_port ? listen_anywhere((int)strtol(address, NULL, 10)) : listen_on(address);
        if (fd < 0)
            return -1;
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        handle = add(cluster, key, fd);
    }
    if (handle == NULL) {
        errno = ENOMEM;
        return -1;
    }
    handle->wanted = true;
    return handle->fd;
}

static bool send_json(struct channel *channel, json_t *message, int fd)
{
    char *text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);
    size_t len = text == NULL ? 0 : strlen(text);
    bool sent = false;

    if (text != NULL) {
        text[len] = '\n'; /* over the terminator: a line has none */
        sent = channel_send_line(channel, slice_make(text, len + 1), fd);
    }
    free(text);
    json_decref(message);
    return sent;
}

static long key_part(json_t *message, const char *name)
{
    json_t *value = json_object_get(message, name);

    return json_is_integer(value) ? (long)json_integer_value(value) : -1;
}

static struct handle *handle_for(struct cluster *cluster, const struct channel *channel,
                                 json_t *message, const char *key)
{
    struct handle *handle = find(cluster, key);
    int fd;

    if (handle != NULL)
        return handle;
    fd = open_socket(channel, message);
    return fd < 0 ? NULL : add(cluster, key, fd);
}

/* -errno in the answer makes listen() fail in the app, which is told as if it had tried itself. */
static void on_query(struct cluster *cluster, struct channel *channel, json_t *message)
{
    const char *address = json_string_value(json_object_get(message, "address"));
    json_t *seq = json_object_get(message, "seq");
    json_t *answer;
    struct handle *handle;
    char key[256];

    snprintf(key, sizeof key, "%s:%ld:%ld:%ld", address == NULL ? "" : address,
             key_part(message, "port"), key_part(message, "addressType"),
             key_part(message, "index"));
    errno = 0;
    handle = handle_for(cluster, channel, message, key);
    if (handle != NULL)
        handle->wanted = true;
    answer = json_pack("{s:s, s:i, s:s, s:O?}", "cmd", "NODE_CLUSTER", "errno",
                       handle == NULL ? -errno : 0, "key", key, "ack", seq);
    if (handle == NULL)
        send_json(channel, answer, -1);
    else
        send_json(
            channel,
            json_pack("{s:s, s:s, s:o}", "cmd", "NODE_HANDLE", "type", "net.Native", "msg", answer),
            handle->fd);
}

bool cluster_on_message(struct cluster *cluster, struct channel *channel, struct slice line)
{
    json_t *message = json_loadb(line.data, line.len, 0, NULL);
    const char *cmd = json_string_value(json_object_get(message, "cmd"));
    const char *act = json_string_value(json_object_get(message, "act"));
    bool listens = false;

    if (cmd != NULL && act != NULL && strcmp(cmd, "NODE_CLUSTER") == 0) {
        listens = strcmp(act, "listening") == 0;
        if (strcmp(act, "queryServer") == 0)
            on_query(cluster, channel, message);
        else if (strcmp(act, "close") == 0 || strcmp(act, "exitedAfterDisconnect") == 0)
            send_json(channel,
                      json_pack("{s:s, s:O?}", "cmd", "NODE_CLUSTER", "ack",
                                json_object_get(message, "seq")),
                      -1);
    }
    json_decref(message);
    return listens;
}

bool cluster_disconnect(struct channel *channel)
{
    return send_json(channel, json_pack("{s:s, s:s}", "cmd", "NODE_CLUSTER", "act", "disconnect"),
                     -1);
}

json_t *cluster_pack(const struct cluster *cluster, json_t *fds)
{
    json_t *handles = json_array();

    list_each(it, keep, &cluster->handles)
    {
        const struct handle *handle = container_of(it, struct handle, link);

        json_array_append_new(handles,
                              json_pack("{s:s, s:o, s:b}", "key", handle->key, "fd",
                                        fd_pack(handle->fd, fds), "wanted", handle->wanted));
    }
    return handles;
}

bool cluster_unpack(struct cluster *cluster, const json_t *from)
{
    bool good = true;
    json_t *entry;
    size_t index;

    json_array_foreach(from, index, entry)
    {
        const char *key = json_string_value(json_object_get(entry, "key"));
        int fd = (int)json_integer_value(json_object_get(entry, "fd"));
        struct handle *handle = add(cluster, key == NULL ? "" : key, fd);

        good = good && handle != NULL;
        if (handle != NULL)
            handle->wanted = json_is_true(json_object_get(entry, "wanted"));
    }
    return good;
}
