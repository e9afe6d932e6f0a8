/* The apps that Pelayan runs: their specs, their processes, and what is asked of them.
 *
 * Everything is asked with a JSON object, {"command":"start", ...}, and answered once, at once or
 * when it has happened. Runs in: master's loop. */
#pragma once

#include "base/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct apps;
struct log;
struct loop;

/* Who is told; all callbacks may be NULL. */
struct apps_observer {
    /* The ready instances of app `name` are others now. */
    void (*on_change)(void *context, const char *name);
    /* A child of this process has ended that apps do not know, perhaps. */
    void (*on_strays)(void *context);
    /* The last process has ended after apps_stop_all(). */
    void (*on_idle)(void *context);
    void *context;
};

/* `home` is the folder of state and logs, which exists. NULL: errno. */
struct apps *apps_new(struct loop *loop, const char *home, const struct log *log,
                      const struct apps_observer *observer);

/* Kills what still runs. NULL is fine. */
void apps_free(struct apps *apps);

/* Stops all, for good: nothing is started any more. */
void apps_stop_all(struct apps *apps);
bool apps_idle(const struct apps *apps);

/* Whoever started us did so for apps of its own: when it has removed them and there are no others,
 * that is the end, as after apps_stop_all(). */
void apps_may_leave(struct apps *apps);

/* Opens all logs anew by their names. */
void apps_reopen_logs(struct apps *apps);

/* Is this child one of ours? Then its end is noticed here, and nobody else may wait for it. */
bool apps_know_pid(const struct apps *apps, pid_t pid);

/* Somebody who is told, in lines of JSON, how each app can be reached: see docs/architecture.md. */
struct follower;

struct apps_listener {
    void (*tell)(void *context, struct slice line); /* one app, with the line's end */
    void (*ended)(void *context);                   /* the apps are gone, and so is the follower */
    void *context;
};

/* Tells of every app at once, then how many these are ({"apps":N}), then of each change. NULL: no
 * memory. */
struct follower *apps_follow(struct apps *apps, const struct apps_listener *listener);

/* What it says: {"do":"wake"} and {"do":"load"}; what makes no sense is nothing. */
void follower_hear(struct follower *follower, json_t *line);
void apps_unfollow(struct follower *follower);

/* `result` is borrowed and may be NULL; `ok` false: result holds {"message": ...}. */
typedef void apps_answer_fn(void *context, bool ok, json_t *result);

/* True: it has been or will be answered. False: there is no such command. */
bool apps_ask(struct apps *apps, json_t *request, apps_answer_fn *answer, void *context);
