/* Descriptors found by name and counted: listening sockets by address, logs by path.
 *
 * What two bundles have in common is one descriptor, whose number never changes while somebody uses
 * it. Names are kept for good (there are as many as a config ever named); descriptors are closed
 * with their last user. Runs in: any thread. */
#pragma once

#include "base/map.h"

#include <pthread.h>
#include <stdbool.h>

struct shared_fd {
    int fd; /* -1: closed, nobody uses it */
    unsigned refs;
    struct slice name; /* owned, NUL-terminated */
};

struct fd_table {
    pthread_mutex_t lock;
    struct map map;
};

void fd_table_init(struct fd_table *table);
void fd_table_fini(struct fd_table *table); /* closes all */

/* One more user of `name`, or NULL: nobody has it open. */
struct shared_fd *fd_table_ref(struct fd_table *table, struct slice name);

/* As fd_table_ref(); if nobody has it open, `fd` becomes it. In any case `fd` is taken over (closed
 * if not needed). NULL: no memory. */
struct shared_fd *fd_table_adopt(struct fd_table *table, struct slice name, int fd);

/* True: that was the last user, it is closed now. NULL is fine. */
bool fd_table_unref(struct fd_table *table, struct shared_fd *shared);

/* Puts another file behind the same number; `fd` is taken over. False: errno. */
bool shared_fd_replace(struct shared_fd *shared, int fd);
