/* The process of an instance, and all that belongs to it: pipes, channel, pid file, probe.
 * Runs in: master's loop. */
#include "apps/apps_internal.h"
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DRAIN_MS = 10 * 1000, NOTIFY_NAME_BYTES = 64 };

/* What is handed to the child and closed here afterwards, or kept if it was started. */
struct kit {
    struct arena *arena;
    struct diag diag;
    int output, errors; /* the child's ends, -1: none */
    int channel;
    char notify[NOTIFY_NAME_BYTES];
};

static void release_spec(void *owner)
{
    spec_unref(owner);
}

static void style_output(struct output *output, struct instance *instance, bool errors)
{
    struct app_spec *spec = instance->spec;
    enum output_form form = OUTPUT_RAW;

    if (spec->log_type != NULL && strcmp(spec->log_type, "json") == 0)
        form = OUTPUT_JSON;
    else if (spec->time || spec->log_date_format != NULL)
        form = OUTPUT_STAMPED;
    output->style = (struct output_style){
        .form = form,
        .date_format = spec->log_date_format != NULL ? spec->log_date_format
                       : form == OUTPUT_STAMPED      ? "YYYY-MM-DDTHH:mm:ss"
                                                     : NULL,
        .app_name = spec->name,
        .type = errors ? "err" : "out",
        .process_id = instance->id,
    };
    output->release = release_spec;
    output->owner = spec_ref(spec);
}

static struct sink *open_sink(struct instance *instance, const char *path, struct diag *diag)
{
    const struct app_spec *spec = instance->spec;
    struct sink_limits limits = {.max_bytes = spec->log_max_bytes,
                                 .total_bytes = spec->log_total_bytes,
                                 .max_age_ms = spec->log_max_age_ms,
                                 .compress = spec->log_compress};

    return path == NULL ? NULL : sink_open(&instance->app->apps->sinks, path, &limits, diag);
}

/* A pipe whose other end leads to the file. False: message in the kit. */
static bool open_output(struct instance *instance, struct kit *kit, bool errors, int *child_end)
{
    char *path = log_path(instance, errors);
    struct sink *combined = NULL;
    struct sink *sink = open_sink(instance, path, &kit->diag);
    struct output *output;
    int pair[2];

    free(path);
    if (sink == NULL)
        return false;
    if (instance->spec->log_file != NULL)
        combined = open_sink(instance, instance->spec->log_file, &kit->diag);
    if (pipe2(pair, O_CLOEXEC) != 0) {
        diag_errno(&kit->diag, "make a pipe for", instance->spec->name);
        sink_unref(sink);
        sink_unref(combined);
        return false;
    }
    *child_end = pair[1];
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    output = output_new(&instance->app->apps->sinks, pair[0], sink, combined);
    if (output == NULL)
        return false;
    style_output(output, instance, errors);
    return true;
}

static bool open_outputs(struct instance *instance, struct kit *kit)
{
    if (instance->spec->disable_logs)
        return true;
    return open_output(instance, kit, false, &kit->output) &&
           open_output(instance, kit, true, &kit->errors);
}

/* One that is free now. Somebody may take it before the app does: then the app fails and gets
 * another. */
static int free_port(void)
{
    struct listen_options options = {.backlog = 1, .fastopen = -1};
    struct address address = {.len = sizeof address.un};
    int port = 0;
    int fd;

    if (!address_parse(slice_of("127.0.0.1:0"), 0, &options.address))
        return 0;
    fd = socket_listen(&options);
    if (fd >= 0 && getsockname(fd, &address.any, &address.len) == 0)
        port = address_port(&address);
    if (fd >= 0)
        close(fd);
    return port;
}

static void choose_address(struct instance *instance)
{
    const struct app *app = instance->app;
    char *path = NULL;

    free(instance->socket);
    instance->socket = NULL;
    instance->port = instance->spec->port;
    if (instance->spec->socket) {
        if (asprintf(&path, "%s/run/%s-%d-%u.sock", app->apps->home, app->name, instance->id,
                     instance->runs) < 0)
            path = NULL;
        instance->socket = path;
        if (path != NULL)
            unlink(path);
    } else if (app->own_ports) {
        instance->port = free_port();
    }
}

static bool wants_probe(const struct instance *instance)
{
    enum ready_kind kind = instance->spec->ready_kind;

    return kind == READY_TCP || kind == READY_HTTP || kind == READY_EXEC || kind == READY_NOTIFY;
}

static void on_probe_ready(struct ready_probe *probe)
{
    instance_event(container_of(probe, struct instance, probe), EVENT_READY);
}

/* "http /path" or "tcp" need an address: the instance's own, or the one in `port`. */
static bool prepare_probe(struct instance *instance, struct kit *kit)
{
    const struct app_spec *spec = instance->spec;
    char text[160];

    if (!wants_probe(instance))
        return true;
    instance->probe = (struct ready_probe){.loop = instance->app->apps->loop,
                                           .kind = spec->ready_kind,
                                           .argument = spec->ready_argument,
                                           .cwd = spec->cwd,
                                           .on_ready = on_probe_ready};
    if (spec->ready_kind == READY_NOTIFY)
        return ready_listen(&instance->probe, kit->notify, sizeof kit->notify);
    if (spec->ready_kind == READY_EXEC)
        return true;
    if (instance->socket != NULL)
        snprintf(text, sizeof text, "unix:%s", instance->socket);
    else
        snprintf(text, sizeof text, "127.0.0.1:%d", instance->port);
    if ((instance->port > 0 || instance->socket != NULL) &&
        address_parse(slice_of(text), 0, &instance->probe.address))
        return true;
    diag_add(&kit->diag, DIAG_ERROR, NULL, "\"ready\" needs a \"port\" or \"socket\"");
    return false;
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

static bool open_channel(struct instance *instance, struct kit *kit)
{
    struct app *app = instance->app;

    if (!launch_is_node(instance->spec))
        return true;
    if (!channel_open(&instance->channel, app->apps->loop, &kit->channel)) {
        diag_errno(&kit->diag, "open a channel to", app->name);
        return false;
    }
    instance->channel.cluster = spec_is_cluster(instance->spec) ? &app->cluster : NULL;
    instance->channel.is_foreign = instance->spec->uid != NULL;
    instance->channel.on_ready = on_channel_ready;
    instance->channel.on_end = on_channel_end;
    return true;
}

static void on_process_end(struct io *io, unsigned events)
{
    struct instance *instance = container_of(io, struct instance, process);
    struct apps *apps = instance->app->apps;
    siginfo_t info = {.si_pid = 0};
    pid_t pid = instance->pid;

    (void)events;
    if (waitid(P_PIDFD, (id_t)io->fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
        return;
    instance->exit_code = info.si_code == CLD_EXITED ? info.si_status : -1;
    instance->exit_signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    if (instance->spec->treekill)
        tree_sweep(pid);
    sinks_pump(&apps->sinks, instance->id);
    process_forget(instance);
    instance_event(instance, EVENT_EXIT); /* may free `instance` */
    if (apps->observer.on_strays != NULL)
        apps->observer.on_strays(apps->observer.context);
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

static bool run(struct instance *instance, struct kit *kit)
{
    struct app *app = instance->app;
    struct place place = {.id = instance->id,
                          .index = instance->index,
                          .increment = instance->increment,
                          .port = instance->port,
                          .socket = instance->socket,
                          .notify = kit->notify[0] == '\0' ? NULL : kit->notify,
                          .home = app->apps->home,
                          .channel = kit->channel >= 0,
                          .cluster = spec_is_cluster(instance->spec) && kit->channel >= 0};
    struct launch launch;
    struct child child;
    const char *step;

    if (!launch_prepare(&launch, instance->spec, &place, kit->arena, &kit->diag))
        return false;
    launch.output = kit->output;
    launch.errors = kit->errors;
    launch.passed = &kit->channel;
    launch.passed_count = kit->channel >= 0 ? 1 : 0;
    if (!spawn(&launch, &child, &step)) {
        int os_error = errno;

        diag_errno(&kit->diag, step, launch.program);
        errno = os_error;
        return false;
    }
    instance->pid = child.pid;
    instance->process = (struct io){.fd = child.pidfd, .on_ready = on_process_end};
    if (loop_watch(app->apps->loop, &instance->process))
        return true;
    diag_errno(&kit->diag, "watch", launch.program);
    kill(child.pid, SIGKILL);
    waitpid(child.pid, NULL, 0);
    return false;
}

static void close_kit(struct kit *kit)
{
    int fds[] = {kit->output, kit->errors, kit->channel};
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
    struct kit kit = {.output = -1, .errors = -1, .channel = -1};
    bool started;

    assert(instance->pid == 0);
    diag_init(&kit.diag);
    kit.arena = arena_new(8192);
    choose_address(instance);
    errno = 0;
    started = kit.arena != NULL && prepare_probe(instance, &kit) && open_outputs(instance, &kit) &&
              open_channel(instance, &kit) && run(instance, &kit);
    if (started) {
        instance->killed = false;
        instance->disconnecting = false;
        instance->disconnected = false;
        write_pid_file(instance);
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

    channel_close(&instance->channel);
    if (instance->probe.loop != NULL)
        ready_end(&instance->probe);
    if (instance->process.loop != NULL)
        loop_unwatch(&instance->process);
    if (instance->process.fd >= 0)
        close(instance->process.fd);
    instance->process.fd = -1;
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
