/* The floor: a relay that copies bytes between a client and a backend and understands none of them.
 *
 *     relay PORT BACKEND [once]        BACKEND: a port of 127.0.0.1, or the path of a unix socket
 *
 * One loop, epoll edge-triggered, each descriptor registered once; per small request and side one
 * recv and one send: what a proxy cannot do without. A backend connection outlives its client and
 * serves the next one. With `once` the client is closed after the first piece of an answer: a
 * connection per request. No errors are explained: it only has to be as quick as it can. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BATCH = 512, PIECE_BYTES = 64 * 1024 };

struct end {
    int fd;
    bool is_client;
    struct end *other; /* NULL: a spare backend connection, or the listening socket */
    struct end *next;  /* spares */
    char *kept;        /* what `fd` did not take yet */
    size_t kept_at;
    size_t kept_len;
};

static int epoll_fd;
static bool once;
static struct end *spares;
static const char *backend;
static char piece[PIECE_BYTES];

static int listen_on(int port)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&in, sizeof in) != 0 || listen(fd, 4096) != 0) {
        perror("relay: listen");
        exit(1);
    }
    return fd;
}

static int connect_to_backend(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtol(backend, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_path = backend[0] == '/';
    int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int one = 1;

    snprintf(un.sun_path, sizeof un.sun_path, "%s", backend);
    if (is_path) {
        if (connect(fd, (struct sockaddr *)&un, sizeof un) != 0)
            perror("relay: connect");
        return fd;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connect(fd, (struct sockaddr *)&in, sizeof in); /* what is sent meanwhile is kept */
    return fd;
}

static struct end *watch(int fd, bool is_client)
{
    struct end *end = calloc(1, sizeof *end);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};

    event.data.ptr = end;
    end->fd = fd;
    end->is_client = is_client;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    return end;
}

/* The struct of who has gone stays: events of this turn may still name it. */
static void leave(struct end *end)
{
    close(end->fd);
    end->fd = -1;
    free(end->kept);
    end->kept = NULL;
    end->other = NULL;
}

static void part(struct end *end)
{
    struct end *other = end->other;
    struct end *peer = end->is_client ? other : end;

    if (end->is_client && other != NULL && other->kept == NULL) {
        peer->other = NULL;
        peer->next = spares;
        spares = peer;
    } else if (other != NULL) {
        leave(other);
    }
    leave(end);
}

static bool flush(struct end *end)
{
    while (end->kept_at < end->kept_len) {
        ssize_t n = send(end->fd, end->kept + end->kept_at, end->kept_len - end->kept_at,
                         MSG_NOSIGNAL);

        if (n < 0)
            return false;
        end->kept_at += (size_t)n;
    }
    free(end->kept);
    end->kept = NULL;
    return true;
}

static bool pass(struct end *to, size_t count)
{
    ssize_t n = send(to->fd, piece, count, MSG_NOSIGNAL);
    size_t sent = n < 0 ? 0 : (size_t)n;

    if (sent == count)
        return true;
    to->kept = malloc(count - sent);
    memcpy(to->kept, piece + sent, count - sent);
    to->kept_at = 0;
    to->kept_len = count - sent;
    return false;
}

static void pump(struct end *from)
{
    while (from->fd >= 0 && from->other != NULL && from->other->kept == NULL) {
        ssize_t n = recv(from->fd, piece, sizeof piece, 0);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            part(from);
            return;
        }
        bool passed = pass(from->other, (size_t)n);

        if (passed && once && !from->is_client) {
            part(from->other);
            return;
        }
        if ((size_t)n < sizeof piece)
            return;
    }
}

static void accept_all(int listener)
{
    int one = 1;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        while (spares != NULL && spares->fd < 0)
            spares = spares->next;
        struct end *peer = spares;

        if (peer != NULL)
            spares = peer->next;
        else
            peer = watch(connect_to_backend(), false);
        struct end *client = watch(fd, true);

        client->other = peer;
        peer->other = client;
    }
}

static void on_event(struct end *end, uint32_t events)
{
    if (end->fd < 0)
        return;
    if ((events & EPOLLOUT) != 0 && end->kept != NULL && flush(end) && end->other != NULL)
        pump(end->other);
    if ((events & (EPOLLIN | EPOLLRDHUP)) == 0)
        return;
    if (end->other == NULL)
        leave(end); /* a spare connection that the backend has closed */
    else
        pump(end);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[BATCH];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

    if (argc < 3)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on((int)strtol(argv[1], NULL, 10));

    backend = argv[2];
    once = argc > 3;
    epoll_fd = epoll_create1(0);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, BATCH, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(listener);
            else
                on_event(events[i].data.ptr, events[i].events);
        }
    }
}
