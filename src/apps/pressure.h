/* Control groups whose memory has come near their limit: the kernel says so at once, between two
 * looks at how large an app is. Runs in: runner's loop. */
#pragma once

#include "event/loop.h"

struct pressure {
    struct loop *loop; /* borrowed */
    struct io io;      /* inotify; fd -1: not needed so far */
    /* Of the watch that pressure_add() gave. It may add and remove watches. */
    void (*on_high)(struct pressure *pressure, int watch);
};

/* Watches a group's memory.events. -1: it cannot be watched, and only the looks are left. */
int pressure_add(struct pressure *pressure, const char *events_path);
void pressure_remove(struct pressure *pressure, int watch); /* -1 is fine */
void pressure_fini(struct pressure *pressure);
