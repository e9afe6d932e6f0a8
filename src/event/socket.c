/* Making and using sockets. Runs in: any. */
#include "event/socket.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BACKLOG_DEFAULT = 511, DEFER_SECONDS = 1 };

static bool set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

static int open_stream(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void close_keeping_errno(int fd)
{
    int saved_errno = errno;

    if (fd >= 0)
        close(fd);
    errno = saved_errno;
}

static bool is_tcp(const struct address *address)
{
    return address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6;
}

static bool has_path(const struct address *address)
{
    return address->any.sa_family == AF_UNIX && address->un.sun_path[0] != '\0';
}

/* ---- listening */

/* A socket file whose owner died refuses connections; it and only it may be replaced. */
static bool remove_stale_file(const struct address *address)
{
    struct stat status;
    bool stale;
    int fd;

    if (lstat(address->un.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        errno = EADDRINUSE;
        return false;
    }
    fd = open_stream(AF_UNIX);
    if (fd < 0)
        return false;
    stale = connect(fd, &address->any, address->len) != 0 && errno == ECONNREFUSED;
    close(fd);
    if (stale && (unlink(address->un.sun_path) == 0 || errno == ENOENT))
        return true;
    errno = EADDRINUSE;
    return false;
}

static bool bind_listener(int fd, const struct address *address)
{
    if (bind(fd, &address->any, address->len) != 0) {
        if (errno != EADDRINUSE || !has_path(address) || !remove_stale_file(address))
            return false;
        if (bind(fd, &address->any, address->len) != 0)
            return false;
    }
    /* Who may connect is decided by the directory, as with nginx: workers and clients are other
     * users. */
    return !has_path(address) || chmod(address->un.sun_path, 0666) == 0;
}

static bool set_keepalive(int fd, const struct listen_options *options)
{
    if (!options->keepalive_set)
        return true;
    if (!set_int(fd, SOL_SOCKET, SO_KEEPALIVE, options->keepalive))
        return false;
    if (options->keepidle_s > 0 && !set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, options->keepidle_s))
        return false;
    if (options->keepintvl_s > 0 && !set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, options->keepintvl_s))
        return false;
    return options->keepcnt <= 0 || set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, options->keepcnt);
}

/* What can only be said before bind(). */
static bool prepare_listener(int fd, const struct listen_options *options)
{
    int family = options->address.any.sa_family;

    if (!set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1))
        return false;
    if (family == AF_INET6 && !set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, options->ipv6only))
        return false;
    return !options->reuseport || set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

bool socket_listen_update(int fd, const struct listen_options *options)
{
    bool tcp = is_tcp(&options->address);

    if (options->rcvbuf > 0 && !set_int(fd, SOL_SOCKET, SO_RCVBUF, options->rcvbuf))
        return false;
    if (options->sndbuf > 0 && !set_int(fd, SOL_SOCKET, SO_SNDBUF, options->sndbuf))
        return false;
    if (tcp && !set_keepalive(fd, options))
        return false;
    if (tcp && !set_int(fd, IPPROTO_TCP, TCP_NODELAY, options->nodelay))
        return false;
    if (tcp && !set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, options->deferred ? DEFER_SECONDS : 0))
        return false;
    if (tcp && options->fastopen > 0 && !set_int(fd, IPPROTO_TCP, TCP_FASTOPEN, options->fastopen))
        return false;
    return listen(fd, options->backlog > 0 ? options->backlog : BACKLOG_DEFAULT) == 0;
}

int socket_listen(const struct listen_options *options)
{
    int result = -1;
    int fd = open_stream(options->address.any.sa_family);

    if (fd < 0)
        goto out;
    if (!prepare_listener(fd, options))
        goto out;
    if (!bind_listener(fd, &options->address))
        goto out;
    if (!socket_listen_update(fd, options))
        goto out;
    result = fd;
    fd = -1;
out:
    close_keeping_errno(fd);
    return result;
}

int socket_accept(int fd, struct address *peer)
{
    const socklen_t room = sizeof *peer - offsetof(struct address, any);
    int accepted;

    do {
        peer->len = room;
        accepted = accept4(fd, &peer->any, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (accepted < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (accepted < 0)
        peer->len = 0;
    else if (peer->len > room) /* the kernel tells the whole length of what it has cut */
        peer->len = room;
    return accepted;
}

/* ---- connecting */

static bool bind_source(int fd, const struct connect_options *options)
{
    int family = options->source.any.sa_family;

    if (options->source.len == 0)
        return true;
    if (options->transparent && family == AF_INET && !set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1))
        return false;
    if (options->transparent && family == AF_INET6 &&
        !set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1))
        return false;
    /* The port is chosen by connect(), when the peer is known: else a source address has no more
     * than 28,000 ports for all peers together. */
    if (is_tcp(&options->source) && address_port(&options->source) == 0)
        set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return bind(fd, &options->source.any, options->source.len) == 0;
}

static bool prepare_connection(int fd, const struct connect_options *options)
{
    if (options == NULL)
        return true;
    if (options->keepalive && !set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1))
        return false;
    if (options->rcvbuf > 0 && !set_int(fd, SOL_SOCKET, SO_RCVBUF, options->rcvbuf))
        return false;
    if (options->sndbuf > 0 && !set_int(fd, SOL_SOCKET, SO_SNDBUF, options->sndbuf))
        return false;
    return bind_source(fd, options);
}

int socket_connect(const struct address *peer, const struct connect_options *options, bool *done)
{
    int result = -1;
    int fd = open_stream(peer->any.sa_family);

    *done = false;
    if (fd < 0)
        goto out;
    if (!prepare_connection(fd, options))
        goto out;
    if (connect(fd, &peer->any, peer->len) == 0)
        *done = true;
    else if (errno != EINPROGRESS && errno != EINTR) /* after EINTR it goes on by itself */
        goto out;
    result = fd;
    fd = -1;
out:
    close_keeping_errno(fd);
    return result;
}

int socket_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

/* Neither exists on unix sockets, where nothing has to be asked for either. */
void socket_nodelay(int fd, bool on)
{
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, on);
}

void socket_cork(int fd, bool on)
{
    set_int(fd, IPPROTO_TCP, TCP_CORK, on);
}

void socket_quickack(int fd)
{
    set_int(fd, IPPROTO_TCP, TCP_QUICKACK, 1);
}

void socket_close_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

/* ---- bytes */

static struct io_result done(size_t bytes)
{
    return (struct io_result){.kind = IO_DONE, .bytes = bytes};
}

static struct io_result failed(int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK)
        return (struct io_result){.kind = IO_AGAIN};
    return (struct io_result){.kind = IO_FAILED, .error = error};
}

enum { JOIN_BYTES_MAX = 1024 };

/* recv() and sendmsg() are points where a thread may be cancelled, for which the C library does
 * work of its own before and after each call. Nobody cancels threads here: the bare calls save 2%
 * of a proxied request. */
static struct io_result receive(int fd, void *data, size_t bytes, int flags)
{
    ssize_t count;

    if (bytes == 0)
        return done(0); /* recv() would answer 0, which means the end */
    do {
        count = syscall(SYS_recvfrom, fd, data, bytes, flags | MSG_DONTWAIT, NULL, NULL);
    } while (count < 0 && errno == EINTR);
    if (count < 0)
        return failed(errno);
    if (count == 0)
        return (struct io_result){.kind = IO_END};
    return done((size_t)count);
}

struct io_result socket_recv(int fd, void *data, size_t bytes)
{
    return receive(fd, data, bytes, 0);
}

struct io_result socket_peek(int fd, void *data, size_t bytes)
{
    return receive(fd, data, bytes, MSG_PEEK);
}

/* One part needs no vector to be copied into the kernel: a small head and a small body are joined.
 */
static ssize_t send_parts(int fd, const struct iovec *parts, int count, int flags)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts};
    char joined[JOIN_BYTES_MAX];
    size_t len = 0;
    int i = 0;

    if (count == 1)
        return syscall(SYS_sendto, fd, parts->iov_base, parts->iov_len, flags, NULL, 0);
    for (; i < count && parts[i].iov_len <= sizeof joined - len; i++) {
        if (parts[i].iov_len > 0)
            memcpy(joined + len, parts[i].iov_base, parts[i].iov_len);
        len += parts[i].iov_len;
    }
    if (i == count)
        return syscall(SYS_sendto, fd, joined, len, flags, NULL, 0);
    message.msg_iovlen = (size_t)(count < IOV_MAX ? count : IOV_MAX);
    return syscall(SYS_sendmsg, fd, &message, flags);
}

struct io_result socket_send(int fd, const struct iovec *parts, int count, bool more_follows)
{
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more_follows ? MSG_MORE : 0);
    ssize_t sent;

    assert(count >= 0);
    do {
        sent = send_parts(fd, parts, count, flags);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? failed(errno) : done((size_t)sent);
}

struct io_result socket_sendfile(int fd, int file_fd, off_t *offset, size_t bytes)
{
    ssize_t sent;

    if (bytes == 0)
        return done(0);
    do {
        sent = sendfile(fd, file_fd, offset, bytes);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return failed(errno);
    if (sent == 0)
        return (struct io_result){.kind = IO_END};
    return done((size_t)sent);
}
