/* `index`: which file stands for a folder. Runs in: worker, loop thread. */
#include "http/features/index.h"

#include "base/arena.h"
#include "base/list.h"
#include "config/loader.h"
#include "http/conf.h"
#include "http/core_conf.h"
#include "http/file.h"
#include "http/path.h"

#include <errno.h>

struct index_name {
    const struct index_name *next;
    struct template *text;
};

struct index_conf {
    const struct index_name *first;
    const void *block; /* whose list this is: an inner block begins anew */
};

static bool set_index(struct conf_call *call)
{
    struct index_conf *conf = call->conf;
    const struct index_name **last = &conf->first;
    const char *error;

    if (call->first)
        conf->first = NULL;
    while (*last != NULL)
        last = (const struct index_name **)(uintptr_t) & (*last)->next;
    for (size_t i = 1; i < conf_arg_count(call); i++) {
        struct index_name *name = arena_zalloc(call->loader->arena, sizeof *name);

        if (name == NULL)
            return conf_error(call, 0, "no memory for the configuration");
        if (conf_arg(call, i).len == 0)
            return conf_error(call, i, "an index without a name");
        if (conf_arg(call, i).data[0] == '/' && i + 1 < conf_arg_count(call))
            conf_warn(call, i, "only the last \"index\" may be a path from the root");
        name->text = template_compile(call->loader->variables, call->loader->arena,
                                      conf_arg(call, i), &error);
        if (name->text == NULL)
            return conf_error(call, i, "%s", error);
        *last = name;
        last = &name->next;
    }
    return true;
}

/* Nobody said what a missing index means before the folder itself was looked at. */
static int folder_status(struct exchange *x, const struct path *path)
{
    struct path folder = {.full = slice_head(path->full, path->full.len)};
    const struct file *file;

    while (folder.full.len > 1 && folder.full.data[folder.full.len - 1] != '/')
        folder.full.len--;
    folder.full = arena_copy(x->subject.arena, folder.full);
    if (folder.full.data == NULL || file_find(x, &folder, FILE_TEST, &file) == FILE_NO_MEMORY)
        return 500;
    if (file == NULL)
        return -1; /* later */
    if (file->error == ENOENT) {
        if (core_of(x)->log_not_found)
            log_about(&x->log, LOG_LEVEL_ERROR, ENOENT, "\"%.*s\" is not found",
                      SLICE_ARG(path->full));
        return 404;
    }
    if (file->error == 0 && file->is_folder)
        return 0;
    if (file->error != 0)
        return file_error_status(x, file, &folder);
    log_about(&x->log, LOG_LEVEL_ALERT, ENOTDIR, "\"%.*s\" is not a directory",
              SLICE_ARG(folder.full));
    return 500;
}

static struct slice uri_with(struct exchange *x, struct slice name)
{
    struct slice uri = x->request.uri;
    char *out = arena_bytes(x->subject.arena, uri.len + name.len);

    if (out == NULL)
        return slice_make(NULL, 0);
    memcpy(out, uri.data, uri.len);
    memcpy(out + uri.len, name.data, name.len);
    return slice_make(out, uri.len + name.len);
}

/* PHASE_PASS: not this one. */
static enum phase_verdict try_name(struct exchange *x, const struct index_name *index)
{
    const struct file *file = NULL;
    struct slice name;
    struct path path;

    if (!template_eval(index->text, &x->subject, &name))
        return exchange_fail(x, 500);
    if (name.len > 0 && name.data[0] == '/')
        return exchange_redirect(x, name, x->request.args);
    struct slice uri = uri_with(x, name);

    if (uri.data == NULL || name.len == 0 || !path_for_uri(x, uri, &path))
        return exchange_fail(x, 500);
    switch (file_find(x, &path, FILE_OPEN, &file)) {
    case FILE_FOUND:
        break;
    case FILE_LATER:
        return PHASE_WAIT;
    case FILE_NO_MEMORY:
        return exchange_fail(x, 500);
    }
    if (file->error == 0)
        return exchange_redirect(x, uri, x->request.args);
    if (file->error != ENOENT && file->error != ENOTDIR && file->error != ENAMETOOLONG)
        return exchange_fail(x, file_error_status(x, file, &path));
    int status = folder_status(x, &path);

    if (status < 0)
        return PHASE_WAIT;
    return status == 0 ? PHASE_PASS : exchange_fail(x, status);
}

static enum phase_verdict run(struct exchange *x)
{
    const struct index_conf *conf = exchange_conf(x, index_feature);

    if (!slice_ends(x->request.uri, slice_of("/")) ||
        (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD &&
         x->request.method != METHOD_POST))
        return PHASE_PASS;
    for (const struct index_name *name = conf->first; name != NULL; name = name->next) {
        enum phase_verdict verdict = try_name(x, name);

        if (verdict != PHASE_PASS)
            return verdict;
    }
    return PHASE_PASS;
}

static const struct directive directives[] = {
    {"index", CTX_HTTP_ALL, CUSTOM, .def = "index.html", .args_min = 1, .args_max = 255,
     .repeatable = true, .set = set_index,
     .doc = "Files that stand for a folder, in the order they are looked for. The last may be a "
            "path from the root, which is then always found.",
     .example = "index index.$lang.html index.html /index.php;"},
};

struct feature index_feature = {
    .conf = {.name = "http_index",
             .conf_bytes = sizeof(struct index_conf),
             .frequent = true,
             .directives = directives,
             .directive_count = COUNT(directives)},
    .phase = STEP_CONTENT,
    .run = run,
};
