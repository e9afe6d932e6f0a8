/* Between the library and a socket of a loop: reads what was announced, and no more.
 * Runs in: worker, loop thread. */
#pragma once

#include "event/loop.h"

#include <openssl/bio.h>
#include <stdbool.h>

struct buf;
struct tls_away;

struct tls_wire {
    struct io *io;         /* borrowed */
    struct buf *early;     /* read before TLS began; owned; NULL: none */
    struct tls_away *away; /* a thread reads and writes: `io` is not its to touch; NULL: the loop */
    bool blocked;          /* in that thread: the socket took no more */
    bool drained;          /* the last read was short: the kernel has no more until it says so */
    bool ended;            /* the peer's end of stream was read */
    int error;             /* errno of a read or write that failed */
};

/* A BIO on `wire`, which must outlive it. NULL: no memory. */
BIO *tls_bio_new(struct tls_wire *wire);
