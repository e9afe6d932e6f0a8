#include "http/features/access_log.h"

#include "base/arena.h"
#include "config/loader.h"
#include "config/snapshot.h"
#include "http/conf.h"
#include "http/features/log_path.h"
#include "http/features/log_writer.h"
#include "http/http_loop.h"
#include "http/path.h"
#include "policy/syslog.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GZIP_BUFFER_BYTES = 65536, GZIP_LEVEL_DEFAULT = 1, SYSLOG_BYTES_MAX = 65000 };

/* A syslog server and its socket, opened by whoever uses the snapshot. */
struct log_syslog {
    struct syslog_target target;
    int fd; /* owned; -1 until opened */
};

/* One access_log directive: exactly one of file, path and syslog is set. */
struct access_target {
    struct access_target *next;
    const struct log_format *format;
    struct template *condition; /* if=, or NULL */
    struct log_file *file;
    struct template *path; /* with variables */
    struct log_syslog *syslog;
    struct log_policy policy;
};

struct access_log_conf {
    const struct access_log_conf
        *self; /* whose list `targets` is: a copy made for a block inside differs */
    struct log_format *formats;
    struct access_target *targets;
    bool given; /* here or above */
    bool off;
    struct log_cache_conf cache;
    struct access_target *fallback; /* http level: nginx's logs/access.log, if a server needs it */
};

static const char combined[] = "$remote_addr - $remote_user [$time_local] \"$request\" $status "
                               "$body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/* ---- log_format */

static struct log_format *find_format(struct log_format *first, struct slice name)
{
    while (first != NULL && !slice_eq(first->name, name))
        first = first->next;
    return first;
}

static struct log_format *add_format(struct loader *loader, struct access_log_conf *conf,
                                     struct slice name)
{
    struct log_format *format = arena_zalloc(loader->arena, sizeof *format);

    if (format == NULL)
        return NULL;
    format->name = arena_copy(loader->arena, name);
    format->next = conf->formats;
    conf->formats = format;
    return format;
}

/* The one nginx knows without being told. */
static struct log_format *combined_format(struct loader *loader, struct access_log_conf *conf)
{
    struct log_format *format = find_format(conf->formats, slice_of("combined"));
    const char *error;

    if (format != NULL)
        return format;
    format = add_format(loader, conf, slice_of("combined"));
    if (format == NULL ||
        !log_format_compile(format, slice_of(combined), loader->variables, loader->arena, &error))
        return NULL;
    return format;
}

static bool parse_escape(struct slice word, enum log_escape *escape)
{
    if (slice_eq(word, slice_of("default")))
        *escape = LOG_ESCAPE_DEFAULT;
    else if (slice_eq(word, slice_of("json")))
        *escape = LOG_ESCAPE_JSON;
    else if (slice_eq(word, slice_of("none")))
        *escape = LOG_ESCAPE_NONE;
    else
        return false;
    return true;
}

static bool set_log_format(struct conf_call *call)
{
    static const struct slice escape_key = SLICE("escape=");
    struct access_log_conf *conf = call->conf;
    struct slice name = conf_arg(call, 1);
    struct log_format *format;
    size_t index = 2;
    const char *error;

    if (slice_eq(name, slice_of("combined")) || find_format(conf->formats, name) != NULL)
        return conf_error(call, 1, "duplicate \"log_format\" name \"%.*s\"", SLICE_ARG(name));
    format = add_format(call->loader, conf, name);
    if (format == NULL)
        return conf_error(call, 0, "no memory");
    if (slice_starts(conf_arg(call, 2), escape_key)) {
        if (!parse_escape(slice_skip(conf_arg(call, 2), escape_key.len), &format->escape))
            return conf_error(call, 2, "unknown log format escaping \"%.*s\"",
                              SLICE_ARG(conf_arg(call, 2)));
        index++;
    }
    for (; index < conf_arg_count(call); index++) {
        if (!log_format_compile(format, conf_arg(call, index), call->loader->variables,
                                call->loader->arena, &error))
            return conf_error(call, index, "%s", error);
    }
    return true;
}

/* ---- access_log */

static bool open_syslog(void *data, struct diag *diag)
{
    struct log_syslog *syslog = data;

    syslog->fd = syslog_open(&syslog->target, diag);
    return syslog->fd >= 0;
}

static void close_syslog(void *data)
{
    struct log_syslog *syslog = data;

    if (syslog->fd >= 0)
        close(syslog->fd);
}

static bool set_syslog(struct conf_call *call, struct access_target *target)
{
    struct loader *loader = call->loader;
    struct log_syslog *syslog = arena_zalloc(loader->arena, sizeof *syslog);

    if (syslog == NULL)
        return conf_error(call, 0, "no memory");
    syslog->fd = -1;
    target->syslog = syslog;
    if (!syslog_parse(call, 1, &syslog->target))
        return false;
    if (!arena_on_drop(loader->arena, close_syslog, syslog) ||
        !snapshot_on_open(loader->context, open_syslog, syslog))
        return conf_error(call, 0, "no memory");
    return true;
}

static bool set_path(struct conf_call *call, struct access_target *target)
{
    struct loader *loader = call->loader;
    struct slice path = loader_path(loader, conf_arg(call, 1));
    const char *error;

    if (path.data == NULL)
        return conf_error(call, 0, "no memory");
    if (slice_find(conf_arg(call, 1), '$') < 0) {
        target->file = snapshot_log_file(loader->context, path);
        return target->file != NULL || conf_error(call, 0, "no memory");
    }
    target->path = template_compile(loader->variables, loader->arena, path, &error);
    return target->path != NULL || conf_error(call, 1, "%s", error);
}

static bool set_gzip(struct access_target *target, struct slice level)
{
    int64_t number = GZIP_LEVEL_DEFAULT;

    if (level.data != NULL && !conf_parse_int(level, 1, 9, &number))
        return false;
    target->policy.gzip_level = (int)number;
    if (target->policy.buffer_bytes == 0)
        target->policy.buffer_bytes = GZIP_BUFFER_BYTES;
    return true;
}

static bool set_option(struct conf_call *call, size_t index, struct access_target *target)
{
    struct slice value = conf_arg(call, index);
    struct slice word = value;
    struct slice name;
    const char *error;
    bool valid;

    slice_split(&value, '=', &name);
    if (slice_eq(name, slice_of("if")) && value.data != NULL) {
        target->condition = template_compile(call->loader->variables, call->loader->arena, value,
                                             &error);
        return target->condition != NULL || conf_error(call, index, "%s", error);
    }
    if (slice_eq(name, slice_of("buffer")))
        valid = conf_parse_bytes(value, &target->policy.buffer_bytes) &&
                target->policy.buffer_bytes > 0;
    else if (slice_eq(name, slice_of("flush")))
        valid = conf_parse_msec(value, &target->policy.flush_ms) && target->policy.flush_ms > 0;
    else if (slice_eq(name, slice_of("gzip")))
        valid = set_gzip(target, value);
    else
        return conf_error(call, index, "invalid parameter \"%.*s\"", SLICE_ARG(word));
    return valid || conf_error(call, index, "invalid value in \"%.*s\"", SLICE_ARG(word));
}

static bool set_options(struct conf_call *call, struct access_target *target)
{
    for (size_t i = 3; i < conf_arg_count(call); i++) {
        if (!set_option(call, i, target))
            return false;
    }
    if (target->policy.flush_ms > 0 && target->policy.buffer_bytes == 0)
        return conf_error(call, 1, "no buffer is defined for access_log \"%.*s\"",
                          SLICE_ARG(conf_arg(call, 1)));
    if (target->policy.buffer_bytes > 0 && target->syslog != NULL)
        return conf_error(call, 1, "logs to syslog cannot be buffered");
    if (target->policy.buffer_bytes > 0 && target->path != NULL)
        return conf_error(call, 1, "buffered logs cannot have variables in name");
    return true;
}

static bool set_format(struct conf_call *call, struct access_target *target)
{
    struct access_log_conf *conf = call->conf;
    struct slice name = conf_arg_count(call) > 2 ? conf_arg(call, 2) : slice_of("combined");

    target->format = slice_eq(name, slice_of("combined")) ? combined_format(call->loader, conf)
                                                          : find_format(conf->formats, name);
    return target->format != NULL || conf_error(call, conf_arg_count(call) > 2 ? 2 : 0,
                                                "unknown log format \"%.*s\"", SLICE_ARG(name));
}

static bool set_access_log(struct conf_call *call)
{
    struct access_log_conf *conf = call->conf;
    struct access_target *target = arena_zalloc(call->loader->arena, sizeof *target);
    struct access_target **last = &conf->targets;
    bool is_syslog = syslog_is(conf_arg(call, 1));

    if (conf->self != conf) {
        conf->self = conf;
        conf->targets = NULL;
        conf->off = false;
    }
    conf->given = true;
    if (conf_arg_count(call) == 2 && slice_eq(conf_arg(call, 1), slice_of("off"))) {
        conf->off = true;
        return true;
    }
    if (target == NULL)
        return conf_error(call, 0, "no memory");
    if (!(is_syslog ? set_syslog(call, target) : set_path(call, target)) ||
        !set_format(call, target) || !set_options(call, target))
        return false;
    while (*last != NULL)
        last = &(*last)->next;
    *last = target;
    return true;
}

/* ---- open_log_file_cache */

static bool set_cache_option(struct log_cache_conf *cache, struct slice word)
{
    struct slice value = word;
    struct slice name;
    int64_t number = 0;
    bool valid = slice_split(&value, '=', &name);

    if (slice_eq(name, slice_of("max"))) {
        valid = conf_parse_int(value, 1, INT32_MAX, &number);
        cache->max = (int)number;
    } else if (slice_eq(name, slice_of("min_uses"))) {
        valid = conf_parse_int(value, 1, INT32_MAX, &number);
        cache->min_uses = (int)number;
    } else if (slice_eq(name, slice_of("inactive"))) {
        valid = conf_parse_msec(value, &cache->inactive_ms);
    } else if (slice_eq(name, slice_of("valid"))) {
        valid = conf_parse_msec(value, &cache->valid_ms);
    } else {
        valid = false;
    }
    return valid;
}

static bool set_cache(struct conf_call *call)
{
    struct access_log_conf *conf = call->conf;

    conf->cache = (struct log_cache_conf){.inactive_ms = 10000, .valid_ms = 60000, .min_uses = 1};
    if (conf_arg_count(call) == 2 && slice_eq(conf_arg(call, 1), slice_of("off")))
        return true;
    for (size_t i = 1; i < conf_arg_count(call); i++) {
        if (!set_cache_option(&conf->cache, conf_arg(call, i)))
            return conf_error(call, i, "invalid \"open_log_file_cache\" parameter \"%.*s\"",
                              SLICE_ARG(conf_arg(call, i)));
    }
    return conf->cache.max > 0 ||
           conf_error(call, 0, "\"open_log_file_cache\" must have the \"max\" parameter");
}

/* A server that says nothing about its access log, nor http above it, has nginx's. */
static bool finish_http(struct loader *loader, struct http_conf *http)
{
    struct access_log_conf *top = settings_at(http->settings, access_log_feature.index);
    struct access_target *target;
    bool needed = false;

    for (size_t i = 0; i < http->server_count && !needed; i++) {
        const struct access_log_conf *conf = settings_at(http->servers[i]->settings,
                                                         access_log_feature.index);

        needed = !conf->given;
    }
    if (!needed)
        return true;
    target = arena_zalloc(loader->arena, sizeof *target);
    if (target == NULL)
        return false;
    target->format = combined_format(loader, top);
    target->file = snapshot_log_file(loader->context,
                                     loader_path(loader, slice_of("logs/access.log")));
    top->fallback = target;
    return target->format != NULL && target->file != NULL;
}

/* ---- writing */

static void write_file(struct exchange *x, const struct access_target *target)
{
    struct log_writer *writer = log_writer_for(x->http, target->file);
    size_t start;

    if (writer == NULL)
        return;
    start = writer->text.len;
    if (log_format_write(target->format, &writer->text, x))
        log_writer_commit(writer, x->user->snapshot, start, &target->policy);
    else
        writer->text.len = start;
}

/* A client's words may be in the path: they must not lead out of the folder the template names. */
static bool is_safe_path(struct slice path)
{
    return path.len > 0 && slice_search(path, slice_of("/../")) < 0 &&
           memchr(path.data, '\0', path.len) == NULL;
}

/* Hosts that are not ours have no root, and get no log either: nobody fills the disk with files. */
static bool root_exists(struct exchange *x)
{
    struct slice root;
    struct stat st;

    if (!path_document_root(x, &root))
        return false;
    root = arena_copy(x->subject.arena, root);
    return root.data != NULL && stat(root.data, &st) == 0 && S_ISDIR(st.st_mode);
}

static void write_path(struct exchange *x, const struct access_target *target,
                       const struct access_log_conf *conf)
{
    struct log_loop *loop = log_loop_of(x->http);
    struct slice path;

    if (loop == NULL || !root_exists(x) || !template_eval(target->path, &x->subject, &path))
        return;
    path = arena_copy(x->subject.arena, path);
    if (path.data == NULL || !is_safe_path(path)) {
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "no access log is written to \"%.*s\"",
                  SLICE_ARG(path));
        return;
    }
    loop->scratch.len = 0;
    if (!log_format_write(target->format, &loop->scratch, x))
        return;
    if (!log_path_append(&loop->cache, &conf->cache, path,
                         slice_make(loop->scratch.data, loop->scratch.len), loop_now_ms(x->loop)))
        log_about(&x->log, LOG_LEVEL_CRIT, errno, "writing access log \"%.*s\" failed",
                  SLICE_ARG(path));
}

/* "<190>Jan  1 12:00:00 host tag: line" (RFC 3164, 4.1). The clock's text is "01/Jan/2026:12:00:00
 * +0700". */
static bool write_syslog_head(struct exchange *x, const struct syslog_target *target,
                              struct log_text *text)
{
    const char *now = loop_clock(x->loop)->log_local;
    char head[64];
    int n = snprintf(head, sizeof head, "<%d>%.3s %c%c %.8s ",
                     target->facility * 8 + target->severity, now + 3, now[0] == '0' ? ' ' : now[0],
                     now[1], now + 12);

    return log_text_add(text, slice_make(head, (size_t)n)) &&
           log_text_add(text, slice_of(target->prefix));
}

static void write_syslog(struct exchange *x, const struct access_target *target)
{
    struct log_loop *loop = log_loop_of(x->http);
    struct log_text *text = loop == NULL ? NULL : &loop->scratch;

    if (text == NULL || target->syslog->fd < 0)
        return;
    text->len = 0;
    if (!write_syslog_head(x, &target->syslog->target, text) ||
        !log_format_write(target->format, text, x))
        return;
    text->len--; /* a datagram needs no newline */
    if (text->len > SYSLOG_BYTES_MAX)
        text->len = SYSLOG_BYTES_MAX;
    if (send(target->syslog->fd, text->data, text->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_about(&x->log, LOG_LEVEL_INFO, errno, "sending to syslog failed");
}

static void write_target(struct exchange *x, const struct access_target *target,
                         const struct access_log_conf *conf)
{
    if (target->condition != NULL && !template_true(target->condition, &x->subject))
        return;
    if (target->file != NULL)
        write_file(x, target);
    else if (target->path != NULL)
        write_path(x, target, conf);
    else
        write_syslog(x, target);
}

static void on_log(struct exchange *x)
{
    const struct access_log_conf *conf;
    const struct access_log_conf *top = settings_at(x->conf->settings, access_log_feature.index);

    if (x->settings == NULL || x->http == NULL) /* `explain` asks without a loop */
        return;
    conf = exchange_conf(x, access_log_feature);
    if (!conf->given && top->fallback != NULL)
        write_target(x, top->fallback, conf);
    for (const struct access_target *target = conf->off ? NULL : conf->targets; target != NULL;
         target = target->next)
        write_target(x, target, conf);
}

static const struct directive directives[] = {
    {.name = "log_format",
     .contexts = CTX_HTTP,
     .field = CUSTOM,
     .args_min = 2,
     .args_max = 255,
     .repeatable = true,
     .set = set_log_format,
     .doc =
         "Names a format of access log lines: a text with variables. Several strings are joined. "
         "escape=default writes bytes that could forge a line as \\xHH, escape=json as JSON has "
         "it, escape=none leaves them.",
     .example = "log_format short escape=json '{\"uri\": \"$uri\", \"status\": $status}';"},
    {.name = "access_log",
     .contexts = CTX_HTTP_ALL | CTX_LOCATION_IF | CTX_LIMIT_EXCEPT,
     .field = CUSTOM,
     .args_min = 1,
     .args_max = 255,
     .repeatable = true,
     .set = set_access_log,
     .doc = "Where one line per request is written: a file, a path with variables, "
            "syslog:server=... or off; then the format (combined), buffer= and flush= to collect "
            "lines, gzip= to compress them, and if= for a condition. Several may stand in one "
            "block; they replace those of the blocks above. Without any, logs/access.log. Lines of "
            "a buffer without flush= are written after a minute at the latest.",
     .example = "access_log logs/shop.log combined buffer=64k flush=5s if=$loggable;"},
    {.name = "open_log_file_cache",
     .contexts = CTX_HTTP_ALL,
     .field = CUSTOM,
     .def = "off",
     .args_min = 1,
     .args_max = 4,
     .set = set_cache,
     .doc = "Keeps files of access logs with variables in their path open: at most max=, closed "
            "after inactive= (10s) without a line, checked every valid= (60s) whether they were "
            "moved, and only those used min_uses= times.",
     .example = "open_log_file_cache max=1000 inactive=20s valid=1m min_uses=2;"},
};

struct feature access_log_feature = {
    .conf = {.name = "http_log",
             .conf_bytes = sizeof(struct access_log_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .on_log = on_log,
    .finish_http = finish_http,
};
