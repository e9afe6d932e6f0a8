/* Variables about files, limits and the scheme: what depends on the settings in force.
 * Runs in: worker, loop thread. */
#include "base/arena.h"
#include "config/directive.h"
#include "http/core_conf.h"
#include "http/features/variable_text.h"
#include "http/path.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

static bool get_document_root(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    return exchange_of(subject)->settings != NULL && path_document_root(exchange_of(subject), text);
}

static bool get_request_filename(struct subject *subject, const struct variable *v,
                                 struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    struct path path;

    (void)v;
    if (x->settings == NULL || !path_for_uri(x, x->request.uri, &path))
        return false;
    *text = path.full;
    return true;
}

static bool get_realpath_root(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    char resolved[PATH_MAX];
    struct slice root;

    (void)v;
    if (x->settings == NULL || !path_document_root(x, &root))
        return false;
    root = arena_copy(subject->arena, root);
    if (root.data == NULL)
        return false;
    if (realpath(root.data, resolved) == NULL) {
        log_about(&x->log, LOG_LEVEL_CRIT, errno, "realpath() \"%s\" failed", root.data);
        return false;
    }
    *text = arena_copy(subject->arena, slice_of(resolved));
    return text->data != NULL;
}

static bool get_limit_rate(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    size_t bytes;

    (void)v;
    if (x->limit_rate_set || x->settings == NULL || core_of(x)->limit_rate == NULL)
        return text_decimal(x, x->limit_rate, text);
    if (!template_eval(core_of(x)->limit_rate, subject, text) || !conf_parse_bytes(*text, &bytes))
        bytes = 0;
    return text_decimal(x, bytes, text);
}

static bool set_limit_rate(struct subject *subject, const struct variable *v, struct slice text)
{
    struct exchange *x = exchange_of(subject);
    size_t bytes;

    (void)v;
    if (!conf_parse_bytes(text, &bytes)) {
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "invalid $limit_rate \"%.*s\"", SLICE_ARG(text));
        return true;
    }
    x->limit_rate = bytes;
    x->limit_rate_set = true;
    return true;
}

static bool get_https(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    *text = slice_of(exchange_is_secure(exchange_of(subject)) ? "on" : "");
    return true;
}

static bool get_scheme(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    *text = slice_of(exchange_is_secure(exchange_of(subject)) ? "https" : "http");
    return true;
}

static bool get_pipe(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    *text = slice_of(exchange_of(subject)->pipelined ? "p" : ".");
    return true;
}

static const struct variable variables[] = {
    {.name = SLICE("document_root"), .get = get_document_root, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("request_filename"), .get = get_request_filename, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("realpath_root"), .get = get_realpath_root, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("limit_rate"),
     .get = get_limit_rate,
     .assign = set_limit_rate,
     .flags = VARIABLE_VOLATILE | VARIABLE_CHANGEABLE},
    {.name = SLICE("https"), .get = get_https},
    {.name = SLICE("scheme"), .get = get_scheme},
    {.name = SLICE("pipe"), .get = get_pipe},
};

struct feature variables_file_feature = {
    .conf = {.name = "http_variables_file"},
    .variables = variables,
    .variable_count = COUNT(variables),
};
