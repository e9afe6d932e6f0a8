/* Directives of the main level and of events { }. Runs in: load time. */
#include "daemon/core_conf.h"

#include "base/arena.h"
#include "base/diag.h"
#include "config/loader.h"
#include "daemon/cpu.h"
#include "daemon/sandbox.h"

enum { WORKERS_MAX = 512 };

size_t core_index;

static bool append(struct conf_call *call, struct core_list **list, struct slice text)
{
    struct core_list *item = arena_alloc(call->loader->arena, sizeof *item);

    if (item == NULL)
        return conf_error(call, 0, "no memory");
    *item = (struct core_list){.text = arena_copy(call->loader->arena, text)};
    if (item->text.data == NULL)
        return conf_error(call, 0, "no memory");
    while (*list != NULL)
        list = &(*list)->next;
    *list = item;
    return true;
}

static bool set_worker_processes(struct conf_call *call)
{
    struct core_conf *conf = call->conf;
    int64_t count = 0;

    if (!slice_eq(conf_arg(call, 1), slice_of("auto")) &&
        !conf_parse_int(conf_arg(call, 1), 1, WORKERS_MAX, &count))
        return conf_error(call, 1,
                          "invalid value \"%.*s\" in \"worker_processes\": 1 to %d or auto",
                          SLICE_ARG(conf_arg(call, 1)), WORKERS_MAX);
    conf->worker_processes = (int)count;
    return true;
}

/* Words of a default do not outlive the loading: what is kept is copied. */
static bool set_user(struct conf_call *call)
{
    struct core_conf *conf = call->conf;
    struct slice group = conf_arg_count(call) > 2 ? conf_arg(call, 2) : slice_make("", 0);

    conf->user = arena_copy(call->loader->arena, conf_arg(call, 1));
    conf->group = arena_copy(call->loader->arena, group);
    return (conf->user.data != NULL && conf->group.data != NULL) ||
           conf_error(call, 0, "no memory");
}

static bool set_rlimit_core(struct conf_call *call)
{
    struct core_conf *conf = call->conf;

    if (!conf_parse_bytes(conf_arg(call, 1), &conf->rlimit_core))
        return conf_error(call, 1, "invalid size \"%.*s\"", SLICE_ARG(conf_arg(call, 1)));
    conf->rlimit_core_given = true;
    return true;
}

/* A nice value, with its sign: "-5", "+5", "5". */
static bool set_priority(struct conf_call *call)
{
    struct core_conf *conf = call->conf;
    struct slice text = conf_arg(call, 1);
    bool minus = text.len > 0 && text.data[0] == '-';
    bool sign = minus || (text.len > 0 && text.data[0] == '+');
    int64_t value;

    if (!conf_parse_int(slice_skip(text, sign ? 1 : 0), 0, 20, &value))
        return conf_error(call, 1, "invalid nice value \"%.*s\": -20 to 20", SLICE_ARG(text));
    conf->priority = (int)(minus ? -value : value);
    return true;
}

static bool set_affinity_auto(struct conf_call *call, struct core_conf *conf)
{
    conf->affinity_auto = true;
    if (conf_arg_count(call) == 2) {
        CPU_ZERO(&conf->affinity_allowed); /* none named: those the process may use */
        return true;
    }
    if (conf_arg_count(call) > 3 || !cpu_parse_mask(conf_arg(call, 2), &conf->affinity_allowed))
        return conf_error(call, 2, "\"auto\" takes at most one mask of 0 and 1");
    return true;
}

static bool set_affinity(struct conf_call *call)
{
    struct core_conf *conf = call->conf;
    struct core_mask **last = &conf->affinity;

    if (slice_eq(conf_arg(call, 1), slice_of("auto")))
        return set_affinity_auto(call, conf);
    for (size_t i = 1; i < conf_arg_count(call); i++) {
        struct core_mask *mask = arena_zalloc(call->loader->arena, sizeof *mask);

        if (mask == NULL)
            return conf_error(call, i, "no memory");
        if (!cpu_parse_mask(conf_arg(call, i), &mask->cpus))
            return conf_error(call, i,
                              "invalid CPU mask \"%.*s\": only 0 and 1, the last is core 0",
                              SLICE_ARG(conf_arg(call, i)));
        *last = mask;
        last = &mask->next;
    }
    return true;
}

static bool set_env(struct conf_call *call)
{
    struct core_conf *conf = call->conf;

    if (conf_arg(call, 1).len == 0 || conf_arg(call, 1).data[0] == '=')
        return conf_error(call, 1, "an environment variable needs a name");
    return append(call, &conf->env, conf_arg(call, 1));
}

static bool set_thread_pool(struct conf_call *call)
{
    static const struct slice threads = SLICE("threads="), queue = SLICE("max_queue=");
    struct core_conf *conf = call->conf;
    bool is_default = slice_eq(conf_arg(call, 1), slice_of("default"));
    int64_t value;

    for (size_t i = 2; i < conf_arg_count(call); i++) {
        struct slice word = conf_arg(call, i);

        if (slice_starts(word, threads) &&
            conf_parse_int(slice_skip(word, threads.len), 1, 1024, &value)) {
            if (is_default || value > conf->pool_threads)
                conf->pool_threads = (int)value;
        } else if (slice_starts(word, queue) &&
                   conf_parse_int(slice_skip(word, queue.len), 0, 1 << 24, &value)) {
            if (is_default || value > conf->pool_queue)
                conf->pool_queue = (int)value;
        } else {
            return conf_error(call, i, "invalid parameter \"%.*s\"", SLICE_ARG(word));
        }
    }
    return true;
}

/* nginx's own loadable modules. What such a file brings is inside this program, or it is not here
 * at all: then the file's directives will be refused where they stand, so that loading it unused,
 * as distributions do, harms nobody. */
static const struct {
    const char *name;
    bool here;
} modules[] = {
    {"ngx_stream_module", true},
    {"ngx_http_geoip_module", false},
    {"ngx_http_image_filter_module", false},
    {"ngx_http_perl_module", false},
    {"ngx_http_xslt_filter_module", false},
    {"ngx_mail_module", false},
    {"ngx_stream_geoip_module", false},
};

static bool set_load_module(struct conf_call *call)
{
    struct slice path = conf_arg(call, 1);
    struct slice name = path;
    struct slice part;

    for (struct slice rest = path; slice_split(&rest, '/', &part);)
        name = part;
    if (slice_ends(name, slice_of(".so")))
        name.len -= 3;
    for (size_t i = 0; i < COUNT(modules); i++) {
        if (!slice_eq(name, slice_of(modules[i].name)))
            continue;
        if (modules[i].here)
            return true;
        if (call->loader->strict)
            break;
        conf_warn(call, 1, "module \"%.*s\" is not part of this program", SLICE_ARG(name));
        return true;
    }
    conf_error(call, 1, "module \"%.*s\" cannot be loaded", SLICE_ARG(path));
    conf_hint(call, "nothing is loaded at run time: see what is built in with -V");
    return false;
}

static bool set_events(struct conf_call *call)
{
    struct scope child;
    const struct core_conf *inside;

    if (!loader_block(call, CTX_EVENTS, NULL, &child))
        return false;
    inside = settings_at(child.settings, core_index);
    ((struct core_conf *)call->conf)->worker_connections = inside->worker_connections;
    return true;
}

static bool set_use(struct conf_call *call)
{
    if (!slice_eq(conf_arg(call, 1), slice_of("epoll")))
        conf_warn(call, 1, "event method \"%.*s\" is not available here: epoll is used",
                  SLICE_ARG(conf_arg(call, 1)));
    return true;
}

#define NO_MUTEX "one process accepts for all loops, and the kernel wakes one loop per connection"

static const struct conf_word debug_points[] = {{"stop", 1}, {"abort", 2}, {NULL, 0}};

static const struct conf_word seccomp_modes[] = {
    {"on", SANDBOX_ON}, {"log", SANDBOX_LOG}, {"off", SANDBOX_OFF}, {NULL, 0}};

/* Said aloud: nobody should find out years later. */
static bool check_seccomp(struct conf_call *call)
{
    const struct core_conf *conf = call->conf;

    if (conf->seccomp != SANDBOX_ON)
        conf_warn(call, 1, "whoever takes over a worker may now make every system call");
    return true;
}

static const struct directive directives[] = {
    {"daemon", CTX_MAIN, FLAG(struct core_conf, daemon), .def = "on",
     .doc = "Whether the program goes into the background."},
    {"master_process", CTX_MAIN, FLAG(struct core_conf, master_process), .def = "on",
     .doc =
         "Whether requests are served by a process of their own, which the master replaces when it"
         " crashes. Off is for debugging: everything runs in one process, with its privileges."},
    {"worker_processes", CTX_MAIN, CUSTOM, .args_min = 1, .args_max = 1,
     .set = set_worker_processes, .def = "1",
     .doc =
         "Number of event loops, 1 to 512; each is a thread of the one worker process. auto: as many"
         " as there are cores this process may use."},
    {"user", CTX_MAIN, CUSTOM, .args_min = 1, .args_max = 2, .set = set_user, .def = "nobody",
     .doc =
         "User and group the worker runs as, when the master is started by root. Without a group:"
         " the one named like the user, or the user's own."},
    {"pid", CTX_MAIN, TEXT(struct core_conf, pid),
     .doc = "File with the master's process id. The control socket has the same name with .sock"
            " appended.",
     .example = "pid /run/pelayan.pid;"},
    {"worker_rlimit_nofile", CTX_MAIN, INT(struct core_conf, rlimit_nofile), .min = 1,
     .max = 1 << 30,
     .doc = "Most descriptors the worker may have open. Unset: as the system gives.",
     .example = "worker_rlimit_nofile 65536;"},
    {"worker_rlimit_core", CTX_MAIN, CUSTOM, .args_min = 1, .args_max = 1, .set = set_rlimit_core,
     .doc =
         "Largest core file of the worker. Unless it is above 0, no other process of the user may"
         " read the worker's memory either.",
     .example = "worker_rlimit_core 500m;"},
    {"worker_priority", CTX_MAIN, CUSTOM, .args_min = 1, .args_max = 1, .set = set_priority,
     .def = "0", .doc = "The worker's nice value, -20 to 20; below 0 needs root."},
    {"worker_seccomp", CTX_MAIN, ENUM(struct core_conf, seccomp), .words = seccomp_modes,
     .check = check_seccomp, .def = "on",
     .doc =
         "Whether the worker may make only the system calls it is known to need. on: others fail"
         " and are told by name in the error log, and some, such as starting a program, end the"
         " worker. log: nothing is refused, the kernel's audit log tells. Without a master process"
         " there is no filter.",
     .example = "worker_seccomp log;"},
    {"worker_shutdown_timeout", CTX_MAIN, MSEC(struct core_conf, shutdown_timeout_ms),
     .doc =
         "How long a worker that leaves gracefully waits for its connections before it closes them."
         " Unset: until they end.",
     .example = "worker_shutdown_timeout 30s;"},
    {"reload_timeout", CTX_MAIN, MSEC(struct core_conf, reload_timeout_ms), .def = "30s", .min = 1,
     .doc = "How long a reload may take before it is reported as failed, because the worker, or the"
            " process that checks the new configuration, does not answer. What is served goes on.",
     .example = "reload_timeout 2m;"},
    {"worker_cpu_affinity", CTX_MAIN, CUSTOM, .args_min = 1, .args_max = 255, .set = set_affinity,
     .doc =
         "Cores the loops run on: one mask of 0 and 1 per loop, the rightmost digit is core 0; or"
         " auto [MASK], which gives each loop one of the usable cores.",
     .example = "worker_cpu_affinity auto;"},
    {"env", CTX_MAIN, CUSTOM, .args_min = 1, .args_max = 1, .repeatable = true, .set = set_env,
     .doc =
         "Keeps an environment variable for the worker, or sets it with NAME=value; all others but"
         " TZ are removed.",
     .example = "env PATH;"},
    {"working_directory", CTX_MAIN, TEXT(struct core_conf, working_directory),
     .doc = "The worker's current folder: where a core file is written.",
     .example = "working_directory /var/tmp;"},
    {"pcre_jit", CTX_MAIN, FLAG(struct core_conf, pcre_jit), .def = "on",
     .doc = "Regular expressions are always compiled to machine code where that is possible; off is"
            " accepted and changes nothing."},
    {"thread_pool", CTX_MAIN, CUSTOM, .args_min = 2, .args_max = 3, .repeatable = true,
     .set = set_thread_pool,
     .doc =
         "Threads for file operations that may block, and how many of them may wait. There is one"
         " pool: \"default\" sets its size, others only make it larger.",
     .example = "thread_pool default threads=32 max_queue=65536;"},
    {"load_module", CTX_MAIN, CUSTOM, .args_min = 1, .args_max = 1, .repeatable = true,
     .set = set_load_module,
     .doc = "Accepted for modules that are built in; others cannot be loaded.",
     .example = "load_module modules/ngx_stream_module.so;"},
    {"lock_file", CTX_MAIN, NOTHING, .args_min = 1, .args_max = 1, .quiet = true, .noop = NO_MUTEX,
     .doc = "File for the accept mutex, which is not needed here."},
    {"timer_resolution", CTX_MAIN, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "the clock is read once per turn of a loop, without a system call",
     .doc = "How often the clock is read."},
    {"debug_points", CTX_MAIN, NOTHING, .args_min = 1, .args_max = 1, .words = debug_points,
     .noop = "what must not happen always aborts the worker, and the master replaces it",
     .doc = "What is done when an internal error is found."},
    {"events", CTX_MAIN, CUSTOM, .block = true, .set = set_events,
     .doc = "Settings of the event loops.", .example = "events { worker_connections 1024; }"},
    {"worker_connections", CTX_EVENTS, INT(struct core_conf, worker_connections), .def = "512",
     .min = 1, .max = 1 << 28,
     .doc = "Most connections one loop has open, to clients and backends together."},
    {"use", CTX_EVENTS, CUSTOM, .args_min = 1, .args_max = 1, .set = set_use, .def = "epoll",
     .doc = "How a loop waits. There is one way, epoll; other names are accepted with a warning."},
    {"multi_accept", CTX_EVENTS, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "a loop accepts what is waiting, within a fair share of each turn",
     .doc = "Whether a loop accepts all waiting connections at once."},
    {"accept_mutex", CTX_EVENTS, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = NO_MUTEX, .doc = "Whether loops take turns in accepting."},
    {"accept_mutex_delay", CTX_EVENTS, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = NO_MUTEX, .doc = "How long a loop waits for its turn in accepting."},
    {"worker_aio_requests", CTX_EVENTS, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "blocking file operations run in threads: see thread_pool",
     .doc = "Most outstanding asynchronous file operations."},
    {"debug_connection", CTX_EVENTS, NOTHING, .args_min = 1, .args_max = 1, .repeatable = true,
     .noop = "use the level debug in error_log",
     .doc = "Clients whose connections are logged with the level debug."},
};

static bool finish(struct loader *loader, struct scope *scope, void *data)
{
    struct core_conf *conf = data;

    if (scope->parent != NULL)
        return true;
    if (conf->pool_threads == 0)
        conf->pool_threads = 32;
    if (conf->pool_queue == 0)
        conf->pool_queue = 65536;
    if (conf->pid.len > 0)
        conf->pid = loader_path(loader, conf->pid);
    if (conf->working_directory.len > 0)
        conf->working_directory = loader_path(loader, conf->working_directory);
    return (conf->pid.len == 0 || conf->pid.data != NULL) &&
           (conf->working_directory.len == 0 || conf->working_directory.data != NULL);
}

const struct conf_feature core_feature = {
    .name = "core",
    .conf_bytes = sizeof(struct core_conf),
    .directives = directives,
    .directive_count = COUNT(directives),
    .finish = finish,
};
