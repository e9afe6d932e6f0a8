/* What is told of instances, in the shape of pm2's jlist. Runs in: master. */
#include "apps/apps_internal.h"
#include "apps/launch.h"
#include "base/file.h"
#include "base/list.h"

#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL_BYTES = 4096, TAIL_LINES = 15, PACKAGE_BYTES_MAX = 65536 };

static void put(json_t *object, const char *name, json_t *value)
{
    if (value != NULL)
        json_object_set_new(object, name, value);
}

/* A text that may hold anything: what is no UTF-8 is left out. */
static json_t *text(const char *value)
{
    return value == NULL ? NULL : json_string(value);
}

static void put_paths(json_t *env, const struct instance *instance)
{
    struct sinks *sinks = &instance->app->apps->sinks;
    uint64_t lost;
    char *out = log_path(instance, false);
    char *errors = log_path(instance, true);
    char *pid = pid_path(instance);

    lost = sinks_dropped(sinks, out) +
           (strcmp(out, errors) == 0 ? 0 : sinks_dropped(sinks, errors));
    if (lost > 0)
        put(env, "log_bytes_lost", json_integer((json_int_t)lost));
    put(env, "pm_out_log_path", text(out));
    put(env, "pm_err_log_path", text(errors));
    put(env, "pm_pid_path", text(pid));
    free(out);
    free(errors);
    free(pid);
}

/* As pm2 has it: absolute where it is a file of the app's folder. */
static json_t *exec_path(const struct app_spec *spec)
{
    char path[PATH_MAX];

    if (spec->script[0] != '/' && strchr(spec->script, ' ') == NULL &&
        snprintf(path, sizeof path, "%s/%s", spec->cwd,
                 spec->script + (strncmp(spec->script, "./", 2) == 0 ? 2 : 0)) < PATH_MAX &&
        access(path, F_OK) == 0)
        return text(path);
    return text(spec->script);
}

/* Who the runner is: asked once, for it never changes. */
static const char *user_name(void)
{
    static char name[64];
    const struct passwd *user;

    if (name[0] == '\0') {
        user = getpwuid(geteuid());
        if (user != NULL)
            snprintf(name, sizeof name, "%s", user->pw_name);
        else
            snprintf(name, sizeof name, "%u", (unsigned)geteuid());
    }
    return name;
}

/* Of the package that the app's folder is, if it is one. */
static json_t *version(const struct app_spec *spec)
{
    char path[PATH_MAX];
    char *bytes = NULL;
    json_t *package;
    json_t *result;
    size_t len = 0;

    if (snprintf(path, sizeof path, "%s/package.json", spec->cwd) < PATH_MAX)
        bytes = file_read(path, PACKAGE_BYTES_MAX, &len);
    package = bytes == NULL ? NULL : json_loadb(bytes, len, 0, NULL);
    result = json_object_get(package, "version");
    result = json_is_string(result) ? json_incref(result) : text("N/A");
    json_decref(package);
    free(bytes);
    return result;
}

static void put_spec(json_t *env, const struct app_spec *spec)
{
    put(env, "namespace", text(spec->namespace));
    put(env, "exec_mode", text(spec_is_cluster(spec) ? "cluster_mode" : "fork_mode"));
    put(env, "exec_interpreter",
        text(spec->interpreter != NULL ? spec->interpreter
             : launch_is_node(spec)    ? "node"
                                       : "none"));
    put(env, "pm_exec_path", exec_path(spec));
    put(env, "pm_cwd", text(spec->cwd));
    put(env, "watch", json_boolean(spec->watch.on));
    put(env, "autorestart", json_boolean(spec->autorestart));
    put(env, "username", text(spec->uid != NULL ? spec->uid : user_name()));
    put(env, "autostart", json_boolean(spec->autostart));
    put(env, "treekill", json_boolean(spec->treekill));
    put(env, "instance_var", text(spec->instance_var));
    put(env, "kill_timeout", json_integer((json_int_t)spec->kill_timeout_ms));
    put(env, "pmx", json_false());
    put(env, "axm_actions", json_array()); /* what scripts of pm2's users walk over */
    put(env, "axm_options", json_object());
    put(env, "merge_logs", json_boolean(spec->merge_logs));
    put(env, "version", version(spec));
    put(env, "cron_restart", text(spec->cron));
    put(env, "max_memory_restart",
        spec->max_memory_bytes == 0 ? NULL : json_integer((json_int_t)spec->max_memory_bytes));
    json_object_set(env, "args", json_object_get(spec->source, "args"));
    json_object_set(env, "node_args", json_object_get(spec->source, "node_args"));
    json_object_set(env, "env", spec->env);
}

static void put_life(json_t *env, const struct instance *instance)
{
    put(env, "status", text(instance_state_name(instance->state)));
    put(env, "name", text(instance->app->name));
    put(env, "pm_id", json_integer(instance->id));
    put(env, "NODE_APP_INSTANCE", json_integer(instance->index));
    put(env, "instances", json_integer((json_int_t)app_count(instance->app)));
    put(env, "restart_time", json_integer(instance->restarts));
    put(env, "unstable_restarts", json_integer(instance->unstable));
    put(env, "created_at", json_integer((json_int_t)instance->created_wall_ms));
    put(env, "pm_uptime", json_integer((json_int_t)instance->started_wall_ms));
    put(env, "exit_code", json_integer(instance->exit_code));
    if (instance->exit_signal != 0)
        put(env, "exit_signal", text(sigabbrev_np(instance->exit_signal)));
    if (instance->reason[0] != '\0')
        put(env, "reason", text(instance->reason));
    if (instance->port > 0)
        put(env, "port", json_integer(instance->port));
    put(env, "socket", text(instance->socket));
}

static json_t *metric(double value, const char *unit)
{
    return json_pack("{s:f, s:s}", "value", value, "unit", unit);
}

/* What balancers asked of it, also under pm2's names; nothing of one that none can ask. */
static void put_requests(json_t *object, json_t *env, struct instance *instance)
{
    struct rate *rate = &instance->rate;
    json_t *metrics = json_object();

    put(env, "axm_monitor", metrics);
    if (rate->answered == 0 && !spec_has_address(instance->spec))
        return;
    rate_look(rate, loop_now_ms(instance->app->apps->loop));
    put(object, "requests",
        json_pack("{s:I, s:f, s:f}", "total", (json_int_t)rate->answered, "per_second",
                  rate->per_second, "latency_ms", rate->latency_ms));
    put(metrics, "HTTP", metric(rate->per_second * 60, "req/min"));
    put(metrics, "HTTP Mean Latency", metric(rate->latency_ms, "ms"));
}

json_t *report_instance(struct instance *instance, bool with_env)
{
    json_t *env = json_object();
    json_t *object;
    char *tail;

    put_life(env, instance);
    put_spec(env, instance->spec);
    put_paths(env, instance);
    if (with_env && instance->reason[0] != '\0') {
        tail = report_tail(instance, true);
        put(env, "last_error_lines", text(tail));
        if (instance->end_wall_ms > 0)
            put(env, "last_end",
                json_pack("{s:I, s:I, s:I}", "started_at",
                          (json_int_t)instance->end_started_wall_ms, "ended_at",
                          (json_int_t)instance->end_wall_ms, "memory_peak",
                          (json_int_t)instance->end_peak_bytes));
        free(tail);
    }
    object = json_pack("{s:i, s:s, s:i, s:{s:I, s:f}, s:o}", "pid", (int)instance->pid, "name",
                       instance->app->name, "pm_id", instance->id, "monit", "memory",
                       (json_int_t)(instance->pid > 0 ? instance->rss_bytes : 0), "cpu",
                       instance->pid > 0 ? instance->cpu_percent : 0.0, "pm2_env", env);
    put_requests(object, env, instance);
    return object;
}

static int by_id(const void *a, const void *b)
{
    const struct instance *x = *(struct instance *const *)a;
    const struct instance *y = *(struct instance *const *)b;

    return x->id < y->id ? -1 : x->id > y->id;
}

json_t *report_all(struct apps *apps)
{
    json_t *all = json_array();
    struct instance **sorted = NULL;
    size_t count = 0;
    size_t at = 0;

    list_each(it, keep, &apps->apps) count += app_count(container_of(it, struct app, link));
    sorted = calloc(count + 1, sizeof *sorted);
    if (sorted == NULL)
        return all;
    list_each(it, keep, &apps->apps)
    {
        struct app *app = container_of(it, struct app, link);

        list_each(one, next, &app->instances)
            sorted[at++] = container_of(one, struct instance, link);
    }
    qsort(sorted, count, sizeof(struct instance *), by_id);
    for (at = 0; at < count; at++)
        json_array_append_new(all, report_instance(sorted[at], false));
    free(sorted);
    return all;
}

/* Only whole lines, and the last few. */
static char *last_lines(char *bytes)
{
    size_t lines = 0;
    char *at = bytes + strlen(bytes);

    while (at > bytes) {
        if (at[-1] == '\n' && at[0] != '\0' && ++lines == TAIL_LINES)
            break;
        at--;
    }
    memmove(bytes, at, strlen(at) + 1);
    return bytes;
}

char *report_tail(struct instance *instance, bool errors)
{
    char *path = log_path(instance, errors);
    char *bytes = NULL;
    struct stat stat_;
    ssize_t got = -1;
    int fd = -1;

    sinks_pump(&instance->app->apps->sinks, instance->id);
    if (path != NULL && !instance->spec->disable_logs)
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    free(path);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &stat_) == 0 && S_ISREG(stat_.st_mode) && stat_.st_size > 0)
        bytes = malloc(TAIL_BYTES + 1);
    if (bytes != NULL)
        got = pread(fd, bytes, TAIL_BYTES,
                    stat_.st_size > TAIL_BYTES ? stat_.st_size - TAIL_BYTES : 0);
    close(fd);
    if (got <= 0) {
        free(bytes);
        return NULL;
    }
    for (ssize_t i = 0; i < got; i++) { /* it goes to terminals and into JSON */
        if ((unsigned char)bytes[i] >= 0x7f || (bytes[i] < 0x20 && bytes[i] != '\n'))
            bytes[i] = '?';
    }
    bytes[got] = '\0';
    return last_lines(bytes);
}
