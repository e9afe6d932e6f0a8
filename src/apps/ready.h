/* Finding out whether an instance is ready, from outside: its address accepts, GET succeeds, a
 * command exits with 0, or it says so over NOTIFY_SOCKET. Asked again until it is true; who asks
 * has the deadline. Runs in: master. */
#pragma once

#include "apps/spec.h"
#include "event/address.h"
#include "event/loop.h"

struct ready_probe {
    struct loop *loop;
    enum ready_kind kind;
    const char *argument; /* borrowed: path or command */
    const char *cwd;      /* borrowed: for a command */
    struct address address;
    struct io io; /* connection, pidfd or datagram socket; not watched: none */
    pid_t pid;    /* the command */
    struct deadline again;
    struct deadline patience; /* with one connection */
    unsigned attempts;
    bool asked;
    char answer[16]; /* "HTTP/1.1 200" */
    size_t answer_len;
    void (*on_ready)(struct ready_probe *probe); /* the probe has been closed */
};

/* Begins to ask: loop, kind, argument, address and on_ready are set. */
void ready_begin(struct ready_probe *probe);
void ready_end(struct ready_probe *probe); /* not begun or ended already is fine */

/* A datagram socket for NOTIFY_SOCKET whose name ("@...") is written to `name`. False: errno. */
bool ready_listen(struct ready_probe *probe, char *name, size_t name_bytes);
/* The same with a socket that is there already. */
bool ready_adopt(struct ready_probe *probe, int fd);
