#include "http/path.h"

#include "base/arena.h"
#include "base/log.h"
#include "http/core_conf.h"

/* Kept in the exchange by path_append_uri(): in force while it has not moved on. */
struct path_state {
    const struct http_location *location;
    unsigned redirects;
};

bool path_append_uri(struct exchange *x)
{
    struct path_state *state = exchange_slot(x, &http_path_feature, sizeof *state);

    if (state == NULL)
        return false;
    state->location = x->location;
    state->redirects = x->redirects;
    return true;
}

static bool appends_uri(const struct exchange *x)
{
    const struct path_state *state = exchange_slot_used(x, &http_path_feature);

    return state != NULL && state->location == x->location && state->redirects == x->redirects;
}

bool path_document_root(struct exchange *x, struct slice *root)
{
    return template_eval(paths_of(x)->root, &x->subject, root);
}

static bool join(struct exchange *x, struct slice root, struct slice rest, struct path *path)
{
    size_t len = root.len + rest.len;
    char *out = arena_bytes(x->subject.arena, len + 1);

    if (out == NULL)
        return false;
    if (root.len > 0)
        memcpy(out, root.data, root.len);
    if (rest.len > 0)
        memcpy(out + root.len, rest.data, rest.len);
    out[len] = '\0';
    path->full = slice_make(out, len);
    path->root_bytes = root.len;
    if (memchr(out, '\0', len) == NULL)
        return true;
    log_about(&x->log, LOG_LEVEL_ERROR, 0, "a path has a NUL in it");
    return false;
}

bool path_for_uri(struct exchange *x, struct slice uri, struct path *path)
{
    const struct path_conf *conf = paths_of(x);
    struct slice name = conf->alias_location;
    struct slice root;

    if (!path_document_root(x, &root))
        return false;
    if (!conf->is_alias)
        return join(x, root, uri, path);
    if (name.len == 0)
        return join(x, root, appends_uri(x) ? uri : slice_make(NULL, 0), path);
    if (slice_starts(uri, name))
        return join(x, root, slice_skip(uri, name.len), path);
    log_about(&x->log, LOG_LEVEL_ALERT, 0,
              "\"alias\" cannot be used in location \"%.*s\" where the URI was rewritten to "
              "\"%.*s\"",
              SLICE_ARG(name), SLICE_ARG(uri));
    return false;
}

bool path_for_name(struct exchange *x, struct slice name, struct path *path)
{
    const struct path_conf *conf = paths_of(x);
    struct slice location = conf->alias_location;
    struct slice root;

    if (!path_document_root(x, &root))
        return false;
    if (conf->is_alias && location.len > 0 && slice_starts(name, location))
        name = slice_skip(name, location.len);
    return join(x, root, name, path);
}
