/* Apps as upstreams and picks see them. Runs in: worker, any thread, unless it says otherwise.
 *
 * Locks, outer first: roster -> sources of an upstream -> the upstream, the registry of peers. */
#pragma once

#include "balance/roster.h"
#include "base/list.h"
#include "event/address.h"

#include <stdatomic.h>
#include <stdint.h>

struct loop;

/* One process of an app. Shared by the peer sets that name it, and the app while it is listed. */
struct app_instance {
    struct roster_app *app; /* counted there */
    uint64_t serial; /* of all instances of this worker's life: the same address again is another */
    unsigned id;
    struct address address;
    atomic_uint refs;
    atomic_uint active;        /* attempts under way, tunnels too */
    atomic_uint tunnels;       /* of them: WebSockets and their like */
    atomic_bool ready;         /* false: no new request, whatever set it stands in */
    _Atomic uint64_t answered; /* requests that it has answered whole; no tunnels */
    _Atomic uint64_t busy_us;  /* ... from their beginning to the last byte, added up */
};

/* One interest in an app, from roster_follow() to roster_unfollow(). */
struct app_follower {
    struct list link; /* the app's; the roster's lock */
    struct roster_app *app;
    /* The first loop's thread or roster_follow()'s, under the roster's lock: `list[0 .. count - 1]`
     * are ready. What it keeps it refs. */
    void (*on_change)(struct app_follower *follower, struct app_instance *const *list,
                      size_t count);
};

/* `home`: the first loop, which speaks with the master. NULL: no memory. */
struct roster *roster_new(struct loop *home);

/* When the loops have ended and nobody follows. NULL is fine. */
void roster_free(struct roster *roster);

/* Calls on_change before it returns. False: no memory. `name` is borrowed for the call only. */
bool roster_follow(struct roster *roster, struct app_follower *follower, struct slice name);

/* No on_change runs any more when this returns. Fine for one that does not follow. */
void roster_unfollow(struct roster *roster, struct app_follower *follower);

enum app_status roster_app_status(const struct roster_app *app);
struct slice roster_app_name(const struct roster_app *app); /* as long as it is followed */

struct app_instance *app_instance_ref(struct app_instance *instance);
void app_instance_unref(struct app_instance *instance); /* NULL is fine */

/* An attempt begins and ends. `first`: of its request, so that requests are counted once. False: it
 * leaves, and must not be asked: nothing has begun. */
bool app_instance_begin(struct app_instance *instance, bool first);
void app_instance_end(struct app_instance *instance);

/* The attempt under way has become a tunnel (1), or one that has ends (-1), before its end. */
void app_instance_tunnel(struct app_instance *instance, int change);

/* It has answered a request whole, which waited so long before it was asked, until it had a
 * connection, and which took so long in all. */
struct app_times {
    uint64_t queue_us;
    uint64_t total_us;
};
void app_instance_answered(struct app_instance *instance, const struct app_times *times);

/* A request begins to wait for the app, which stays until it ends; wakes it if it is idle. False:
 * `limit` wait already. */
bool roster_wait_begin(struct roster_app *app, unsigned limit);
void roster_wait_end(struct roster_app *app);
