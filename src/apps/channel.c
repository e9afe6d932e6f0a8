/* Node's IPC channel. Runs in: master. */
#include "apps/channel.h"

#include "apps/cluster.h"
#include "apps/handover.h"
#include "apps/handover_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 65536 };

static void on_line(struct channel *channel, struct slice line)
{
    if (slice_eq(line, slice_of("\"ready\"")))
        channel->on_ready(channel);
    else if (channel->cluster != NULL && slice_search(line, slice_of("NODE_CLUSTER")) >= 0 &&
             cluster_on_message(channel->cluster, channel, line))
        channel->on_ready(channel);
}

/* Complete lines are used; what is left moves to the front. */
static void use_lines(struct channel *channel)
{
    struct slice rest = slice_make(channel->line, channel->len);
    ptrdiff_t end;

    while ((end = slice_find(rest, '\n')) >= 0) {
        struct slice line = slice_head(rest, (size_t)end);

        rest = slice_skip(rest, (size_t)end + 1);
        if (!channel->skipping)
            on_line(channel, line);
        channel->skipping = false;
        if (!channel_is_open(channel))
            return;
    }
    if (rest.len == LINE_BYTES_MAX) {
        channel->skipping = true;
        rest.len = 0;
    }
    if (rest.len > 0)
        memmove(channel->line, rest.data, rest.len);
    channel->len = rest.len;
}

/* False: nothing more now, or the end. */
static bool read_some(struct channel *channel)
{
    ssize_t got;

    if (channel->line == NULL)
        channel->line = malloc(LINE_BYTES_MAX);
    if (channel->line == NULL)
        return false;
    got = recv(channel->io.fd, channel->line + channel->len, LINE_BYTES_MAX - channel->len,
               MSG_DONTWAIT);
    if (got < 0 && errno == EINTR)
        return true;
    if (got < 0 && errno == EAGAIN) {
        channel->io.ready &= ~(unsigned)IO_READ;
        return false;
    }
    if (got <= 0) {
        channel_close(channel);
        channel->on_end(channel);
        return false;
    }
    channel->len += (size_t)got;
    use_lines(channel);
    return channel_is_open(channel);
}

static void on_bytes(struct io *io, unsigned events)
{
    struct channel *channel = container_of(io, struct channel, io);

    (void)events;
    while (read_some(channel))
        continue;
    if (channel->len == 0) {
        free(channel->line);
        channel->line = NULL;
    }
}

bool channel_open(struct channel *channel, struct loop *loop, int *child_fd)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return false;
    channel->io = (struct io){.fd = pair[0], .on_ready = on_bytes};
    if (loop_watch(loop, &channel->io)) {
        *child_fd = pair[1];
        return true;
    }
    close(pair[0]);
    close(pair[1]);
    return false;
}

void channel_close(struct channel *channel)
{
    if (!channel_is_open(channel))
        return;
    loop_unwatch(&channel->io);
    close(channel->io.fd);
    free(channel->line);
    channel->line = NULL;
    channel->len = 0;
    channel->skipping = false;
}

bool channel_send_line(struct channel *channel, struct slice line, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec part = {.iov_base = (char *)line.data, .iov_len = line.len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct cmsghdr *head;

    if (!channel_is_open(channel))
        return false;
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(head), &fd, sizeof fd);
    }
    /* a message is far smaller than the socket's buffer: all of it, or the app does not read */
    return sendmsg(channel->io.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)line.len;
}

bool channel_send_text(struct channel *channel, const char *text)
{
    char line[256];
    int len = snprintf(line, sizeof line, "\"%s\"\n", text);

    if (len <= 0 || (size_t)len >= sizeof line)
        return false;
    return channel_send_line(channel, slice_make(line, (size_t)len), -1);
}

json_t *channel_pack(const struct channel *channel, json_t *fds)
{
    return json_pack("{s:o, s:b, s:o}", "fd", fd_pack(channel->io.fd, fds), "skipping",
                     channel->skipping, "line",
                     bytes_pack(slice_make(channel->line, channel->len)));
}

bool channel_unpack(struct channel *channel, struct loop *loop, const json_t *from)
{
    const json_t *line = json_object_get(from, "line");

    channel->io = (struct io){.fd = (int)json_integer_value(json_object_get(from, "fd")),
                              .on_ready = on_bytes};
    channel->skipping = json_is_true(json_object_get(from, "skipping"));
    if (json_string_length(line) > 0)
        channel->line = malloc(LINE_BYTES_MAX);
    if (channel->line != NULL)
        channel->len = bytes_unpack(line, channel->line, LINE_BYTES_MAX - 1);
    if (loop_watch(loop, &channel->io))
        return true;
    close(channel->io.fd);
    free(channel->line);
    channel->line = NULL;
    return false;
}
