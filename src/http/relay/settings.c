/* Settings of relaying: parsing and the checks that need several of them. Runs in: any process, at
 * load time. */
#include "http/relay/settings.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/list.h"
#include "config/loader.h"
#include "config/snapshot.h"
#include "event/address.h"

#include <assert.h>

const struct conf_word relay_next_words[] = {
    {"error", NEXT_ERROR},
    {"timeout", NEXT_TIMEOUT},
    {"invalid_header", NEXT_INVALID_HEADER},
    {"non_idempotent", NEXT_NON_IDEMPOTENT},
    {"http_500", NEXT_500},
    {"http_502", NEXT_502},
    {"http_503", NEXT_503},
    {"http_504", NEXT_504},
    {"http_403", NEXT_403},
    {"http_404", NEXT_404},
    {"http_429", NEXT_429},
    {"updating", 0},
    {"off", NEXT_OFF},
    {NULL, 0},
};

const struct conf_word relay_ignore_words[] = {
    {"X-Accel-Redirect", IGNORE_X_ACCEL_REDIRECT},
    {"X-Accel-Expires", IGNORE_X_ACCEL_EXPIRES},
    {"X-Accel-Limit-Rate", IGNORE_X_ACCEL_LIMIT_RATE},
    {"X-Accel-Buffering", IGNORE_X_ACCEL_BUFFERING},
    {"X-Accel-Charset", IGNORE_X_ACCEL_CHARSET},
    {"Expires", IGNORE_EXPIRES},
    {"Cache-Control", IGNORE_CACHE_CONTROL},
    {"Set-Cookie", IGNORE_SET_COOKIE},
    {"Vary", IGNORE_VARY},
    {NULL, 0},
};

/* What concerns the front and its peers only, or what the front says itself. */
static const char *const hidden_names[] = {
    "Date",
    "Server",
    "X-Pad",
    "X-Accel-Expires",
    "X-Accel-Redirect",
    "X-Accel-Limit-Rate",
    "X-Accel-Buffering",
    "X-Accel-Charset",
};

/* Most fields an answer may have: the head's size bounds them as well. */
enum { ANSWER_FIELDS_MAX = 4096 };

/* Lists belong to the block that gave them: the first word in a block begins a new one. */
static bool add_name(struct conf_call *call, const struct name_list **list, struct slice name)
{
    struct name_list *entry = arena_zalloc(call->loader->arena, sizeof *entry);
    const struct name_list **last = list;

    if (entry == NULL)
        return conf_error(call, 0, "no memory");
    *entry = (struct name_list){.name = name, .id = header_id_of(name)};
    if (call->first)
        *list = NULL;
    while (*last != NULL)
        last = (const struct name_list **)(uintptr_t) & (*last)->next;
    *last = entry;
    return true;
}

bool relay_set_hide_header(struct conf_call *call)
{
    struct relay_conf *conf = call->conf;

    return add_name(call, &conf->hide_headers, conf_arg(call, 1));
}

bool relay_set_pass_header(struct conf_call *call)
{
    struct relay_conf *conf = call->conf;

    return add_name(call, &conf->pass_headers, conf_arg(call, 1));
}

bool relay_set_temp_path(struct conf_call *call)
{
    struct relay_conf *conf = call->conf;

    for (size_t i = 2; i < conf_arg_count(call); i++) {
        int64_t level;

        if (!conf_parse_int(conf_arg(call, i), 1, 3, &level))
            return conf_error(call, i, "invalid level of subfolders: 1 to 3 digits");
    }
    conf->temp_path = loader_path(call->loader, conf_arg(call, 1));
    return conf->temp_path.data != NULL || conf_error(call, 1, "no memory");
}

static struct template *compile(struct conf_call *call, size_t index)
{
    const char *error = NULL;
    struct template *template = template_compile(call->loader->variables, call->loader->arena,
                                                 conf_arg(call, index), &error);

    if (template == NULL)
        conf_error(call, index, "%s", error == NULL ? "no memory" : error);
    return template;
}

bool relay_set_bind(struct conf_call *call)
{
    struct relay_conf *conf = call->conf;
    struct address address;

    conf->bind = NULL;
    conf->bind_transparent = false;
    if (slice_eq(conf_arg(call, 1), slice_of("off"))) {
        if (conf_arg_count(call) > 2)
            return conf_error(call, 2, "\"off\" takes no further word");
        return true;
    }
    if (conf_arg_count(call) > 2 && !slice_eq(conf_arg(call, 2), slice_of("transparent")))
        return conf_error(call, 2, "invalid parameter \"%.*s\": only \"transparent\" may follow",
                          SLICE_ARG(conf_arg(call, 2)));
    conf->bind = compile(call, 1);
    if (conf->bind == NULL)
        return false;
    conf->bind_transparent = conf_arg_count(call) > 2;
    if (conf->bind->constant && !address_parse(conf->bind->source, 0, &address))
        return conf_error(call, 1, "invalid address \"%.*s\"", SLICE_ARG(conf->bind->source));
    return true;
}

bool relay_set_limit_rate(struct conf_call *call)
{
    struct relay_conf *conf = call->conf;
    size_t rate;

    conf->limit_rate = NULL;
    if (conf_parse_bytes(conf_arg(call, 1), &rate) && rate == 0)
        return true;
    conf->limit_rate = compile(call, 1);
    if (conf->limit_rate == NULL)
        return false;
    if (conf->limit_rate->constant && !conf_parse_bytes(conf->limit_rate->source, &rate))
        return conf_error(call, 1, "invalid value \"%.*s\"", SLICE_ARG(conf->limit_rate->source));
    return true;
}

static bool set_bytes(struct conf_call *call, size_t *bytes)
{
    return conf_parse_bytes(conf_arg(call, 1), bytes) ||
           conf_error(call, 1, "invalid value \"%.*s\"", SLICE_ARG(conf_arg(call, 1)));
}

bool relay_set_busy_buffers(struct conf_call *call)
{
    struct relay_conf *conf = call->conf;

    return set_bytes(call, &conf->busy_buffers_size);
}

bool relay_set_temp_write(struct conf_call *call)
{
    struct relay_conf *conf = call->conf;

    return set_bytes(call, &conf->temp_file_write_size);
}

bool relay_check_buffers(struct conf_call *call)
{
    const struct relay_conf *conf = call->conf;

    if (conf->buffers.count >= 2 && conf->buffers.bytes > 0)
        return true;
    return conf_error(call, 1, "there must be at least 2 \"%s\"", call->directive->name);
}

/* ---- what is computed */

static const struct name_list *find_name(const struct name_list *list, struct slice name)
{
    for (; list != NULL; list = list->next)
        if (slice_eq_nocase(list->name, name))
            return list;
    return NULL;
}

static bool hide(struct relay_hidden *hidden, struct arena *arena, struct slice name)
{
    enum header_id id = header_id_of(name);

    if (id != HEADER_OTHER) {
        hidden->ids[id] = 1;
        return true;
    }
    struct name_list *entry = arena_zalloc(arena, sizeof *entry);

    if (entry == NULL)
        return false;
    *entry = (struct name_list){.name = name, .next = hidden->others};
    hidden->others = entry;
    return true;
}

static bool compute_hidden(struct relay_conf *conf, struct arena *arena)
{
    const struct relay_hidden *before = conf->hidden;

    if (before != NULL && before->hide == conf->hide_headers && before->pass == conf->pass_headers)
        return true;
    struct relay_hidden *hidden = arena_zalloc(arena, sizeof *hidden);

    if (hidden == NULL)
        return false;
    *hidden = (struct relay_hidden){.hide = conf->hide_headers, .pass = conf->pass_headers};
    for (size_t i = 0; i < COUNT(hidden_names); i++)
        if (find_name(conf->pass_headers, slice_of(hidden_names[i])) == NULL &&
            !hide(hidden, arena, slice_of(hidden_names[i])))
            return false;
    for (const struct name_list *name = conf->hide_headers; name != NULL; name = name->next)
        if (!hide(hidden, arena, name->name))
            return false;
    conf->hidden = hidden;
    return true;
}

/* One sentence about several settings of a block: the place is the block's. `%1$s` is the prefix.
 */
static bool complain(struct loader *loader, const struct scope *scope, const char *prefix,
                     const char *format)
{
    struct diag_place place;

    if (scope->node != NULL)
        tree_place(loader->tree, scope->node, 0, &place);
    diag_add(loader->diag, DIAG_ERROR, scope->node == NULL ? NULL : &place, format, prefix);
    return false;
}

static bool check_sizes(struct loader *loader, const struct scope *scope,
                        const struct relay_conf *conf, const char *prefix)
{
    size_t largest = conf->buffer_size > conf->buffers.bytes ? conf->buffer_size
                                                             : conf->buffers.bytes;
    size_t all = (size_t)conf->buffers.count * conf->buffers.bytes;
    size_t busy = conf->busy_buffers_size == 0 ? 2 * largest : conf->busy_buffers_size;
    size_t write = conf->temp_file_write_size == 0 ? 2 * largest : conf->temp_file_write_size;

    if (busy < largest)
        return complain(
            loader, scope, prefix,
            "\"%1$s_busy_buffers_size\" must be equal to or greater than the maximum of "
            "the value of \"%1$s_buffer_size\" and one of the \"%1$s_buffers\"");
    if (busy > all - conf->buffers.bytes)
        return complain(loader, scope, prefix,
                        "\"%1$s_busy_buffers_size\" must be less than the size of all "
                        "\"%1$s_buffers\" minus one buffer");
    if (write < largest)
        return complain(
            loader, scope, prefix,
            "\"%1$s_temp_file_write_size\" must be equal to or greater than the maximum "
            "of the value of \"%1$s_buffer_size\" and one of the \"%1$s_buffers\"");
    if (conf->max_temp_file_size != 0 && conf->max_temp_file_size < largest)
        return complain(loader, scope, prefix,
                        "\"%1$s_max_temp_file_size\" must be zero (no temporary files) or at least "
                        "the maximum of the value of \"%1$s_buffer_size\" and one of the "
                        "\"%1$s_buffers\"");
    return true;
}

static bool share_temp_path(struct loader *loader, const struct relay_conf *conf,
                            const char *prefix, enum context context)
{
    struct snapshot *snapshot = loader->context;

    return snapshot == NULL || conf->temp_path.data == NULL ||
           snapshot_work_dir(snapshot, prefix, conf->temp_path, context);
}

bool relay_conf_finish(struct loader *loader, struct scope *scope, struct relay_conf *conf,
                       const char *prefix)
{
    if (!check_sizes(loader, scope, conf, prefix))
        return false;
    conf->queue_bytes_max = (size_t)conf->buffers.count * conf->buffers.bytes + conf->buffer_size;
    conf->limits = (struct h1_limits){.line_bytes_max = (uint32_t)conf->buffer_size,
                                      .header_bytes_max = (uint32_t)conf->buffer_size,
                                      .head_bytes_max = (uint32_t)conf->buffer_size,
                                      .headers_max = ANSWER_FIELDS_MAX};
    if (compute_hidden(conf, loader->arena) &&
        share_temp_path(loader, conf, prefix, scope->context))
        return true;
    diag_add(loader->diag, DIAG_ERROR, NULL, "no memory for the config");
    return false;
}
