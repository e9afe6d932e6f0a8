/* Messages between master and worker. Runs in: master; worker's first loop. */
#include "daemon/channel.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

struct head {
    uint32_t kind;
    uint32_t text_bytes;
    uint64_t number;
};

enum { CHANNEL_BUFFER_BYTES = 1 << 20 };

bool channel_pair(int fds[2])
{
    int bytes = CHANNEL_BUFFER_BYTES;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    for (int i = 0; i < 2; i++) /* more room is welcome, the default does for most */
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return true;
}

static bool send_parts(int fd, struct msghdr *message)
{
    ssize_t sent;

    do {
        sent = sendmsg(fd, message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

bool channel_send(int fd, enum message_kind kind, uint64_t number, struct slice text)
{
    struct slice cut = slice_head(text, MESSAGE_TEXT_MAX);
    struct head head = {.kind = kind, .text_bytes = (uint32_t)cut.len, .number = number};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)cut.data, cut.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = cut.len > 0 ? 2 : 1};

    return send_parts(fd, &message);
}

static bool send_chunk(int fd, const int *fds, size_t count)
{
    union {
        char bytes[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct head head = {.kind = MESSAGE_FDS, .number = count};
    struct iovec part = {&head, sizeof head};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    assert(header != NULL && count > 0 && count <= MESSAGE_FDS_MAX); /* there is room for one */
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    return send_parts(fd, &message);
}

bool channel_send_fds(int fd, const int *fds, size_t count)
{
    while (count > 0) {
        size_t chunk = count < MESSAGE_FDS_MAX ? count : MESSAGE_FDS_MAX;

        if (!send_chunk(fd, fds, chunk))
            return false;
        fds += chunk;
        count -= chunk;
    }
    return true;
}

static void take_fds(struct msghdr *header, struct message *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL;
         part = CMSG_NXTHDR(header, part)) {
        size_t bytes = part->cmsg_len - CMSG_LEN(0);

        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        assert(message->fd_count + bytes / sizeof(int) <= MESSAGE_FDS_MAX);
        memcpy(message->fds + message->fd_count, CMSG_DATA(part), bytes);
        message->fd_count += bytes / sizeof(int);
    }
}

static bool check(const struct msghdr *header, size_t bytes, struct message *message)
{
    struct head head;

    if (bytes < sizeof head || (header->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return false;
    memcpy(&head, message->buffer, sizeof head);
    if (head.text_bytes != bytes - sizeof head)
        return false;
    message->kind = head.kind;
    message->number = head.number;
    message->text = slice_make(message->buffer + sizeof head, head.text_bytes);
    return true;
}

enum message_result channel_receive(int fd, struct message *message)
{
    union {
        char bytes[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {message->buffer, sizeof message->buffer};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    ssize_t bytes;

    message->fd_count = 0;
    do {
        bytes = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (bytes < 0 && errno == EINTR);
    if (bytes < 0)
        return errno == EAGAIN ? MESSAGE_AGAIN : MESSAGE_CLOSED;
    if (bytes == 0)
        return MESSAGE_CLOSED;
    take_fds(&header, message);
    if (check(&header, (size_t)bytes, message))
        return MESSAGE_OK;
    while (message->fd_count > 0)
        close(message->fds[--message->fd_count]);
    return MESSAGE_BAD;
}
