/* Apps from inside: app, instance, operation, rollout. Runs in: master's loop. */
#pragma once

#include "apps/apps.h"
#include "apps/channel.h"
#include "apps/cluster.h"
#include "apps/cron.h"
#include "apps/group.h"
#include "apps/pressure.h"
#include "apps/rate.h"
#include "apps/ready.h"
#include "apps/scale.h"
#include "apps/sink.h"
#include "apps/spec.h"
#include "event/loop.h"

struct diag;
struct operation;
struct rollout;
struct watch;

enum instance_state {
    STATE_STOPPED,
    STATE_WAITING, /* for the restart delay */
    STATE_STARTING,
    STATE_ONLINE,
    STATE_STOPPING,
    STATE_ERRORED,
    STATE_COUNT,
};

enum instance_event {
    EVENT_START,
    EVENT_READY,
    EVENT_LATE, /* not ready within listen_timeout */
    EVENT_STOP,
    EVENT_RESTART,
    EVENT_PATIENCE, /* still there after kill_timeout */
    EVENT_EXIT,
    EVENT_DELAY, /* the restart delay is over */
    EVENT_COUNT,
};

enum { REASON_BYTES = 200, INPUT_BYTES_MAX = 4096 };

/* One process of an app, and what is known of those before it. */
struct instance {
    struct list link; /* in app->instances or app->retiring */
    struct app *app;
    struct app_spec *spec; /* one reference: what it was started with */
    int id;                /* pm_id */
    int index;
    int increment;
    enum instance_state state;
    bool start_again;      /* stopping: to be started afterwards */
    bool free_after;       /* stopping: to be forgotten afterwards */
    bool trial;            /* part of a rollout: it must become ready, or be given up */
    bool disconnecting;    /* a cluster worker that finishes before it is signalled */
    bool disconnected;     /* it was asked to, once */
    bool killed;           /* SIGKILL was sent */
    bool replaced;         /* stopping because of what it is: its reason stays */
    bool outlived;         /* a successor was begun: if this one is still here, it failed */
    pid_t pid;             /* 0: no process */
    struct io process;     /* the pidfd */
    int input;             /* our end of its standard input; -1: none */
    struct deadline timer; /* STARTING: listen timeout; STOPPING: patience; WAITING: delay */
    struct channel channel;
    struct ready_probe probe;
    struct ready_probe live; /* ONLINE, with `live` */
    unsigned hung;           /* so many failures in a row */
    unsigned too_large;      /* so many samples in a row over max_memory_restart */
    int port;
    char *socket;       /* owned */
    char *group;        /* owned: the process's control group; NULL: none */
    bool group_killed;  /* it is of no further use */
    uint64_t oom_kills; /* in it, when the process was started */
    int pressure;       /* the watch of its memory; -1: none */
    bool six;           /* its port accepts at ::1 only */
    unsigned serial;    /* of the process: what balancers call it */
    bool draining;      /* stopping: it gets no new request, and is signalled when none is left */
    bool drain_blind;   /* ... somebody who had requests on it cannot say any more */
    uint64_t drain_version;    /* the app's when that was told; 0: not yet */
    uint64_t drain_until_ms;   /* the end of its budget */
    uint64_t tunnels_until_ms; /* ... of that of WebSockets */
    uint64_t unused_ms;        /* since when nobody has had a request on it; 0: somebody has */
    unsigned runs;             /* processes so far: tells a restart from none */
    unsigned restarts;         /* shown */
    unsigned unstable;         /* unstable starts in a row */
    uint64_t delay_ms;         /* WAITING: how long */
    uint64_t backoff_ms;       /* the last delay */
    double crash_level;        /* see policy.h */
    uint64_t crashed_ms;
    uint64_t created_ms; /* monotonic: of the counters */
    uint64_t started_ms; /* monotonic */
    uint64_t created_wall_ms;
    uint64_t started_wall_ms;
    int exit_code;
    int exit_signal;
    uint64_t peak_bytes;          /* the most memory its last process had */
    uint64_t end_started_wall_ms; /* of the end that `reason` is about: since when it lived */
    uint64_t end_wall_ms;         /* ... until when */
    uint64_t end_peak_bytes;
    char reason[REASON_BYTES]; /* of the last end that nobody asked for, or of its being errored */
    struct rate rate;          /* of what balancers asked of it */
    uint64_t sampled_ms;
    uint64_t sampled_cpu_us;
    uint64_t rss_bytes;
    double cpu_percent;
};

struct app {
    struct list link;
    struct apps *apps;
    char *name;            /* owned */
    struct app_spec *spec; /* one reference: what the next instance is started with */
    struct list instances;
    struct list retiring; /* replaced: stopping, then forgotten */
    struct cluster cluster;
    struct rollout *rollout; /* owned; NULL: none */
    struct deadline schedule;
    struct cron cron;
    time_t due;          /* when the schedule is next due, wall time; 0: never */
    struct watch *watch; /* owned; NULL: not watched */
    char *source;        /* owned: the configuration that declares it; NULL: none */
    json_t *told;        /* owned: what followers know of it */
    uint64_t version;    /* of what they know */
    struct scale_memory scale;
    bool idle; /* stopped until somebody asks for it */
};

struct apps {
    struct loop *loop; /* borrowed */
    const struct log *log;
    struct apps_observer observer;
    char *home; /* owned */
    struct list apps;
    struct list operations;
    struct list followers;
    struct sinks sinks;
    struct groups groups;
    struct pressure pressure;
    struct deadline tidying; /* of groups whose last processes were still ending */
    struct deadline sampling;
    int next_id;
    unsigned next_serial;
    unsigned next_port;
    bool may_leave;       /* a balancer started us, for its own apps */
    bool leave_if_empty;  /* ... and has left */
    uint64_t version;     /* the last one given to an app */
    unsigned next_socket; /* number of the next unix socket's path */
    bool stopping;
};

/* instance.c */
struct instance *instance_new(struct app *app, int id, int index);
void instance_free(struct instance *instance); /* kills the process if there is one */
void instance_event(struct instance *instance, enum instance_event event);
/* Another takes its place, for this reason: beside it where both can run, else after it. */
void instance_replace(struct instance *instance, const char *why);
const char *instance_state_name(enum instance_state state);
bool instance_has_process(const struct instance *instance);

/* process.c: the process of an instance. False: message in `instance->reason`. */
bool process_start(struct instance *instance);
void process_ask_to_stop(struct instance *instance);
void process_kill(struct instance *instance);
void process_signal(struct instance *instance, int number);
void process_watch_life(struct instance *instance);
void process_forget(struct instance *instance); /* closes everything that belonged to it */

/* outputs.c: pipes to its logs; the app's ends are the caller's. */
bool outputs_open(struct instance *instance, struct diag *diag, int *output, int *errors);

/* input.c: the pipe to its standard input; the app's end is the caller's. */
bool input_open(struct instance *instance, struct diag *diag, int *child_end);
void input_close(struct instance *instance); /* closed already is fine */
/* `text` is INPUT_BYTES_MAX long at most. NULL: all of it was written; else why nothing was, to
 * stand behind the app's name. */
const char *input_send(const struct instance *instance, struct slice text);

/* log_paths.c */
char *log_path(const struct instance *instance, bool errors); /* malloc'ed, NULL: no memory */
char *pid_path(const struct instance *instance);

/* app.c */
struct app *app_new(struct apps *apps, struct app_spec *spec);
void app_free(struct app *app);
struct app *app_find(const struct apps *apps, const char *name);
void app_use_spec(struct app *app, struct app_spec *spec); /* takes a reference */
void app_rename(struct app *app, const char *name);        /* the same name is fine */
void app_due_at(struct app *app, time_t due);              /* of its schedule, after a handover */
struct instance *app_add(struct app *app);                 /* NULL: no memory */
size_t app_count(const struct app *app);
void app_changed(struct app *app);
void app_wake(struct app *app);              /* if it is idle: somebody asks for it */
void app_settled(struct instance *instance); /* its state is another one: who waits is told */
void app_remove(struct instance *instance);  /* stops and forgets it */
void apps_leave_if_empty(struct apps *apps);
int apps_next_id(struct apps *apps);
int apps_next_increment(const struct app *app);
void apps_sample(struct apps *apps);
void app_watch_memory(struct instance *instance); /* its process has been started, or taken over */
void apps_drop_group(struct apps *apps, char *group); /* taken over; NULL is fine */

/* operation.c: what is answered when several instances have come to rest. */
enum goal { GOAL_RUNNING, GOAL_STOPPED, GOAL_GONE };
struct operation *operation_new(struct apps *apps, enum goal goal, apps_answer_fn *answer,
                                void *context);
bool operation_add(struct operation *operation, struct instance *instance);
bool operation_add_leaving(struct operation *operation, struct instance *instance);
bool operation_add_rollout(struct operation *operation, struct rollout *rollout);
void operation_fail(struct operation *operation, const char *why);
void operation_begin(struct operation *operation); /* all are added: may answer and free it */
void operations_check(struct apps *apps);
void operations_forget(struct apps *apps, const struct instance *instance);
void operations_rollout_ended(struct apps *apps, const struct rollout *rollout, const char *why);
void operation_result(struct operation *operation, json_t *result); /* sent with success; stolen */

/* rollout.c: replaces all instances, `parallel` at a time, or only one. NULL: no memory. */
enum { ROLLOUT_LANES_MAX = 16 };
struct rollout *rollout_start(struct app *app, unsigned parallel);
struct rollout *rollout_start_one(struct instance *instance);
void rollout_on_settled(struct rollout *rollout, struct instance *instance);
void rollout_on_gone(struct rollout *rollout, const struct instance *instance);
void rollout_free(struct rollout *rollout); /* cut short; NULL is fine */
bool app_overlaps(const struct app *app);   /* may the new one run beside the old? */

/* follow.c */
struct app_load { /* what all followers say together */
    uint64_t requests, waiting, active;
    uint64_t queue_us; /* the largest */
};
bool spec_has_address(const struct app_spec *spec); /* each instance one of its own */
void follow_changed(struct app *app);
void follow_gone(struct app *app); /* it is about to be freed */
/* True: nothing new comes to it; its timer expires when what runs on it is done. */
bool follow_drain(struct instance *instance);
void follow_end_drains(struct app *app); /* nobody is waited for any more */
struct app_load follow_load(const struct app *app);
void followers_end(struct apps *apps);

/* changes.c: what commands do to whole apps */
int app_wanted_count(const struct app_spec *spec);
int app_living(const struct app *app); /* instances that are not on their way out */
struct app *app_start_new(struct apps *apps, struct operation *operation, struct app_spec *spec);
bool app_add_started(struct operation *operation, struct app *app); /* one instance more */
bool app_replace(struct operation *operation, struct app *app, unsigned parallel);
bool app_fit(struct operation *operation, struct app *app);        /* as many as its spec allows */
bool app_fits(const struct app *app, const struct app_spec *spec); /* ... as it says already? */
struct instance *app_highest(const struct app *app); /* that is not on its way out, or NULL */
bool app_resize(struct operation *operation, struct app *app, int count);

/* pace.c */
bool app_has_pace(const struct app *app); /* must be looked at every second */
void app_pace(struct app *app);

/* watch.c */
struct watch *watch_new(struct loop *loop, const struct app_spec *spec,
                        void (*on_change)(void *context), void *context, struct diag *diag);
void watch_free(struct watch *watch);

/* report.c */
json_t *report_instance(struct instance *instance, bool with_env);
json_t *report_all(struct apps *apps);
char *report_tail(struct instance *instance, bool errors); /* the last lines; malloc'ed or NULL */

/* state.c */
bool state_save(struct apps *apps, struct diag *diag);
bool state_forget(struct apps *apps);   /* what was saved; false: errno */
void state_autosave(struct apps *apps); /* if `startup` asked for it */
json_t *state_load(struct apps *apps, struct diag *diag);
