/* Finding out from outside how an instance is: its address accepts, GET succeeds, a command exits
 * with 0, or it says so over NOTIFY_SOCKET.
 *
 * Whether it is ready is asked ever more slowly until it is; who asks has the deadline. Whether it
 * still lives is asked for good, at an interval. Runs in: master. */
#pragma once

#include "apps/spec.h"
#include "event/address.h"
#include "event/loop.h"

struct ready_probe {
    struct loop *loop;
    enum ready_kind kind;
    char *argument;         /* owned: path or command; freed by ready_end() */
    uint64_t every_ms;      /* 0: until it is ready; else at this interval */
    uint64_t patience_ms;   /* with one attempt; 0: 5 s */
    const char *cwd;        /* borrowed: for a command */
    struct address address; /* the one that answered, in the end */
    struct address other;   /* tried in turn with it: "localhost" may be ::1 alone; len 0: none */
    struct io io;           /* connection, pidfd or datagram socket; not watched: none */
    pid_t pid;              /* the command */
    struct deadline again;
    struct deadline patience; /* with one connection */
    unsigned attempts;
    bool asked;
    char answer[16]; /* "HTTP/1.1 200" */
    size_t answer_len;
    /* The probe has been closed, unless it goes on at an interval; may be ended here. */
    void (*on_ready)(struct ready_probe *probe);
    void (*on_failure)(struct ready_probe *probe); /* with an interval only; may end it */
};

/* Begins to ask: loop, kind, argument, address and on_ready are set. */
void ready_begin(struct ready_probe *probe);
void ready_end(struct ready_probe *probe); /* not begun or ended already is fine */

/* A datagram socket for NOTIFY_SOCKET whose name ("@...") is written to `name`. False: errno. */
bool ready_listen(struct ready_probe *probe, char *name, size_t name_bytes);
/* The same with a socket that is there already. */
bool ready_adopt(struct ready_probe *probe, int fd);
