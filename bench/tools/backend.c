/* The backend of all: answers each request with as many bytes as the number at the end of its path
 * says ("GET /x/65536 HTTP/1.1"), 128 without one.
 *
 *     backend PORT PATH        listens on 127.0.0.1:PORT and on the unix socket PATH
 *
 * It assumes what the benchmark makes true: a request comes in one piece and without a body. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { BATCH = 512, BODY_MAX = 1 << 20, BODY_DEFAULT = 128 };

struct client {
    int fd;
    int is_listener;
    size_t left; /* of the body */
};

static int epoll_fd;
static char body[BODY_MAX];

static void watch(int fd, int is_listener)
{
    struct client *client = calloc(1, sizeof *client);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

    if (!is_listener)
        event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    client->fd = fd;
    client->is_listener = is_listener;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void listen_on(int fd, const struct sockaddr *address, socklen_t len)
{
    int one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, address, len) != 0 || listen(fd, 4096) != 0) {
        perror("backend: listen");
        exit(1);
    }
    watch(fd, 1);
}

static size_t wanted_bytes(char *request, ssize_t len)
{
    request[len] = '\0';
    char *end = strstr(request, " HTTP/1");
    char *at = end;

    while (at != NULL && at > request && at[-1] >= '0' && at[-1] <= '9')
        at--;
    if (at == end)
        return BODY_DEFAULT;
    size_t bytes = strtoul(at, NULL, 10);

    return bytes < BODY_MAX ? bytes : BODY_MAX;
}

static void send_rest(struct client *client)
{
    while (client->left > 0) {
        ssize_t n = send(client->fd, body, client->left, MSG_NOSIGNAL);

        if (n < 0)
            return;
        client->left -= (size_t)n;
    }
}

static void answer(struct client *client, char *request, ssize_t len)
{
    char head[128];
    size_t bytes = wanted_bytes(request, len);
    int head_len = snprintf(head, sizeof head,
                            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                            "Content-Length: %zu\r\n\r\n",
                            bytes);
    struct iovec parts[2] = {{head, (size_t)head_len}, {body, bytes}};
    ssize_t n = writev(client->fd, parts, 2);

    if (n < head_len)
        return;
    client->left = bytes - ((size_t)n - (size_t)head_len);
}

static void on_client(struct client *client, uint32_t events)
{
    static char request[16384];

    if ((events & EPOLLOUT) != 0)
        send_rest(client);
    if ((events & EPOLLIN) == 0)
        return;
    ssize_t n = recv(client->fd, request, sizeof request - 1, 0);

    if (n > 0) {
        answer(client, request, n);
    } else if (n == 0) {
        close(client->fd);
        free(client);
    }
}

static void on_listener(int listener)
{
    int one = 1;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(fd, 0);
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[BATCH];
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    if (argc < 3)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    memset(body, 'x', sizeof body);
    epoll_fd = epoll_create1(0);
    in.sin_port = htons((uint16_t)strtol(argv[1], NULL, 10));
    snprintf(un.sun_path, sizeof un.sun_path, "%s", argv[2]);
    unlink(un.sun_path);
    listen_on(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&un, sizeof un);
    /* Last: who waits for the port may use the path at once. */
    listen_on(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&in, sizeof in);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, BATCH, -1);

        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;

            if (client->is_listener)
                on_listener(client->fd);
            else
                on_client(client, events[i].events);
        }
    }
}
