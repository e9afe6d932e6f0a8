#include "base/list.h"
#include "event/socket.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t len = sizeof value;

    CHECK_EQ(getsockopt(fd, level, option, &value, &len), 0);
    return value;
}

static struct listen_options options_for(const char *text)
{
    struct listen_options options = {.backlog = -1, .fastopen = -1, .ipv6only = true};

    CHECK(address_parse(slice_of(text), 1, &options.address), text);
    return options;
}

/* On a free port; `*address` is told which. */
static int listen_on(const char *text, struct address *address)
{
    struct listen_options options = options_for(text);
    int fd;

    address_set_port(&options.address, 0);
    fd = socket_listen(&options);
    CHECK(fd >= 0, "%s: %s", text, strerror(errno));
    *address = options.address;
    address->len = sizeof *address - offsetof(struct address, any);
    CHECK_EQ(getsockname(fd, &address->any, &address->len), 0);
    return fd;
}

static void wait_for(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};

    CHECK_EQ(poll(&poll_fd, 1, 5000), 1);
}

/* A connection through `address`, both ends. */
static void connect_pair(int listener, const struct address *address, int fds[2])
{
    struct address peer;
    bool done;

    fds[0] = socket_connect(address, NULL, &done);
    CHECK(fds[0] >= 0);
    wait_for(fds[0], POLLOUT);
    CHECK_EQ(socket_error(fds[0]), 0);
    wait_for(listener, POLLIN);
    fds[1] = socket_accept(listener, &peer);
    CHECK(fds[1] >= 0);
    CHECK_EQ(peer.any.sa_family, address->any.sa_family);
}

TEST(descriptors_do_not_block_and_do_not_leak)
{
    struct address address;
    int listener = listen_on("127.0.0.1", &address);
    int fds[2];
    int all[3];

    connect_pair(listener, &address, fds);
    all[0] = listener;
    all[1] = fds[0];
    all[2] = fds[1];
    for (size_t i = 0; i < COUNT(all); i++) {
        CHECK((fcntl(all[i], F_GETFL) & O_NONBLOCK) != 0);
        CHECK((fcntl(all[i], F_GETFD) & FD_CLOEXEC) != 0);
        close(all[i]);
    }
}

TEST(accept_says_when_nobody_waits)
{
    struct address address;
    struct address peer;
    int listener = listen_on("127.0.0.1", &address);

    CHECK_EQ(socket_accept(listener, &peer), -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(peer.len, 0);
    close(listener);
}

TEST(listen_options_reach_the_kernel)
{
    struct listen_options options = options_for("127.0.0.1");
    int fd;

    address_set_port(&options.address, 0);
    options.rcvbuf = 50000;
    options.sndbuf = 60000;
    options.reuseport = true;
    options.deferred = true;
    options.fastopen = 16;
    options.keepalive_set = true;
    options.keepalive = true;
    options.keepidle_s = 77;
    options.keepintvl_s = 7;
    options.keepcnt = 5;
    fd = socket_listen(&options);
    CHECK(fd >= 0);
    CHECK_EQ(option_of(fd, SOL_SOCKET, SO_REUSEADDR), 1);
    CHECK_EQ(option_of(fd, SOL_SOCKET, SO_REUSEPORT), 1);
    CHECK_EQ(option_of(fd, SOL_SOCKET, SO_RCVBUF), 100000, "the kernel doubles it");
    CHECK_EQ(option_of(fd, SOL_SOCKET, SO_SNDBUF), 120000);
    CHECK_EQ(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
    CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 5);
    CHECK(option_of(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
    CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_FASTOPEN), 16);

    options.deferred = false;
    options.keepalive = false;
    CHECK(socket_listen_update(fd, &options));
    CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    CHECK_EQ(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    close(fd);
}

TEST(ipv6_leaves_ipv4_alone_unless_told_otherwise)
{
    struct listen_options options = options_for("[::]");
    int fd;

    address_set_port(&options.address, 0);
    for (int only = 0; only < 2; only++) {
        options.ipv6only = only != 0;
        fd = socket_listen(&options);
        if (fd < 0 && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT))
            return; /* a machine without IPv6 */
        CHECK(fd >= 0);
        CHECK_EQ(option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY), only);
        close(fd);
    }
}

TEST(a_used_address_is_refused)
{
    struct listen_options options = options_for("127.0.0.1");
    int first = listen_on("127.0.0.1", &options.address);

    CHECK_EQ(socket_listen(&options), -1);
    CHECK_EQ(errno, EADDRINUSE);
    close(first);
}

/* Goal: a socket file is replaced if and only if nobody listens on it. */
TEST(stale_unix_sockets_are_replaced)
{
    char folder[] = "/tmp/pelayan-socket-XXXXXX";
    char text[64];
    struct listen_options options;
    struct stat status;
    const char *path = text + 5;
    int fd;
    int file;

    CHECK(mkdtemp(folder) != NULL);
    snprintf(text, sizeof text, "unix:%s/s", folder);
    options = options_for(text);

    fd = socket_listen(&options);
    CHECK(fd >= 0);
    CHECK_EQ(stat(path, &status), 0);
    CHECK_EQ(status.st_mode & 0777, 0666);
    CHECK_EQ(socket_listen(&options), -1, "somebody listens");
    CHECK_EQ(errno, EADDRINUSE);
    close(fd);
    fd = socket_listen(&options);
    CHECK(fd >= 0, "its owner is gone");
    close(fd);
    unlink(path);

    file = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(file >= 0);
    close(file);
    CHECK_EQ(socket_listen(&options), -1, "not a socket: not ours to delete");
    CHECK_EQ(stat(path, &status), 0);
    unlink(path);
    rmdir(folder);
}

TEST(bytes_end_and_failure)
{
    struct address address;
    int listener = listen_on("127.0.0.1", &address);
    struct iovec parts[3] = {{(void *)"ab", 2}, {NULL, 0}, {(void *)"cd", 2}};
    char data[16];
    struct io_result result;
    int fds[2];

    connect_pair(listener, &address, fds);
    CHECK_EQ(socket_recv(fds[1], data, sizeof data).kind, IO_AGAIN);
    CHECK_EQ(socket_recv(fds[1], data, 0).kind, IO_DONE);
    result = socket_send(fds[0], parts, 3, false);
    CHECK_EQ(result.kind, IO_DONE);
    CHECK_EQ(result.bytes, 4);
    wait_for(fds[1], POLLIN);
    result = socket_peek(fds[1], data, sizeof data);
    CHECK_EQ(result.bytes, 4);
    result = socket_recv(fds[1], data, sizeof data);
    CHECK_BYTES(data, result.bytes, "abcd", 4);

    socket_close_reset(fds[0]);
    wait_for(fds[1], POLLIN);
    result = socket_recv(fds[1], data, sizeof data);
    CHECK_EQ(result.kind, IO_FAILED);
    CHECK_EQ(result.error, ECONNRESET);
    result = socket_send(fds[1], parts, 3, true);
    CHECK_EQ(result.kind, IO_FAILED);
    CHECK_EQ(result.error, EPIPE);
    close(fds[1]);
    close(listener);
}

TEST(the_end_of_the_stream)
{
    struct address address;
    int listener = listen_on("127.0.0.1", &address);
    char byte;
    int fds[2];

    connect_pair(listener, &address, fds);
    socket_nodelay(fds[0], true);
    CHECK_EQ(option_of(fds[0], IPPROTO_TCP, TCP_NODELAY), 1);
    socket_cork(fds[0], true);
    CHECK_EQ(option_of(fds[0], IPPROTO_TCP, TCP_CORK), 1);
    shutdown(fds[0], SHUT_WR);
    wait_for(fds[1], POLLIN);
    CHECK_EQ(socket_recv(fds[1], &byte, 1).kind, IO_END);
    CHECK_EQ(socket_peek(fds[1], &byte, 1).kind, IO_END);
    close(fds[0]);
    close(fds[1]);
    close(listener);
}

/* Goal: parts arrive in order whether they are joined (small together) or not. */
TEST(parts_arrive_in_order)
{
    static char long_part[1020];
    static char data[8192];

    memset(long_part, 'l', sizeof long_part);
    for (size_t tail = 0; tail < 10; tail++) {
        struct iovec parts[3] = {
            {(void *)"ab", 2}, {long_part, sizeof long_part}, {(void *)"0123456789", tail}};
        int fds[2];

        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        CHECK_EQ(socket_send(fds[0], parts, 3, false).bytes, 1022 + tail);
        struct io_result result = socket_recv(fds[1], data, sizeof data);

        CHECK_EQ(result.bytes, 1022 + tail);
        CHECK_BYTES(data, 2, "ab", 2);
        CHECK_BYTES(data + 2, 1020, long_part, 1020);
        CHECK_BYTES(data + 1022, tail, "0123456789", tail);
        close(fds[0]);
        close(fds[1]);
    }
}

TEST(files_are_sent_from_where_they_stand)
{
    FILE *file = tmpfile();
    char data[16];
    off_t offset = 2;
    struct io_result result;
    int fds[2];

    CHECK(file != NULL);
    CHECK_EQ(fwrite("0123456789", 1, 10, file), 10);
    fflush(file);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    result = socket_sendfile(fds[0], fileno(file), &offset, 5);
    CHECK_EQ(result.kind, IO_DONE);
    CHECK_EQ(result.bytes, 5);
    CHECK_EQ(offset, 7);
    CHECK_EQ(socket_sendfile(fds[0], fileno(file), &offset, 0).kind, IO_DONE);
    result = socket_sendfile(fds[0], fileno(file), &offset, 100);
    CHECK_EQ(result.bytes, 3);
    CHECK_EQ(socket_sendfile(fds[0], fileno(file), &offset, 1).kind, IO_END);
    result = socket_recv(fds[1], data, sizeof data);
    CHECK_BYTES(data, result.bytes, "23456789", 8);
    CHECK_EQ(socket_sendfile(fds[0], -1, &offset, 1).kind, IO_FAILED);
    fclose(file);
    close(fds[0]);
    close(fds[1]);
}

TEST(a_refused_connection_says_so)
{
    struct address address;
    int listener = listen_on("127.0.0.1", &address);
    bool done;
    int fd;

    close(listener);
    fd = socket_connect(&address, NULL, &done);
    if (fd >= 0) {
        wait_for(fd, POLLOUT);
        CHECK_EQ(socket_error(fd), ECONNREFUSED);
        close(fd);
    } else {
        CHECK_EQ(errno, ECONNREFUSED);
    }
    CHECK(!done);
    CHECK(address_parse(slice_of("unix:/no/such/socket"), 0, &address));
    CHECK_EQ(socket_connect(&address, NULL, &done), -1);
    CHECK_EQ(errno, ENOENT);
}

TEST(a_connection_may_have_a_source)
{
    struct address address;
    struct address peer;
    int listener = listen_on("127.0.0.1", &address);
    struct connect_options options = {.keepalive = true, .rcvbuf = 20000, .sndbuf = 30000};
    char text[ADDRESS_TEXT_BYTES];
    bool done;
    int client;
    int accepted;

    CHECK(address_parse(slice_of("127.0.0.9"), 0, &options.source));
    client = socket_connect(&address, &options, &done);
    CHECK(client >= 0);
    wait_for(listener, POLLIN);
    accepted = socket_accept(listener, &peer);
    CHECK(accepted >= 0);
    address_host_text(&peer, text);
    CHECK_STR(text, "127.0.0.9");
    CHECK_EQ(option_of(client, SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_EQ(option_of(client, SOL_SOCKET, SO_RCVBUF), 40000);
    CHECK_EQ(option_of(client, SOL_SOCKET, SO_SNDBUF), 60000);
    close(accepted);
    close(client);
    close(listener);
}
