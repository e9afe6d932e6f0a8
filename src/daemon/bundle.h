/* One good config as the master holds it: manifest and record as memfds, sockets and logs as
 * descriptors.
 *
 * Everything a worker needs to serve, without a config in the master's heap. Sockets and logs that
 * two bundles have in common are the same descriptors. Runs in: master. */
#pragma once

#include "daemon/fd_table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diag;
struct manifest;
struct run_options;

struct bundle_tables { /* what all bundles of a master share */
    struct fd_table sockets;
    struct fd_table logs;
    const struct run_options *options; /* borrowed */
    bool wait_for_address; /* the first start: who has the address now may be about to leave */
};

struct bundle {
    struct bundle_tables *tables; /* borrowed */
    uint64_t generation;
    struct manifest *manifest;  /* owned */
    int manifest_fd;            /* owned */
    int record_fd;              /* owned */
    struct shared_fd **sockets; /* owned, [manifest->listener_count] */
    struct shared_fd **logs;    /* owned, [manifest->logs.count] */
};

/* Opens what is not open yet; takes the two descriptors over. NULL: message in `diag`, and nothing
 * has changed. */
struct bundle *bundle_open(struct bundle_tables *tables, int manifest_fd, int record_fd,
                           struct diag *diag);

/* Closes what no other bundle uses, and removes the names of such unix sockets. NULL is fine. */
void bundle_free(struct bundle *bundle);

/* Hands everything to a worker. False: errno. */
bool bundle_send(const struct bundle *bundle, int channel_fd);

/* Is a log's name another file's, or nobody's, since it was opened? */
bool bundle_logs_moved(const struct bundle *bundle);

/* Opens all logs anew behind their numbers. What cannot be opened keeps its file, with a message in
 * `diag`. */
void bundle_reopen_logs(struct bundle *bundle, struct diag *diag);
bool bundle_send_logs(const struct bundle *bundle, int channel_fd);

/* One by one, with their names: for a worker that uses another generation. */
bool bundle_send_each_log(const struct bundle *bundle, int channel_fd);
