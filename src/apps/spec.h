/* What the user says about an app: one struct, filled from rows (options.c) out of JSON.
 *
 * Everything that describes an app (an ecosystem file, the command line, the config, a saved state)
 * becomes a JSON object with pm2's keys first and then a spec. A spec never changes: a changed app
 * gets a new one, and instances keep the one they were started with. Runs in: master; cli. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct diag;

struct words {
    char **items; /* arena, NULL-terminated; NULL if there are none */
    size_t count;
};

/* `true`, `false`, one word or several: watch, filter_env. */
struct switch_words {
    bool on;
    struct words words; /* empty with `on`: everything */
    bool exact;         /* a text, no list: the one word itself is meant */
};

struct codes {
    int *items;
    size_t count;
};

enum ready_kind {
    READY_SPAWNED, /* as soon as the program was executed */
    READY_TCP,     /* its address accepts a connection */
    READY_HTTP,    /* GET gives 2xx or 3xx */
    READY_EXEC,    /* a command exits with 0 */
    READY_IPC,     /* process.send('ready'), or the first listen() of a cluster worker */
    READY_NOTIFY,  /* READY=1 over NOTIFY_SOCKET */
};

struct app_spec {
    unsigned refs;
    struct arena *arena; /* owned: all texts */
    json_t *source;      /* owned: what it was made from, canonical keys, `env` as given */
    json_t *inherited;   /* owned: the environment of who asked, or NULL: the master's own */
    char *name;
    char *namespace;
    char *script;
    struct words args;
    struct words node_args;
    char *interpreter; /* NULL: by the script's extension */
    char *cwd;         /* absolute */
    char *uid;
    char *gid;
    char *umask;
    char *limit_nofile; /* "soft" or "soft:hard" */
    char *limit_nproc;
    char *limit_core;
    char *limit_fsize;
    char *limit_as;
    char *limit_stack;
    char *limit_memlock;
    struct launch_limit *limits; /* arena: from these */
    size_t limit_count;
    uint64_t limit_memory_bytes; /* of the whole tree, by a control group */
    int limit_processes;
    int limit_cpu_percent;
    int port;
    char *instances;
    char *exec_mode;
    char *increment_var;
    char *instance_var;
    bool socket;
    bool balance;
    uint64_t drain_timeout_ms, drain_websocket_timeout_ms;
    uint64_t idle_timeout_ms;
    int scale_up_at;
    uint64_t scale_down_after_ms;
    bool reuse_port;
    struct words listen_fds;
    bool autostart;
    bool autorestart;
    struct codes stop_exit_codes;
    uint64_t restart_delay_ms;
    uint64_t backoff_ms;
    uint64_t min_uptime_ms;
    int max_restarts;
    uint64_t crash_window_ms;
    uint64_t kill_timeout_ms;
    char *kill_signal;
    int kill_number; /* from kill_signal */
    bool shutdown_with_message;
    bool treekill;
    bool wait_ready;
    uint64_t listen_timeout_ms;
    uint64_t trial_timeout_ms; /* the same in a rolling change */
    char *ready;
    enum ready_kind ready_kind;
    char *ready_argument; /* the path, or the command */
    char *live;
    enum ready_kind live_kind; /* READY_SPAWNED: not asked */
    char *live_argument;
    uint64_t live_interval_ms;
    uint64_t live_timeout_ms;
    int live_failures;
    uint64_t max_memory_bytes;
    char *cron;
    bool is_job; /* cron starts it, and restarts nothing */
    char *schedule;
    struct switch_words watch;
    uint64_t watch_delay_ms;
    struct words ignore_watch;
    struct words watch_ext; /* only files with one of these; each may hold several, with commas */
    struct switch_words filter_env;
    json_t *env;  /* borrowed from source: the effective one, env_NAME laid over env; may be NULL */
    char *env_in; /* NAME of env_NAME in use, or NULL */
    char *out_file;
    char *error_file;
    char *log_file;
    bool merge_logs;
    char *log_date_format; /* strftime's letters; from day.js's */
    bool time;
    char *log_type;
    bool disable_logs;
    char *pid_file;
    uint64_t log_max_bytes;
    uint64_t log_total_bytes;
    uint64_t log_max_age_ms;
    bool log_compress;
};

enum option_kind {
    OPTION_TEXT,  /* numbers are taken as text */
    OPTION_BOOL,  /* true, false, "true", "on", 1 ... */
    OPTION_INT,   /* also as text */
    OPTION_MSEC,  /* number of ms, "10s", "5m", "1h", "500ms" */
    OPTION_BYTES, /* number, "300M", "1G" */
    OPTION_WORDS, /* list, or a text split at blanks outside quotes */
    OPTION_CODES, /* list of numbers, or one */
    OPTION_SWITCH,
    OPTION_NOTHING, /* known to pm2, without effect here: `doc` says why */
    OPTION_OTHER,   /* read by somebody else: env, deploy */
};

struct option {
    const char *name;
    const char *aliases; /* separated by blanks, or NULL; camelCase is understood for all */
    enum option_kind kind;
    size_t offset;
    const char *def;  /* in the user's syntax, parsed as theirs; NULL: zero */
    int64_t min, max; /* both 0: no bounds */
    const char *flag; /* short form on the command line, "-n", or NULL */
    const char *doc;
};

extern const struct option app_options[];
extern const size_t app_option_count;

/* The row of a key in any of its spellings (max_memory_restart, maxMemoryRestart,
 * max-memory-restart), or NULL. */
const struct option *option_find(const char *key);

/* Does `value` fit the key? False: why not, in `diag`. */
bool option_fits(const struct option *option, json_t *value, struct diag *diag);

/* Makes one from an object. Unknown keys are warned about with the nearest known one, values that
 * do not fit are errors. `env_name` (may be NULL) chooses env_NAME. `inherited` (may be NULL) is
 * the environment of who asks. References are taken of both. NULL: errors in `diag`. */
struct app_spec *spec_new(json_t *source, const char *env_name, json_t *inherited,
                          struct diag *diag);
struct app_spec *spec_ref(struct app_spec *spec);
void spec_unref(struct app_spec *spec); /* NULL is fine */

/* How many instances `text` means on a machine with `cpus`: "max" and 0 all, -1 all but one; at
 * least 1. False: not a number. */
bool spec_instance_count(const char *text, int cpus, int *count);

/* The same for "2..8": the smallest and the largest number; without ".." both are the same, as with
 * false for a largest that is smaller. */
bool spec_instance_range(const char *text, int cpus, int *min, int *max);

/* "10s", "5m", "1h", "500ms", "1500". */
bool spec_parse_msec(const char *text, uint64_t *ms);
/* "300M", "1G", "1024". */
bool spec_parse_bytes(const char *text, uint64_t *bytes);

/* Will it be run by node's cluster: several instances behind one listening socket? */
bool spec_is_cluster(const struct app_spec *spec);
