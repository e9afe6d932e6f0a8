/* `gzip_static`: beside "a.css" there may be "a.css.gz", made once and sent as it is.
 * Runs in: worker, loop thread. */
#include "base/arena.h"
#include "base/list.h"
#include "http/features/gzip.h"
#include "http/features/static.h"
#include "http/file.h"
#include "http/path.h"
#include "http/response.h"

#include <errno.h>

enum { GZIP_STATIC_OFF, GZIP_STATIC_ON, GZIP_STATIC_ALWAYS };

struct gzip_static_conf {
    int mode;
};

/* The type is that of what was asked for, which has no ".gz". */
static enum phase_verdict serve(struct exchange *x, const struct file *file)
{
    x->response.content_type = response_type_for(x, x->request.uri);
    if (!static_describe(x, file) ||
        header_list_set(&x->response.headers, HEADER_CONTENT_ENCODING, slice_of("gzip")) == NULL)
        return exchange_fail(x, 500);
    static_send(x, file);
    return PHASE_RESPONDS;
}

/* PHASE_PASS with `*found` NULL: there is no such file. */
static enum phase_verdict look(struct exchange *x, enum file_want want, struct path *path,
                               const struct file **found)
{
    struct slice uri = arena_printf(x->subject.arena, "%.*s.gz", SLICE_ARG(x->request.uri));
    const struct file *file;

    *found = NULL;
    if (uri.data == NULL || !path_for_uri(x, uri, path))
        return exchange_fail(x, 500);
    switch (file_find(x, path, want, &file)) {
    case FILE_FOUND:
        break;
    case FILE_LATER:
        return PHASE_WAIT;
    case FILE_NO_MEMORY:
        return exchange_fail(x, 500);
    }
    if (file->error != 0 && file->error != ENOENT && file->error != ENOTDIR &&
        file->error != ENAMETOOLONG)
        (void)file_error_status(x, file, path);
    if (file->error == 0 && file->is_regular)
        *found = file;
    return PHASE_PASS;
}

static enum phase_verdict run(struct exchange *x)
{
    const struct gzip_static_conf *conf = exchange_conf(x, gzip_static_feature);
    const struct file *file;
    struct path path;

    if (conf->mode == GZIP_STATIC_OFF || slice_ends(x->request.uri, slice_of("/")) ||
        (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD))
        return PHASE_PASS;
    bool accepted = conf->mode == GZIP_STATIC_ALWAYS || gzip_is_accepted(x);

    /* Who does not accept it is told nevertheless that there are two forms. */
    if (!accepted && !gzip_of(x)->vary)
        return PHASE_PASS;
    enum phase_verdict verdict = look(x, accepted ? FILE_OPEN : FILE_TEST, &path, &file);

    if (verdict != PHASE_PASS || file == NULL)
        return verdict;
    if (conf->mode == GZIP_STATIC_ON && !gzip_add_vary(x))
        return exchange_fail(x, 500);
    return accepted ? serve(x, file) : PHASE_PASS;
}

static const struct conf_word mode_words[] = {
    {"off", GZIP_STATIC_OFF}, {"on", GZIP_STATIC_ON}, {"always", GZIP_STATIC_ALWAYS}, {NULL, 0}};

static const struct directive directives[] = {
    {"gzip_static", CTX_HTTP_ALL, ENUM(struct gzip_static_conf, mode), .def = "off",
     .words = mode_words,
     .doc = "Send the file \"NAME.gz\" in place of NAME to clients that accept it, or (always) to "
            "all of them: then `gunzip` serves the others.",
     .example = "gzip_static on;"},
};

struct feature gzip_static_feature = {
    .conf = {.name = "http_gzip_static",
             .conf_bytes = sizeof(struct gzip_static_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &gzip_static_feature,
    .phase = STEP_CONTENT,
    .run = run,
};
