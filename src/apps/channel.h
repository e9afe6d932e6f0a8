/* Node's IPC channel as its parent sees it: JSON lines over a socket pair.
 *
 * What the app sends is hostile like all input: a line too long or not understood is dropped. A
 * cluster worker's requests go to cluster.h. Runs in: master. */
#pragma once

#include "base/slice.h"
#include "event/loop.h"

#include <stdbool.h>

struct cluster;

struct channel {
    struct io io;            /* fd -1: closed */
    struct cluster *cluster; /* borrowed; NULL: not a worker of one */
    bool is_foreign;         /* another user's: paths in the file system are not opened for it */
    char *line;              /* owned; only while a part of a line waits */
    size_t len;
    bool skipping;                             /* the rest of a line that was too long */
    void (*on_ready)(struct channel *channel); /* process.send('ready'), or it listens */
    void (*on_end)(struct channel *channel);   /* the app has closed it; it is closed here too */
};

/* The master's end is watched, the app's end is `*child_fd` (the caller closes it). False: errno.
 */
bool channel_open(struct channel *channel, struct loop *loop, int *child_fd);
void channel_close(struct channel *channel); /* closed already is fine */

/* process.on('message') of the app gets the text. False: it was not sent. */
bool channel_send_text(struct channel *channel, const char *text);

/* One JSON line and perhaps a descriptor. False: the app does not read, or has gone. */
bool channel_send_line(struct channel *channel, struct slice line, int fd);

static inline bool channel_is_open(const struct channel *channel)
{
    return channel->io.loop != NULL;
}
