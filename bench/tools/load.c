/* The load: requests over kept-alive or fresh connections, and what came back, as one line of JSON.
 *
 *     load PORT PATH CONNECTIONS REQUESTS          as many as the server takes, one per connection
 *     load PORT PATH CONNECTIONS REQUESTS close    a connection for each
 *     load PORT PATH CONNECTIONS REQUESTS RATE     RATE per second, whatever the server does
 *     load PORT PATH CONNECTIONS hold              one request each, then idle until stdin ends
 *
 * With a rate each request has a time at which it should go out. Its latency counts from that time,
 * also if no connection was free then: a server that stalls is not asked less, so the stall is seen
 * in the percentiles (no coordinated omission). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 512, HEAD_MAX = 4096, PIECE_BYTES = 256 * 1024 };

enum mode { KEEP, CLOSE, RATE, HOLD };

struct conn {
    int fd;
    struct conn *next; /* free ones, in RATE */
    uint64_t due_ns;
    size_t head_len; /* bytes in `head` until it is whole; then its length */
    bool whole;
    bool asked;
    uint64_t left; /* of the body */
    char head[HEAD_MAX];
};

static enum mode mode;
static int epoll_fd;
static struct sockaddr_in server;
static char request[1024];
static size_t request_len;
static uint64_t to_ask; /* requests not sent yet */
static uint64_t answered;
static uint64_t failed;
static uint64_t ns_between;
static uint64_t next_due_ns;
static uint64_t total;
static struct conn *free_conns;
static uint32_t *latencies; /* tenths of a microsecond */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void ask(struct conn *conn, uint64_t due_ns)
{
    conn->asked = true;
    conn->due_ns = due_ns;
    conn->head_len = 0;
    conn->whole = false;
    if (send(conn->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len) {
        perror("load: send");
        exit(1);
    }
}

static void open_conn(struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = conn};
    int one = 1;

    conn->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(conn->fd, (struct sockaddr *)&server, sizeof server) != 0) {
        perror("load: connect");
        exit(1);
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conn->fd, &event);
}

/* Sends what is due, while connections are free. */
static void ask_what_is_due(void)
{
    while (to_ask > 0 && free_conns != NULL && next_due_ns <= now_ns()) {
        struct conn *conn = free_conns;

        free_conns = conn->next;
        to_ask--;
        ask(conn, next_due_ns);
        next_due_ns += ns_between;
    }
}

static void next_request(struct conn *conn)
{
    conn->asked = false;
    if (mode == RATE) {
        conn->next = free_conns;
        free_conns = conn;
        return;
    }
    if (mode == HOLD || to_ask == 0)
        return;
    to_ask--;
    if (mode == CLOSE) {
        close(conn->fd);
        open_conn(conn);
    }
    ask(conn, now_ns());
}

static void finish(struct conn *conn, bool good)
{
    if (mode == RATE)
        latencies[answered + failed] = (uint32_t)((now_ns() - conn->due_ns) / 100);
    if (good)
        answered++;
    else
        failed++;
    next_request(conn);
}

/* True once head and length are known. */
static bool take_head(struct conn *conn, const char *bytes, size_t count)
{
    size_t before = conn->head_len;
    size_t room = sizeof conn->head - 1 - before;
    size_t n = count < room ? count : room;

    memcpy(conn->head + before, bytes, n);
    conn->head_len += n;
    conn->head[conn->head_len] = '\0';
    char *end = strstr(conn->head, "\r\n\r\n");
    char *length = strcasestr(conn->head, "content-length:");

    if (end == NULL)
        return false;
    size_t head_len = (size_t)(end + 4 - conn->head);

    if (length == NULL || length > end || strncmp(conn->head + 8, " 200", 4) != 0) {
        fprintf(stderr, "load: unexpected answer:\n%.*s", (int)head_len, conn->head);
        exit(1);
    }
    conn->whole = true;
    conn->left = strtoull(length + 15, NULL, 10) - (count - (head_len - before));
    return true;
}

static void on_readable(struct conn *conn)
{
    static char piece[PIECE_BYTES];
    ssize_t n;

    while ((n = recv(conn->fd, piece, sizeof piece, MSG_DONTWAIT)) > 0) {
        if (!conn->whole)
            take_head(conn, piece, (size_t)n);
        else
            conn->left -= (uint64_t)n;
        if (mode != CLOSE && conn->asked && conn->whole && conn->left == 0) {
            finish(conn, true);
            return;
        }
        if ((size_t)n < sizeof piece && mode != CLOSE)
            return;
    }
    if (n < 0 && errno == EAGAIN)
        return;
    if (mode == CLOSE) {
        finish(conn, conn->whole && conn->left == 0);
    } else if (conn->asked) {
        fprintf(stderr, "load: the server has closed a connection\n");
        exit(1);
    }
}

static void wait_for_events(void)
{
    static struct epoll_event events[BATCH];
    struct timespec until = {.tv_sec = 5};
    uint64_t now = now_ns();

    if (mode == RATE && to_ask > 0 && free_conns != NULL) {
        uint64_t wait_ns = next_due_ns > now ? next_due_ns - now : 0;

        until.tv_sec = (time_t)(wait_ns / 1000000000u);
        until.tv_nsec = (long)(wait_ns % 1000000000u);
    }
    int count = epoll_pwait2(epoll_fd, events, BATCH, &until, NULL);

    if (count == 0 && until.tv_sec == 5) {
        fprintf(stderr, "load: no answer for 5 s, %lu of %lu are here\n", answered, total);
        exit(1);
    }
    for (int i = 0; i < count; i++)
        on_readable(events[i].data.ptr);
}

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static void report(uint64_t began_ns)
{
    static const double shares[] = {50, 90, 99, 99.9};

    printf("{\"requests\": %lu, \"failed\": %lu, \"seconds\": %.6f", answered, failed,
           (double)(now_ns() - began_ns) / 1e9);
    if (mode == RATE)
        qsort(latencies, total, sizeof *latencies, by_size);
    for (size_t i = 0; mode == RATE && i < sizeof shares / sizeof *shares; i++)
        printf(", \"p%g\": %.1f", shares[i],
               latencies[(size_t)((double)(total - 1) * shares[i] / 100)] / 10.0);
    printf("}\n");
    fflush(stdout);
}

static void set_mode(int argc, char **argv)
{
    const char *word = argc > 5 ? argv[5] : "";

    total = strtoull(argv[4], NULL, 10);
    if (strcmp(argv[4], "hold") == 0) {
        mode = HOLD;
        total = strtoull(argv[3], NULL, 10);
    } else if (strcmp(word, "close") == 0) {
        mode = CLOSE;
    } else if (word[0] != '\0') {
        mode = RATE;
        ns_between = 1000000000u / strtoull(word, NULL, 10);
        latencies = calloc(total, sizeof *latencies);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    size_t conn_count = strtoul(argv[3], NULL, 10);
    struct conn *conns = calloc(conn_count, sizeof *conns);

    set_mode(argc, argv);
    epoll_fd = epoll_create1(0);
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)strtol(argv[1], NULL, 10));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    request_len = (size_t)snprintf(request, sizeof request,
                                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n"
                                   "User-Agent: bench\r\nAccept: */*\r\n%s\r\n",
                                   argv[2], argv[1], mode == CLOSE ? "Connection: close\r\n" : "");
    to_ask = total;
    uint64_t began_ns = now_ns();

    next_due_ns = began_ns;
    for (size_t i = 0; i < conn_count; i++) {
        open_conn(&conns[i]);
        if (mode != RATE && to_ask > 0 && to_ask-- > 0)
            ask(&conns[i], now_ns());
        else if (mode == RATE)
            next_request(&conns[i]);
    }
    if (mode == RATE) /* only now are all connections there */
        began_ns = next_due_ns = now_ns();
    while (answered + failed < total) {
        if (mode == RATE)
            ask_what_is_due();
        wait_for_events();
    }
    report(began_ns);
    if (mode == HOLD)
        (void)!read(0, request, 1);
    return 0;
}
