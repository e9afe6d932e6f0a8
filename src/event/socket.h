/* Making and using sockets: non-blocking, close-on-exec, with the options nginx's listen has.
 * Runs in: any. Errors: -1 or false with errno. */
#pragma once

#include "event/address.h"

#include <sys/types.h>
#include <sys/uio.h>

struct listen_options {
    struct address address;
    int backlog; /* -1: 511, as nginx */
    int rcvbuf;  /* bytes; 0: the system's */
    int sndbuf;
    int fastopen; /* queue length; -1: off */
    int setfib;   /* unused on Linux; refused by the config */
    bool reuseport;
    bool deferred;      /* TCP_DEFER_ACCEPT */
    bool ipv6only;      /* default on */
    bool nodelay;       /* TCP_NODELAY: accepted sockets inherit it */
    bool keepalive_set; /* so_keepalive was given */
    bool keepalive;
    int keepidle_s; /* 0: the system's */
    int keepintvl_s;
    int keepcnt;
};

/* socket, options, bind, listen. A stale unix socket file nobody listens on is replaced. */
int socket_listen(const struct listen_options *options);

/* Applies what can be changed on an open listener (backlog, buffers, deferred, keep-alive). */
bool socket_listen_update(int fd, const struct listen_options *options);

/* accept4 with SOCK_NONBLOCK|SOCK_CLOEXEC; retries EINTR and ECONNABORTED. -1: errno (EAGAIN: none
 * waiting). */
int socket_accept(int fd, struct address *peer);

struct connect_options {
    struct address source; /* len 0: the kernel's choice (proxy_bind) */
    bool transparent;      /* IP_TRANSPARENT on the source */
    bool keepalive;        /* SO_KEEPALIVE */
    int rcvbuf;            /* 0: the system's choice */
    int sndbuf;
};

/* Starts a connection: the fd, with `*done` telling whether it is established already. -1: errno
 * (EAGAIN: the backlog of a unix socket is full). `options` may be NULL. */
int socket_connect(const struct address *peer, const struct connect_options *options, bool *done);

/* SO_ERROR: 0, or why the connection failed. */
int socket_error(int fd);

void socket_nodelay(int fd, bool on);
void socket_cork(int fd, bool on);

/* Acknowledges what was received at once: a peer that writes twice and has Nagle's algorithm on
 * sends its second piece only then. */
void socket_quickack(int fd);

/* Closes with RST instead of FIN (reset_timedout_connection). */
void socket_close_reset(int fd);

enum io_result_kind {
    IO_DONE,   /* `bytes` were moved (may be fewer than asked for) */
    IO_AGAIN,  /* nothing now: wait */
    IO_END,    /* the peer closed its side (reads only); the file ended */
    IO_FAILED, /* errno in `error` */
};

struct io_result {
    enum io_result_kind kind;
    size_t bytes;
    int error;
};

/* A socket that has gone away gives IO_FAILED with EPIPE and no signal, except from sendfile:
 * SIGPIPE must be ignored. socket_sendfile() says IO_END when the file ends before `bytes`. */
struct io_result socket_recv(int fd, void *data, size_t bytes);
struct io_result socket_peek(int fd, void *data, size_t bytes);
struct io_result socket_send(int fd, const struct iovec *parts, int count, bool more_follows);
struct io_result socket_sendfile(int fd, int file_fd, off_t *offset, size_t bytes);
