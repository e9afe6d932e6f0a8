/* Files that are exchanged while we serve: certificates that are renewed.
 *
 * Their folders are watched (inotify), and those their symbolic links lead to, as certbot and
 * Kubernetes exchange links; once a minute they are looked at anyway, for file systems that
 * announce nothing. Whatever happens to them is taken together for a second. Runs in: master. */
#pragma once

#include "daemon/manifest.h"
#include "event/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct file_watch {
    struct loop *loop;
    struct io events;            /* inotify; .fd -1: nothing is watched */
    struct deadline settle;      /* something happened: is it over? */
    struct deadline look;        /* the next look without being told */
    struct manifest_texts files; /* owned, heap, each with a NUL behind it */
    uint64_t known;              /* what the files looked like */
    void (*on_change)(struct file_watch *watch);
};

/* `watch` is zeroed. Nothing is watched yet. */
void file_watch_init(struct file_watch *watch, struct loop *loop,
                     void (*on_change)(struct file_watch *watch));

/* What these files look like now, as one number; within a process and its children. */
uint64_t file_watch_look(const struct manifest_texts *files);

/* Watches these files from now on (a copy); when they were read they looked like `known`. False:
 * errno; those before are not watched any more either. */
bool file_watch_use(struct file_watch *watch, const struct manifest_texts *files, uint64_t known);

/* The change that was told could not be taken now: it is told again soon. */
void file_watch_again(struct file_watch *watch);
void file_watch_fini(struct file_watch *watch);
