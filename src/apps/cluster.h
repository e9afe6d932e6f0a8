/* The primary's part of node's cluster, without a node: several workers listen on one socket.
 *
 * A worker that calls listen() asks its parent for the socket. It is opened here once per address
 * and stays open while any instance of the app lives: so during a rolling change new connections
 * always find a listener. The kernel deals them out; no byte passes through the master.
 * Runs in: master. */
#pragma once

#include "base/list.h"
#include "base/slice.h"

#include <stdbool.h>

struct channel;

struct cluster {
    struct list handles;
};

void cluster_init(struct cluster *cluster);
void cluster_fini(struct cluster *cluster); /* closes all sockets */

/* Between these two each socket that is still wanted is asked for; the others are closed. */
void cluster_begin_change(struct cluster *cluster);
void cluster_end_change(struct cluster *cluster);

/* True: the worker says that it listens now. */
bool cluster_on_message(struct cluster *cluster, struct channel *channel, struct slice line);

/* Asks a worker to take no more connections, finish those it has, and leave. */
bool cluster_disconnect(struct channel *channel);

/* A socket of ours for all instances, by its address: opened once, wanted again by each start. -1:
 * errno. */
int cluster_listen(struct cluster *cluster, const char *address);

/* Is any socket open? Then instances can overlap. */
static inline bool cluster_listens(const struct cluster *cluster)
{
    return !list_empty(&cluster->handles);
}
