/* The master from inside. Runs in: master; everything belongs to its only thread. */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "daemon/app_link.h"
#include "daemon/background.h"
#include "daemon/bundle.h"
#include "daemon/file_watch.h"
#include "daemon/parts.h"
#include "daemon/validate.h"
#include "event/loop.h"

#include <pthread.h>
#include <signal.h>

struct control_request;
struct control_server;
struct master;

enum worker_state {
    WORKER_STARTING, /* has not served yet */
    WORKER_SERVING,
    WORKER_LEAVING, /* told to drain or stop */
    WORKER_ENDED,   /* reaped: its pid is nobody's */
};

/* One worker process; with `master_process off` a thread. */
struct worker_process {
    struct list link; /* in master->workers */
    struct master *master;
    enum worker_state state;
    pid_t pid; /* of a thread: our own */
    pthread_t thread;
    bool is_thread;
    struct io channel;
    uint64_t started_ms;
    uint64_t sent;            /* the last generation it was handed */
    int channel_end;          /* a thread's end of the channel, until it runs */
    struct app_progress apps; /* what it has been told of them */
    struct list app_loads;    /* what it says of them */
    struct parts parts;       /* ... so far */
    struct manifest
        *manifest; /* owned: what it was started with; NULL: an earlier program's, unknown */
};

/* Bringing a config from the disk to the loops. */
enum rollout_step {
    ROLLOUT_NONE,
    ROLLOUT_CHECKING, /* the validating child works */
    ROLLOUT_HANDING,  /* a worker has the bundle and has not answered */
};

struct rollout {
    enum rollout_step step;
    struct validation validation;
    struct io verdict;             /* the validation's descriptor */
    struct bundle *bundle;         /* owned while handing */
    struct worker_process *target; /* who has the bundle */
    bool new_worker;               /* by all means: an upgrade */
    bool careful; /* nobody asked: files were exchanged; what makes anything worse is not taken */
    bool again;   /* asked for while one was on its way: the files may have been read already */
    struct deadline patience; /* reload_timeout, since checking began */
    bool late;                /* it has passed, those who waited have been told */
    struct list waiting;      /* control requests that get the result */
    struct list waiting_next; /* ... of the next one */
};

enum master_phase { MASTER_RUNNING, MASTER_QUITTING, MASTER_STOPPING };

struct master {
    const struct run_options *options; /* borrowed */
    struct loop *loop;
    struct io signals;
    struct bundle_tables tables;
    struct bundle *current; /* the config that is served; NULL until the first one is */
    struct list workers;    /* all that live; at most one is not leaving, two during an upgrade */
    struct worker_process *worker; /* the one that serves or starts; NULL: none */
    struct rollout rollout;
    struct file_watch certificates;
    struct deadline respawn;
    struct deadline kill; /* fast stop: the patience with workers */
    unsigned crashes;     /* in a row, of workers that died young */
    struct control_server *control;
    struct list reopening; /* control requests that wait for the worker's answer */
    bool reopen_wanted;    /* as soon as the worker has taken or refused the bundle it was handed */
    struct list stopping;  /* ... for the end */
    pid_t upgrade_check;   /* the new program's -t, or 0 */
    bool upgrade_wanted;   /* as soon as the rollout under way has ended */
    struct list upgrading; /* control requests that wait for it */
    struct log log;
    struct log_target *log_targets; /* owned */
    uint64_t generation;
    enum master_phase phase;
    bool without_worker; /* WINCH: until HUP */
    char *pid_path;      /* owned; NULL until written */
    char *socket_path;   /* owned; NULL: none */
    struct app_link apps;
    struct background background;
    int exit_code;
};

/* master.c */
void master_log_to(struct master *master, const struct bundle *bundle);
void master_step_down(struct master *master, enum master_phase phase);
void master_exit_if_done(struct master *master);

/* rollout.c */
void rollout_begin(struct master *master, struct control_request *request, bool new_worker);
void rollout_renew(struct file_watch *watch); /* files of the configuration have been exchanged */
void rollout_served(struct master *master, struct worker_process *worker, uint64_t generation);
void rollout_failed(struct master *master, struct worker_process *worker, uint64_t generation,
                    struct slice why);
void rollout_cancel(struct master *master, const char *why);
bool rollout_take_verdict(struct master *master, struct verdict *verdict);
void master_answer_all(struct list *requests, bool ok, struct slice text);

/* workers.c */
struct worker_process *worker_spawn(struct master *master, const struct bundle *bundle);
struct worker_process *worker_adopt(struct master *master, pid_t pid, int channel_fd);
void worker_order_drain(struct worker_process *worker);
void worker_order_stop(struct worker_process *worker);
void worker_ended(struct worker_process *worker, int status); /* frees it */
void workers_reap(struct master *master);
void workers_kill(struct master *master, int number);
void worker_respawn(struct master *master);
void master_reopen(struct master *master, struct control_request *request);

/* upgrade.c */
void upgrade_begin(struct master *master, struct control_request *request);
void upgrade_checked(struct master *master, int status);
bool upgrade_restore(struct master *master); /* false: our state was not handed over by anybody */

/* commands.c */
bool commands_open(struct master *master, const char *pid_path, int inherited_fd);
