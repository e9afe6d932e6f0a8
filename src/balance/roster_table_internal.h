/* The inside of struct roster, for roster.c and roster_report.c. Runs in: worker, any thread. */
#pragma once

#include "balance/roster_internal.h"
#include "event/loop.h"

#include <pthread.h>

struct nudge;

enum { ROSTER_BUCKETS = 128 };

struct roster_app {
    struct list link; /* its bucket's; roster->lock */
    struct roster *roster;
    struct slice name;               /* behind the struct */
    char *reason;                    /* owned; NULL: none; roster->lock */
    unsigned desired;                /* roster->lock */
    uint64_t version;                /* of the last notice; roster->lock */
    struct app_instance **instances; /* owned, each with a reference; roster->lock */
    size_t instance_count;
    struct list followers; /* roster->lock */

    _Atomic(enum app_status) status;
    atomic_uint holders;       /* instances still in use, requests that wait */
    atomic_uint waiting;       /* requests */
    atomic_uint queue_ewma_us; /* how long requests waited: a moving average */
    _Atomic uint64_t requests;
    atomic_bool changed;       /* since the last report */
    atomic_bool urgent;        /* the next report must not wait */
    _Atomic uint64_t asked_ms; /* when it was wanted last; 0: not since the last notice */
    atomic_bool wanted;        /* the master has to hear that somebody waits */
};

struct roster {
    pthread_mutex_t lock;
    struct list buckets[ROSTER_BUCKETS]; /* of struct roster_app, by name */
    uint64_t last_serial;                /* lock */
    struct roster_master master;         /* set once */
    struct loop *home;                   /* borrowed: who speaks with the master */
    struct nudge *nudge;                 /* owned: home looks for what is to be said */
    struct deadline next_report;         /* home's */
    uint64_t reported_ms;                /* home's: the last round */
};

/* roster_report.c */
bool roster_report_init(struct roster *roster);
void roster_report_fini(struct roster *roster);
void roster_report_soon(struct roster_app *app, bool urgent);
void roster_report_wanted(struct roster_app *app);
