/* The process of an instance, and all that belongs to it: pipes, channel, pid file, probe.
 * Runs in: master's loop. */
#include "apps/apps_internal.h"
#include "apps/handover_internal.h"
#include "apps/launch.h"
#include "apps/usage.h"
#include "base/arena.h"
#include "base/diag.h"
#include "base/log.h"
#include "event/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    DRAIN_MS = 10 * 1000,
    NOTIFY_NAME_BYTES = 64,
    PASSED_MAX = 32,
    PORT_FIRST = 20000,
    PORT_LAST = 32767,
};

/* What is handed to the child and closed here afterwards, or kept if it was started. */
struct kit {
    struct arena *arena;
    struct diag diag;
    int input, output, errors; /* the child's ends, -1: none */
    int channel;
    int passed[PASSED_MAX]; /* borrowed: what becomes descriptor 3, 4, ... */
    size_t passed_count;
    char notify[NOTIFY_NAME_BYTES];
};

static bool port_is_free(int port)
{
    struct listen_options options = {.backlog = 1, .fastopen = -1};
    char text[32];
    int fd = -1;

    snprintf(text, sizeof text, "127.0.0.1:%d", port);
    if (address_parse(slice_of(text), 0, &options.address))
        fd = socket_listen(&options);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool port_is_given(const struct apps *apps, int port)
{
    list_each(it, keep, (struct list *)&apps->apps)
    {
        const struct app *app = container_of(it, struct app, link);

        list_each(one, next, (struct list *)&app->instances)
        {
            if (container_of(one, struct instance, link)->port == port)
                return true;
        }
    }
    return false;
}

/* One that is free now, below those that the kernel takes for outgoing connections, and not the
 * last one that became free: somebody may still believe that another app is there. Should a
 * stranger take it before the app does, the app fails and gets the next. 0: none. */
static int free_port(struct apps *apps)
{
    for (int tries = 0; tries <= PORT_LAST - PORT_FIRST; tries++) {
        int port = PORT_FIRST + (int)(apps->next_port++ % (PORT_LAST - PORT_FIRST + 1));

        if (!port_is_given(apps, port) && port_is_free(port))
            return port;
    }
    return 0;
}

/* The path of a socket is never used again: a successor has its own while the old one drains. */
static void choose_address(struct instance *instance)
{
    struct app *app = instance->app;
    char *path = NULL;

    free(instance->socket);
    instance->socket = NULL;
    instance->port = instance->spec->port;
    if (instance->spec->socket) {
        if (asprintf(&path, "%s/run/%s-%d-%u.sock", app->apps->home, app->name, instance->id,
                     app->apps->next_socket++) < 0)
            path = NULL;
        instance->socket = path;
        if (path != NULL)
            unlink(path);
    } else if (instance->spec->balance) {
        instance->port = free_port(app->apps);
    }
}

static bool wants_probe(const struct instance *instance)
{
    enum ready_kind kind = instance->spec->ready_kind;

    return kind == READY_TCP || kind == READY_HTTP || kind == READY_EXEC || kind == READY_NOTIFY;
}

static struct place place_of(const struct instance *instance)
{
    return (struct place){.id = instance->id,
                          .index = instance->index,
                          .run = instance->runs,
                          .increment = instance->increment,
                          .port = instance->port,
                          .socket = instance->socket,
                          .home = instance->app->apps->home};
}

/* malloc'ed; NULL for NULL, or if there is no memory. */
static char *fill_in(const struct instance *instance, const char *text)
{
    struct place place = place_of(instance);
    struct arena *arena = text == NULL ? NULL : arena_new(512);
    char *filled = arena == NULL ? NULL : launch_fill_in(arena, instance->spec, &place, text);

    filled = filled == NULL ? NULL : strdup(filled);
    arena_drop(arena);
    return filled;
}

static void on_probe_ready(struct ready_probe *probe)
{
    struct instance *instance = container_of(probe, struct instance, probe);

    instance->six = probe->address.any.sa_family == AF_INET6;
    instance_event(instance, EVENT_READY);
}

static bool probe_address(const struct instance *instance, struct address *address)
{
    char text[160];

    if (instance->socket != NULL)
        snprintf(text, sizeof text, "unix:%s", instance->socket);
    else
        snprintf(text, sizeof text, "127.0.0.1:%d", instance->port);
    return (instance->port > 0 || instance->socket != NULL) &&
           address_parse(slice_of(text), 0, address);
}

/* "http /path" or "tcp" need an address: the instance's own, or the one in `port`. False: there is
 * none. */
static bool choose_probe(struct instance *instance)
{
    const struct app_spec *spec = instance->spec;

    instance->probe = (struct ready_probe){.loop = instance->app->apps->loop,
                                           .kind = spec->ready_kind,
                                           .argument = fill_in(instance, spec->ready_argument),
                                           .cwd = spec->cwd,
                                           .on_ready = on_probe_ready};
    if (instance->socket == NULL)
        address_parse_ip(slice_of("::1"), (uint16_t)instance->port, &instance->probe.other);
    return spec->ready_kind == READY_NOTIFY || spec->ready_kind == READY_EXEC ||
           probe_address(instance, &instance->probe.address);
}

static bool prepare_probe(struct instance *instance, struct kit *kit)
{
    enum ready_kind live = instance->spec->live_kind;
    struct address address;

    if ((live == READY_HTTP || live == READY_TCP) && !probe_address(instance, &address)) {
        diag_add(&kit->diag, DIAG_ERROR, NULL, "\"live\" needs a \"port\" or \"socket\"");
        return false;
    }
    if (!wants_probe(instance))
        return true;
    if (!choose_probe(instance)) {
        diag_add(&kit->diag, DIAG_ERROR, NULL, "\"ready\" needs a \"port\" or \"socket\"");
        return false;
    }
    return instance->spec->ready_kind != READY_NOTIFY ||
           ready_listen(&instance->probe, kit->notify, sizeof kit->notify);
}

static void on_alive(struct ready_probe *probe)
{
    container_of(probe, struct instance, live)->hung = 0;
}

static void on_no_answer(struct ready_probe *probe)
{
    struct instance *instance = container_of(probe, struct instance, live);
    char why[REASON_BYTES];

    if (++instance->hung < (unsigned)instance->spec->live_failures)
        return;
    snprintf(why, sizeof why, "hung: \"live %.120s\" failed %u times", instance->spec->live,
             instance->hung);
    instance->hung = 0;
    instance_replace(instance, why);
}

void process_watch_life(struct instance *instance)
{
    const struct app_spec *spec = instance->spec;

    if (spec->live_kind == READY_SPAWNED)
        return;
    instance->live = (struct ready_probe){.loop = instance->app->apps->loop,
                                          .kind = spec->live_kind,
                                          .argument = fill_in(instance, spec->live_argument),
                                          .cwd = spec->cwd,
                                          .every_ms = spec->live_interval_ms,
                                          .patience_ms = spec->live_timeout_ms,
                                          .on_ready = on_alive,
                                          .on_failure = on_no_answer};
    if (spec->live_kind == READY_EXEC || probe_address(instance, &instance->live.address))
        ready_begin(&instance->live);
}

static void on_channel_ready(struct channel *channel)
{
    struct instance *instance = container_of(channel, struct instance, channel);

    if (instance->spec->ready_kind == READY_IPC || spec_is_cluster(instance->spec))
        instance_event(instance, EVENT_READY);
}

/* A worker that leaves closes its channel when it has finished its connections; what else keeps it
 * alive (timers, pools) is ended by the signal. */
static void on_channel_end(struct channel *channel)
{
    struct instance *instance = container_of(channel, struct instance, channel);

    if (instance->disconnecting)
        instance_event(instance, EVENT_PATIENCE);
}

static void use_channel(struct instance *instance)
{
    instance->channel.cluster = spec_is_cluster(instance->spec) ? &instance->app->cluster : NULL;
    instance->channel.is_foreign = instance->spec->uid != NULL;
    instance->channel.on_ready = on_channel_ready;
    instance->channel.on_end = on_channel_end;
}

static bool open_channel(struct instance *instance, struct kit *kit)
{
    struct app *app = instance->app;

    if (!launch_is_node(instance->spec))
        return true;
    if (!channel_open(&instance->channel, app->apps->loop, &kit->channel)) {
        diag_errno(&kit->diag, "open a channel to", app->name);
        return false;
    }
    use_channel(instance);
    return true;
}

static bool kill_group(struct instance *instance)
{
    struct groups *groups = &instance->app->apps->groups;

    if (!group_is_populated(groups, instance->group))
        return true;
    instance->group_killed = group_kill(groups, instance->group);
    return instance->group_killed;
}

/* What the app has left behind, wherever it is. */
static void sweep(struct instance *instance, pid_t pid)
{
    char mark[64];

    if (instance->group != NULL && kill_group(instance))
        return;
    snprintf(mark, sizeof mark, "PELAYAN_INSTANCE=%d.%u", instance->id, instance->runs);
    tree_sweep(pid, mark);
}

static void note_lack_of_memory(struct instance *instance)
{
    if (instance->killed || instance->group == NULL ||
        group_oom_kills(&instance->app->apps->groups, instance->group) <= instance->oom_kills)
        return;
    instance->killed = true; /* its reason is known */
    snprintf(instance->reason, sizeof instance->reason,
             "ended by the kernel: more than limit_memory");
}

static void on_process_end(struct io *io, unsigned events)
{
    struct instance *instance = container_of(io, struct instance, process);
    struct apps *apps = instance->app->apps;
    siginfo_t info = {.si_pid = 0};
    struct rusage usage = {.ru_maxrss = 0};
    pid_t pid = instance->pid;

    (void)events;
    /* the library's has no place for what it used */
    if (syscall(SYS_waitid, P_PIDFD, io->fd, &info, WEXITED | WNOHANG, &usage) == 0 &&
        info.si_pid == 0)
        return;
    instance->peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
    instance->exit_code = info.si_code == CLD_EXITED ? info.si_status : -1;
    instance->exit_signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    note_lack_of_memory(instance);
    if (instance->spec->treekill)
        sweep(instance, pid);
    sinks_pump(&apps->sinks, instance->id);
    process_forget(instance);
    instance_event(instance, EVENT_EXIT); /* may free `instance` */
    if (apps->observer.on_strays != NULL)
        apps->observer.on_strays(apps->observer.context);
}

static bool watch_process(struct instance *instance, int pidfd)
{
    instance->process = (struct io){.fd = pidfd, .on_ready = on_process_end};
    return loop_watch(instance->app->apps->loop, &instance->process);
}

static void write_pid_file(const struct instance *instance)
{
    char *path = pid_path(instance);
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd >= 0) {
        dprintf(fd, "%d", (int)instance->pid);
        close(fd);
    }
    free(path);
}

/* Listening sockets first, from descriptor 3 on, as LISTEN_FDS has it; then the channel. */
static bool open_passed(struct instance *instance, struct kit *kit)
{
    const struct words *addresses = &instance->spec->listen_fds;

    for (size_t i = 0; i < addresses->count; i++) {
        int fd = kit->passed_count < PASSED_MAX - 1
                     ? cluster_listen(&instance->app->cluster, addresses->items[i])
                     : -1;

        if (fd < 0) {
            diag_errno(&kit->diag, "listen on", addresses->items[i]);
            return false;
        }
        kit->passed[kit->passed_count++] = fd;
    }
    if (kit->channel >= 0)
        kit->passed[kit->passed_count++] = kit->channel;
    return true;
}

/* A group where one can be made; a limit that needs one is an error where it cannot. */
static bool prepare_group(struct instance *instance, struct kit *kit)
{
    struct groups *groups = &instance->app->apps->groups;
    const struct app_spec *spec = instance->spec;
    struct group_limits limits = {.memory_bytes = spec->limit_memory_bytes,
                                  .processes = spec->limit_processes,
                                  .cpu_percent = spec->limit_cpu_percent};

    if (instance->group == NULL)
        instance->group = group_new(groups, instance->app->name, instance->id);
    instance->group_killed = false;
    instance->oom_kills = instance->group == NULL ? 0 : group_oom_kills(groups, instance->group);
    return group_limit(groups, instance->group, &limits, &kit->diag);
}

static bool is_limited(const struct app_spec *spec)
{
    return spec->limit_memory_bytes > 0 || spec->limit_processes > 0 || spec->limit_cpu_percent > 0;
}

/* Born in its group; or without one, if the kernel does not let us and nothing depends on it. */
static bool spawn_grouped(struct instance *instance, struct launch *launch, struct child *child,
                          const char **step)
{
    struct groups *groups = &instance->app->apps->groups;
    bool spawned;

    launch->group = instance->group == NULL ? 0 : group_open(groups, instance->group);
    if (launch->group < 0)
        launch->group = 0;
    spawned = spawn(launch, child, step);
    if (launch->group > 0) {
        int os_error = errno;

        close(launch->group);
        launch->group = 0;
        errno = os_error;
    }
    if (spawned || instance->group == NULL || strcmp(*step, "start") != 0 ||
        is_limited(instance->spec))
        return spawned;
    apps_drop_group(instance->app->apps, instance->group);
    instance->group = NULL;
    return spawn(launch, child, step);
}

static bool run(struct instance *instance, struct kit *kit)
{
    struct place place = place_of(instance);
    struct launch launch;
    struct child child;
    const char *step;

    place.notify = kit->notify[0] == '\0' ? NULL : kit->notify;
    place.listen_count = (int)instance->spec->listen_fds.count;
    place.channel = kit->channel >= 0 ? 3 + place.listen_count : 0;
    place.cluster = spec_is_cluster(instance->spec) && kit->channel >= 0;
    if (!launch_prepare(&launch, instance->spec, &place, kit->arena, &kit->diag))
        return false;
    launch.input = kit->input;
    launch.output = kit->output;
    launch.errors = kit->errors;
    launch.passed = kit->passed;
    launch.passed_count = kit->passed_count;
    if (!spawn_grouped(instance, &launch, &child, &step)) {
        int os_error = errno;

        diag_errno(&kit->diag, step, launch.program);
        errno = os_error;
        return false;
    }
    instance->pid = child.pid;
    if (watch_process(instance, child.pidfd))
        return true;
    diag_errno(&kit->diag, "watch", launch.program);
    kill(child.pid, SIGKILL);
    waitpid(child.pid, NULL, 0);
    return false;
}

static void close_kit(struct kit *kit)
{
    int fds[] = {kit->input, kit->output, kit->errors, kit->channel};
    int os_error = errno;

    for (size_t i = 0; i < COUNT(fds); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    diag_fini(&kit->diag);
    arena_drop(kit->arena);
    errno = os_error;
}

bool process_start(struct instance *instance)
{
    struct kit kit = {.input = -1, .output = -1, .errors = -1, .channel = -1};
    bool started;

    assert(instance->pid == 0);
    instance->serial = ++instance->app->apps->next_serial;
    instance->six = false;
    diag_init(&kit.diag);
    kit.arena = arena_new(8192);
    choose_address(instance);
    errno = 0;
    started = kit.arena != NULL && prepare_probe(instance, &kit) &&
              outputs_open(instance, &kit.diag, &kit.output, &kit.errors) &&
              input_open(instance, &kit.diag, &kit.input) && open_channel(instance, &kit) &&
              open_passed(instance, &kit) && prepare_group(instance, &kit) && run(instance, &kit);
    if (started) {
        instance->killed = false;
        instance->disconnecting = false;
        instance->disconnected = false;
        write_pid_file(instance);
        app_watch_memory(instance);
        ready_begin(&instance->probe);
    } else {
        int os_error = errno;

        snprintf(instance->reason, sizeof instance->reason, "%s",
                 kit.diag.first == NULL ? "no memory" : kit.diag.first->message);
        process_forget(instance);
        errno = os_error;
    }
    close_kit(&kit);
    return started;
}

void process_forget(struct instance *instance)
{
    char *path;

    instance->draining = false;
    channel_close(&instance->channel);
    input_close(instance);
    pressure_remove(&instance->app->apps->pressure, instance->pressure);
    instance->pressure = -1;
    ready_end(&instance->probe);
    ready_end(&instance->live);
    if (instance->process.loop != NULL)
        loop_unwatch(&instance->process);
    if (instance->process.fd >= 0)
        close(instance->process.fd);
    instance->process.fd = -1;
    if (instance->group_killed) {
        apps_drop_group(instance->app->apps, instance->group);
        instance->group = NULL;
    }
    if (instance->socket != NULL)
        unlink(instance->socket);
    if (instance->pid == 0)
        return;
    instance->pid = 0;
    path = pid_path(instance);
    if (path != NULL)
        unlink(path);
    free(path);
}

void process_signal(struct instance *instance, int number)
{
    if (instance->pid == 0)
        return;
    if (instance->spec->treekill && number == SIGKILL && instance->group != NULL &&
        kill_group(instance))
        return;
    if (instance->spec->treekill)
        tree_signal(instance->pid, number);
    else
        kill(instance->pid, number);
}

void process_kill(struct instance *instance)
{
    instance->killed = true;
    process_signal(instance, SIGKILL);
}

/* A cluster worker that is replaced first finishes what it has begun: its sockets are shared with
 * those that come after it. */
void process_ask_to_stop(struct instance *instance)
{
    const struct app_spec *spec = instance->spec;
    uint64_t patience_ms = spec->kill_timeout_ms;
    bool asked = false;

    if (instance->free_after && spec_is_cluster(spec) && !instance->disconnected &&
        cluster_listens(&instance->app->cluster)) {
        asked = cluster_disconnect(&instance->channel);
        instance->disconnecting = asked;
        instance->disconnected = true;
        patience_ms = DRAIN_MS;
    } else if (spec->shutdown_with_message) {
        asked = channel_send_text(&instance->channel, "shutdown");
    }
    if (!asked) {
        patience_ms = spec->kill_timeout_ms;
        process_signal(instance, patience_ms == 0 ? SIGKILL : spec->kill_number);
    }
    deadline_arm(instance->app->apps->loop, &instance->timer, patience_ms);
}

/* ---- from one program to the next */

json_t *process_pack(const struct instance *instance, json_t *fds)
{
    json_t *object = json_object();

    if (channel_is_open(&instance->channel))
        json_object_set_new(object, "channel", channel_pack(&instance->channel, fds));
    if (instance->input >= 0)
        json_object_set_new(object, "input", fd_pack(instance->input, fds));
    if (instance->probe.kind == READY_NOTIFY && instance->probe.io.loop != NULL)
        json_object_set_new(object, "notify", fd_pack(instance->probe.io.fd, fds));
    return object;
}

/* A probe begins anew; one that waits for a note keeps the socket whose name the app has. */
static bool unpack_probe(struct instance *instance, const json_t *from)
{
    const json_t *notify = json_object_get(from, "notify");

    if (instance->state == STATE_ONLINE)
        process_watch_life(instance);
    if (instance->state != STATE_STARTING || !wants_probe(instance) || !choose_probe(instance))
        return true;
    if (instance->spec->ready_kind == READY_NOTIFY)
        return notify != NULL && ready_adopt(&instance->probe, (int)json_integer_value(notify));
    ready_begin(&instance->probe);
    return true;
}

bool process_unpack(struct instance *instance, const json_t *from)
{
    struct loop *loop = instance->app->apps->loop;
    const json_t *channel = json_object_get(from, "channel");
    const json_t *input = json_object_get(from, "input");
    int pidfd = pidfd_open(instance->pid, 0);

    if (input != NULL)
        instance->input = (int)json_integer_value(input);
    if (pidfd < 0 || !watch_process(instance, pidfd)) {
        input_close(instance);
        return false;
    }
    app_watch_memory(instance);
    if (channel != NULL && channel_unpack(&instance->channel, loop, channel))
        use_channel(instance);
    return unpack_probe(instance, from);
}
