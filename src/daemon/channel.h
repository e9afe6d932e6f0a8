/* Messages between the master and a worker: a SOCK_SEQPACKET pair, each message a small struct, a
 * text and descriptors.
 *
 * Sending never blocks: who does not read in time is given up by the caller. The master takes
 * nothing from a worker but numbers, a text for the log, and what it says of the load of apps,
 * which is checked. Runs in: master; worker's first loop. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum message_kind { /* the numbers stay: after an upgrade a new master talks to an old worker */
                    MESSAGE_FDS = 1,    /* to worker: more descriptors for what comes next */
                    MESSAGE_BUNDLE = 2, /* to worker: manifest, record, listeners, logs have been
                                           sent; use them as generation `number` */
                    MESSAGE_LOGS =
                        3, /* to worker: the logs of generation `number` have been sent anew */
                    MESSAGE_DRAIN = 4, /* to worker: finish what is running and leave */
                    MESSAGE_STOP = 5,  /* to worker: leave now */
                    MESSAGE_APP = 6,   /* to worker: where an app can be reached now; `text`: "NAME
                                          STATUS DESIRED", a line "ID ADDRESS STATE" for each
                                          instance, and of a failed one "! REASON" */
                    MESSAGE_PART = 7,  /* either way: of the text of the next message that has none,
                                          from byte `number` on; see parts.h */
                    MESSAGE_LOG = 8,   /* to a worker that leaves, whatever its generation: the log
                                          `text` has been sent anew */
                    MESSAGE_SERVING =
                        16, /* to master: generation `number` is in use on every loop */
                    MESSAGE_FAILED =
                        17, /* to master: generation `number` could not be used: `text` */
                    MESSAGE_REOPENED = 18, /* to master: the logs are replaced */
                    MESSAGE_APP_WANTED =
                        19,                /* to master: a request waits for the idle app `text` */
                    MESSAGE_APP_LOAD = 20, /* to master: "NAME REQUESTS WAITING QUEUE_US", and a
                                              line "ID ACTIVE ANSWERED BUSY_US TUNNELS" for each
                                              instance */
};

enum { MESSAGE_FDS_MAX = 200, MESSAGE_TEXT_MAX = 32768 };

struct message {
    enum message_kind kind;
    uint64_t number;
    struct slice text; /* in `buffer` */
    size_t fd_count;
    int fds[MESSAGE_FDS_MAX]; /* the receiver closes them */
    char buffer[64 + MESSAGE_TEXT_MAX];
};

enum message_result { MESSAGE_OK, MESSAGE_AGAIN, MESSAGE_CLOSED, MESSAGE_BAD };

/* Both ends non-blocking and close-on-exec. False: errno. */
bool channel_pair(int fds[2]);

/* `text` is cut at MESSAGE_TEXT_MAX. False: errno (EAGAIN: the other side does not read). */
bool channel_send(int fd, enum message_kind kind, uint64_t number, struct slice text);

/* In as many messages as it takes; the caller keeps the descriptors. */
bool channel_send_fds(int fd, const int *fds, size_t count);

/* MESSAGE_BAD: not one of ours (its descriptors are closed). */
enum message_result channel_receive(int fd, struct message *message);
