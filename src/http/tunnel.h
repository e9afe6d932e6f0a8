/* Two byte streams tied together after a protocol switch (101) or CONNECT. Runs in: worker, loop
 * thread. */
#pragma once

#include "event/loop.h"

struct buf;

/* One side. Who owns the descriptor calls on_ready for its events until the exchange ends. */
struct tunnel_end {
    int fd;        /* borrowed */
    struct io *io; /* borrowed: for its `ready` bits */
    struct buf
        *early; /* bytes read before the tunnel began, or NULL; the tunnel takes the reference */
    struct buf *unsent; /* the rest of the head that must go out first, or NULL; the tunnel takes
                           the reference */
    void (*on_ready)(struct tunnel_end *end, unsigned events); /* set by the tunnel */
    void *tunnel;                                              /* the tunnel's */
};
