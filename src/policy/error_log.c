/* The directive error_log. Runs in: load time. */
#include "policy/error_log.h"

#include "base/arena.h"
#include "base/diag.h"
#include "config/loader.h"
#include "config/snapshot.h"
#include "policy/syslog.h"

#include <unistd.h>

size_t error_log_index;

static bool add_target(struct loader *loader, struct log *log, const struct log_target *made,
                       struct log_target **added)
{
    struct log_target *target = arena_alloc(loader->arena, sizeof *target);

    if (target == NULL)
        return false;
    *target = *made;
    target->next = log->targets;
    log->targets = target;
    if (log->level < target->level)
        log->level = target->level;
    *added = target;
    return true;
}

/* `path`: as written, or "stderr". */
static bool add_file(struct loader *loader, struct log *log, struct slice path,
                     enum log_level level)
{
    struct log_target *target;
    struct log_file *file;
    bool standard_error = path.len == 0 || slice_eq(path, slice_of("stderr"));
    struct log_target made = {.fd = standard_error ? STDERR_FILENO : -1, .level = level};

    if (!add_target(loader, log, &made, &target))
        return false;
    if (standard_error)
        return true;
    path = loader_path(loader, path);
    if (path.data == NULL)
        return false;
    file = snapshot_log_file(loader->context, path);
    return file != NULL && snapshot_log_user(loader->context, file, &target->fd);
}

struct connection { /* of one target to its syslog; arena */
    struct syslog_target syslog;
    struct log_target *target;
};

static void close_connection(void *data)
{
    struct connection *connection = data;

    if (connection->target->fd >= 0)
        close(connection->target->fd);
}

static bool open_connection(void *data, struct diag *diag)
{
    struct connection *connection = data;

    connection->target->fd = syslog_open(&connection->syslog, diag);
    return connection->target->fd >= 0;
}

static bool add_syslog(struct conf_call *call, struct log *log, enum log_level level)
{
    struct snapshot *snapshot = call->loader->context;
    struct connection *connection = arena_zalloc(snapshot->arena, sizeof *connection);
    struct log_target made = {.fd = -1, .level = level};

    if (connection == NULL)
        return conf_error(call, 0, "no memory");
    if (!syslog_parse(call, 1, &connection->syslog))
        return false;
    made.syslog_prefix = connection->syslog.prefix;
    made.syslog_facility = connection->syslog.facility;
    if (!add_target(call->loader, log, &made, &connection->target) ||
        !snapshot_on_open(snapshot, open_connection, connection) ||
        !arena_on_drop(snapshot->arena, close_connection, connection))
        return conf_error(call, 0, "no memory");
    return true;
}

static bool set_error_log(struct conf_call *call)
{
    struct error_log_conf *conf = call->conf;
    struct slice where = conf_arg(call, 1);
    enum log_level level = LOG_LEVEL_ERROR;

    if (call->first)
        conf->log = (struct log){.targets = NULL};
    if (conf_arg_count(call) > 2 &&
        (!log_parse_level(conf_arg(call, 2), &level) || level == LOG_STDERR_LEVEL))
        return conf_error(call, 2, "invalid log level \"%.*s\"", SLICE_ARG(conf_arg(call, 2)));
    if (syslog_is(where))
        return add_syslog(call, &conf->log, level);
    if (slice_starts(where, slice_of("memory:"))) {
        conf_warn(call, 1, "the error log is not kept in memory: \"%.*s\" is ignored",
                  SLICE_ARG(where));
        return true;
    }
    return add_file(call->loader, &conf->log, where, level) || conf_error(call, 0, "no memory");
}

static bool finish(struct loader *loader, struct scope *scope, void *data)
{
    struct error_log_conf *conf = data;
    const struct snapshot *snapshot = loader->context;

    if (scope->parent != NULL || conf->log.targets != NULL)
        return true;
    return add_file(loader, &conf->log, snapshot->error_log, LOG_LEVEL_ERROR);
}

static const struct directive directives[] = {
    {"error_log", CTX_MAIN | CTX_HTTP_ALL | CTX_STREAM | CTX_STREAM_SERVER, CUSTOM, .args_min = 1,
     .args_max = 2, .repeatable = true, .set = set_error_log,
     .doc = "Where messages about errors go: a file, stderr, or syslog:server=ADDRESS[,facility=F]"
            "[,tag=T][,severity=S][,nohostname]; and the least grave level that is written: debug,"
            " info, notice, warn, error (the default), crit, alert or emerg. May be given several"
            " times in one block.",
     .example = "error_log /var/log/pelayan/error.log warn;"},
};

const struct conf_feature error_log_feature = {
    .name = "error_log",
    .conf_bytes = sizeof(struct error_log_conf),
    .directives = directives,
    .directive_count = COUNT(directives),
    .finish = finish,
};
