/* `try_files`: the first of several files that is there, or else a last resort.
 * Runs in: worker, loop thread. */
#include "http/features/try_files.h"

#include "base/arena.h"
#include "base/list.h"
#include "config/loader.h"
#include "http/conf.h"
#include "http/core_conf.h"
#include "http/file.h"
#include "http/path.h"
#include "http/response.h"

#include <errno.h>

struct try_file {
    struct template *name;
    bool is_folder; /* written with a slash at the end, which `name` does not have */
};

struct try_conf {
    const void *block; /* the http_server or http_location they stand in: they are not inherited */
    struct try_file *files;
    size_t file_count;
    struct template *last; /* URI, path with arguments, or @name; NULL: a status */
    int status;
};

/* Which block is in force for an exchange, as nginx sees it: try_files of a server is for requests
 * that no location takes. */
static const void *block_of(const struct exchange *x)
{
    return x->location != NULL ? (const void *)x->location : x->server;
}

static struct template *compile(struct conf_call *call, size_t index, struct slice text)
{
    const char *error = NULL;
    struct template *made = template_compile(call->loader->variables, call->loader->arena, text,
                                             &error);

    if (made == NULL)
        conf_error(call, index, "%s", error);
    return made;
}

static bool set_last(struct conf_call *call, size_t index)
{
    struct try_conf *conf = call->conf;
    struct slice text = conf_arg(call, index);
    int64_t status;

    if (text.len == 0 || text.data[0] != '=') {
        conf->last = compile(call, index, text);
        return conf->last != NULL;
    }
    if (!conf_parse_int(slice_skip(text, 1), 0, 999, &status))
        return conf_error(call, index, "invalid code \"%.*s\"", SLICE_ARG(text));
    conf->last = NULL;
    conf->status = (int)status;
    return true;
}

static bool set_try_files(struct conf_call *call)
{
    struct try_conf *conf = call->conf;
    size_t count = conf_arg_count(call) - 2;

    conf->block = call->scope->block;
    conf->files = arena_zalloc(call->loader->arena, count * sizeof *conf->files);
    conf->file_count = count;
    if (conf->files == NULL)
        return conf_error(call, 0, "no memory for the configuration");
    for (size_t i = 0; i < count; i++) {
        struct slice name = conf_arg(call, i + 1);

        conf->files[i].is_folder = slice_ends(name, slice_of("/"));
        if (conf->files[i].is_folder)
            name.len--;
        conf->files[i].name = compile(call, i + 1, name);
        if (conf->files[i].name == NULL)
            return false;
    }
    return set_last(call, count + 1);
}

static enum phase_verdict fall_back(struct exchange *x, const struct try_conf *conf)
{
    struct slice text;
    struct slice args = {0};

    if (conf->last == NULL) {
        if (conf->status != 200 && conf->status != 204)
            return exchange_fail(x, conf->status == 0 ? 500 : conf->status);
        response_send(x, conf->status, slice_make(NULL, 0), slice_make(NULL, 0));
        return PHASE_RESPONDS;
    }
    if (!template_eval(conf->last, &x->subject, &text))
        return exchange_fail(x, 500);
    if (text.len > 0 && text.data[0] == '@')
        return exchange_redirect_named(x, text);
    ptrdiff_t mark = slice_find(text, '?');

    if (mark >= 0) {
        args = slice_skip(text, (size_t)mark + 1);
        text = slice_head(text, (size_t)mark);
    }
    return exchange_redirect(x, text, args);
}

/* The URI becomes that of the file found. */
static bool take(struct exchange *x, const struct try_file *wanted, const struct path *path)
{
    const struct path_conf *conf = paths_of(x);
    struct slice rest = slice_skip(path->full, path->root_bytes);

    if (!conf->is_alias) {
        x->request.uri = rest;
    } else if (conf->alias_location.len == 0) {
        if (wanted->is_folder)
            return true;
        x->request.uri = rest;
        if (!path_append_uri(x))
            return false;
    } else {
        x->request.uri = arena_printf(x->subject.arena, "%.*s%.*s", SLICE_ARG(conf->alias_location),
                                      SLICE_ARG(rest));
    }
    x->request.uri_plain = false;
    return x->request.uri.data != NULL;
}

/* FILE_FOUND: `*file` says what is there. A file that may not be opened is there nevertheless. */
static enum file_answer look(struct exchange *x, const struct path *path, const struct file **file)
{
    bool for_static = x->location == NULL || x->location->content.start == NULL;
    enum file_answer answer = file_find(x, path, for_static ? FILE_OPEN : FILE_TEST, file);

    if (answer != FILE_FOUND || (*file)->error != EACCES || !for_static)
        return answer;
    return file_find(x, path, FILE_TEST, file);
}

static enum phase_verdict try_one(struct exchange *x, const struct try_file *wanted, bool *found)
{
    const struct file *file = NULL;
    struct slice name;
    struct path path;

    *found = false;
    if (!template_eval(wanted->name, &x->subject, &name) || !path_for_name(x, name, &path))
        return exchange_fail(x, 500);
    switch (look(x, &path, &file)) {
    case FILE_FOUND:
        break;
    case FILE_LATER:
        return PHASE_WAIT;
    case FILE_NO_MEMORY:
        return exchange_fail(x, 500);
    }
    if (file->error != 0 && file->error != ENOENT && file->error != ENOTDIR &&
        file->error != ENAMETOOLONG)
        log_about(&x->log, LOG_LEVEL_CRIT, file->error, "%s \"%.*s\" failed", file->failed,
                  SLICE_ARG(path.full));
    *found = file->error == 0 && file->is_folder == wanted->is_folder;
    if (*found && !take(x, wanted, &path))
        return exchange_fail(x, 500);
    return PHASE_PASS;
}

static enum phase_verdict run(struct exchange *x)
{
    const struct try_conf *conf = exchange_conf(x, try_files_feature);

    if (conf->block == NULL || conf->block != block_of(x))
        return PHASE_PASS;
    for (size_t i = 0; i < conf->file_count; i++) {
        bool found;
        enum phase_verdict verdict = try_one(x, &conf->files[i], &found);

        if (verdict != PHASE_PASS || found)
            return verdict;
    }
    return fall_back(x, conf);
}

static const struct directive directives[] = {
    {"try_files", CTX_SERVER | CTX_LOCATION, CUSTOM, .args_min = 2, .args_max = 255,
     .set = set_try_files,
     .doc = "Looks for the files named, and with a slash at the end for folders, below the root; "
            "the request goes on with the first that is there. The last parameter is not looked "
            "for: it is where the request goes otherwise, a path, a named location or \"=code\".",
     .example = "try_files $uri $uri/ /index.html;"},
};

struct feature try_files_feature = {
    .conf = {.name = "http_try_files",
             .conf_bytes = sizeof(struct try_conf),
             .frequent = true,
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &try_files_feature,
    .phase = STEP_PRECONTENT,
    .run = run,
};

bool try_files_candidate(struct exchange *x, size_t index, struct slice *text)
{
    const struct try_conf *conf = exchange_conf(x, try_files_feature);

    if (conf->block != block_of(x) || conf->block == NULL || index > conf->file_count)
        return false;
    if (index < conf->file_count)
        return template_eval(conf->files[index].name, &x->subject, text);
    if (conf->last != NULL)
        return template_eval(conf->last, &x->subject, text);
    *text = arena_printf(x->subject.arena, "=%d", conf->status);
    return text->data != NULL;
}
