/* WebDAV's methods that change files: PUT, DELETE, MKCOL, COPY, MOVE (RFC 4918). Off unless
 * dav_methods names them. Runs in: worker, loop thread. */
#include "http/features/dav.h"

#include "base/arena.h"
#include "base/list.h"
#include "http/body.h"
#include "http/chunk.h"
#include "http/core_conf.h"
#include "http/path.h"
#include "http/response.h"
#include "http/uri.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

enum { DAV_PUT = 1, DAV_DELETE = 2, DAV_MKCOL = 4, DAV_COPY = 8, DAV_MOVE = 16 };
enum { DEPTH_0, DEPTH_1, DEPTH_INFINITY, DEPTH_BAD };

struct dav_conf {
    unsigned methods;
    bool create_parents;
    int min_delete_depth;
    mode_t file_mode;
    mode_t folder_mode; /* the same, with x where there is r */
};

extern struct feature dav_feature;

/* ---- answers */

static int status_of(struct exchange *x, int error, int not_found, const char *what,
                     const char *path)
{
    enum log_level level = LOG_LEVEL_ERROR;
    int status;

    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        status = not_found;
        break;
    case EACCES:
    case EPERM:
        status = 403;
        break;
    case EEXIST:
        status = 405;
        break;
    case ENOSPC:
    case EDQUOT:
        level = LOG_LEVEL_CRIT;
        status = 507;
        break;
    default:
        level = LOG_LEVEL_CRIT;
        status = 500;
    }
    log_about(&x->log, level, error, "%s \"%s\" failed", what, path);
    return status;
}

static enum phase_verdict refuse(struct exchange *x, int status, const char *why)
{
    log_about(&x->log, LOG_LEVEL_ERROR, 0, "%s", why);
    return exchange_fail(x, status);
}

static enum phase_verdict done(struct exchange *x, int status)
{
    if (status >= 300)
        return exchange_fail(x, status);
    if (status == 201)
        x->response.location = x->request.uri;
    response_send(x, status, slice_make(NULL, 0), slice_make(NULL, 0));
    return PHASE_RESPONDS;
}

/* ---- PUT */

static int store(struct exchange *x, const struct path *path)
{
    const struct dav_conf *conf = exchange_conf(x, dav_feature);
    const char *name = path->full.data;
    struct stat st;
    uint64_t bytes;
    bool is_new = stat(name, &st) != 0;
    int error = 0;

    if (!is_new && S_ISDIR(st.st_mode)) {
        log_about(&x->log, LOG_LEVEL_ERROR, EISDIR, "\"%s\" cannot be written", name);
        return 409;
    }
    if (conf->create_parents)
        error = dav_make_parents(name, conf->folder_mode);
    if (error == 0)
        error = dav_store(body_chunks(x, &bytes), name, conf->file_mode);
    if (error != 0)
        return status_of(x, error, 409, "writing", name);
    return is_new ? 201 : 204;
}

static void on_body(struct exchange *x)
{
    struct path path;
    int status = path_for_uri(x, x->request.uri, &path) ? store(x, &path) : 500;

    if (done(x, status) == PHASE_MOVED) /* else it is answered, and perhaps gone */
        exchange_continue(x);
}

static enum phase_verdict put(struct exchange *x)
{
    if (slice_ends(x->request.uri, slice_of("/")))
        return refuse(x, 409, "a folder cannot be PUT");
    if (exchange_header(x, HEADER_CONTENT_RANGE).data != NULL)
        return refuse(x, 501, "PUT of a range is not supported");
    x->step = STEP_RESPOND;
    body_read_all(x, on_body);
    return PHASE_MOVED;
}

/* ---- DELETE, MKCOL */

static int parse_depth(const struct exchange *x)
{
    struct slice text = exchange_header(x, HEADER_DEPTH);

    if (text.data == NULL || slice_eq_nocase(text, slice_of("infinity")))
        return DEPTH_INFINITY;
    if (slice_eq(text, slice_of("0")))
        return DEPTH_0;
    return slice_eq(text, slice_of("1")) ? DEPTH_1 : DEPTH_BAD;
}

static int uri_depth(struct slice uri)
{
    int depth = 0;

    for (size_t i = 0; i + 1 < uri.len; i++)
        depth += uri.data[i] == '/';
    return depth;
}

/* lstat() of a path that may end with a slash, which would make it follow a link. */
static int look_at(const char *path, struct stat *st)
{
    return lstat(path, st) == 0 ? 0 : errno;
}

static enum phase_verdict delete_path(struct exchange *x, const struct path *path)
{
    const struct dav_conf *conf = exchange_conf(x, dav_feature);
    const char *name = path->full.data;
    bool slash = slice_ends(x->request.uri, slice_of("/"));
    int depth = parse_depth(x);
    struct stat st;

    if (conf->min_delete_depth > 0 && uri_depth(x->request.uri) < conf->min_delete_depth)
        return refuse(x, 409, "too few folders in the path for a DELETE");
    int error = look_at(name, &st);

    if (error != 0)
        return exchange_fail(x, status_of(x, error, error == ENOTDIR ? 409 : 404, "lstat()", name));
    if (S_ISDIR(st.st_mode) && !slash)
        return refuse(x, 409, "a folder is deleted by its name with a slash");
    if (S_ISDIR(st.st_mode) ? depth != DEPTH_INFINITY : depth != DEPTH_0 && depth != DEPTH_INFINITY)
        return refuse(x, 400, "invalid Depth for a DELETE");
    error = dav_remove(name, S_ISDIR(st.st_mode));
    if (error != 0)
        return exchange_fail(x, status_of(x, error, 404, "removing", name));
    return done(x, 204);
}

static enum phase_verdict make_folder(struct exchange *x, const struct path *path)
{
    const struct dav_conf *conf = exchange_conf(x, dav_feature);

    if (!slice_ends(x->request.uri, slice_of("/")))
        return refuse(x, 409, "a folder is made by its name with a slash");
    if (mkdir(path->full.data, conf->folder_mode) != 0)
        return exchange_fail(x, status_of(x, errno, 409, "mkdir()", path->full.data));
    return done(x, 201);
}

/* ---- COPY, MOVE */

/* The path of the Destination field, if that is on this host. */
static bool parse_destination(struct exchange *x, struct slice *uri)
{
    struct slice text = exchange_header(x, HEADER_DESTINATION);
    struct slice args;

    if (!slice_starts(text, slice_of("/"))) {
        ptrdiff_t mark = slice_search(text, slice_of("://"));

        if (mark < 0)
            return false;
        text = slice_skip(text, (size_t)mark + 3);
        ptrdiff_t end = slice_find(text, '/');
        struct host host;

        if (end < 0 || !parse_host(slice_head(text, (size_t)end), &host) ||
            !slice_eq_nocase(host.name, x->request.host))
            return false;
        text = slice_skip(text, (size_t)end);
    }
    char *out = arena_bytes(x->subject.arena, text.len + 1);

    if (out == NULL)
        return false;
    *uri = slice_make(out, uri_unescape_path(out, text, &args));
    return uri->len > 0 && !uri_path_is_unsafe(*uri);
}

static int move(const char *source, const char *target, bool is_folder)
{
    if (rename(source, target) == 0)
        return 0;
    if (errno != EXDEV)
        return errno;
    int error = dav_copy(source, target, is_folder);

    return error != 0 ? error : dav_remove(source, is_folder);
}

/* Copies or moves once all has been checked: what is at the target goes first. */
static enum phase_verdict transfer(struct exchange *x, const struct path *source,
                                   const struct path *target, bool is_folder)
{
    struct stat st;
    bool replaces = look_at(target->full.data, &st) == 0;
    int error = 0;

    if (replaces && slice_eq(exchange_header(x, HEADER_OVERWRITE), slice_of("F")))
        return refuse(x, 412, "the destination is there already");
    if (replaces && S_ISDIR(st.st_mode) != is_folder)
        return refuse(x, 409, "a folder and a file cannot take each other's place");
    if (replaces && is_folder)
        error = dav_remove(target->full.data, true);
    if (error == 0)
        error = x->request.method == METHOD_MOVE
                    ? move(source->full.data, target->full.data, is_folder)
                    : dav_copy(source->full.data, target->full.data, is_folder);
    if (error != 0)
        return exchange_fail(x, status_of(x, error, 409, "copying to", target->full.data));
    return done(x, replaces ? 204 : 201);
}

static enum phase_verdict copy_or_move(struct exchange *x, const struct path *source)
{
    bool slash = slice_ends(x->request.uri, slice_of("/"));
    struct slice overwrite = exchange_header(x, HEADER_OVERWRITE);
    int depth = parse_depth(x);
    struct path target;
    struct slice uri;
    struct stat st;

    if (!parse_destination(x, &uri))
        return refuse(x, 400, "no Destination, or not on this server");
    if (slice_ends(uri, slice_of("/")) != slash)
        return refuse(x, 409, "both paths must end with a slash, or none of them");
    if (depth != DEPTH_INFINITY && (depth != DEPTH_0 || slash))
        return refuse(x, 400, "invalid Depth");
    if (overwrite.data != NULL && !slice_eq(overwrite, slice_of("T")) &&
        !slice_eq(overwrite, slice_of("F")))
        return refuse(x, 400, "invalid Overwrite");
    if (!path_for_uri(x, uri, &target))
        return exchange_fail(x, 500);
    int error = look_at(source->full.data, &st);

    if (error != 0)
        return exchange_fail(x, status_of(x, error, 404, "lstat()", source->full.data));
    if (S_ISDIR(st.st_mode) != slash)
        return refuse(x, 409, "a folder is named with a slash, a file without");
    if (slice_eq(source->full, target.full) || (slash && (slice_starts(target.full, source->full) ||
                                                          slice_starts(source->full, target.full))))
        return refuse(x, 403, "the destination is the source, or inside it");
    return transfer(x, source, &target, slash);
}

/* ---- the phase */

static unsigned bit_of(enum method method)
{
    switch (method) {
    case METHOD_PUT:
        return DAV_PUT;
    case METHOD_DELETE:
        return DAV_DELETE;
    case METHOD_MKCOL:
        return DAV_MKCOL;
    case METHOD_COPY:
        return DAV_COPY;
    case METHOD_MOVE:
        return DAV_MOVE;
    default:
        return 0;
    }
}

static enum phase_verdict run(struct exchange *x)
{
    const struct dav_conf *conf = exchange_conf(x, dav_feature);
    struct path path;

    if ((bit_of(x->request.method) & conf->methods) == 0)
        return PHASE_PASS;
    if (x->request.method == METHOD_PUT)
        return put(x);
    if (body_declared(x))
        return refuse(x, 415, "this method has no body");
    if (!path_for_uri(x, x->request.uri, &path))
        return exchange_fail(x, 500);
    switch (x->request.method) {
    case METHOD_DELETE:
        return delete_path(x, &path);
    case METHOD_MKCOL:
        return make_folder(x, &path);
    default:
        return copy_or_move(x, &path);
    }
}

/* ---- directives */

static const struct conf_word method_words[] = {{"off", 0},
                                                {"PUT", DAV_PUT},
                                                {"DELETE", DAV_DELETE},
                                                {"MKCOL", DAV_MKCOL},
                                                {"COPY", DAV_COPY},
                                                {"MOVE", DAV_MOVE},
                                                {NULL, 0}};

/* "user:rw", "group:r", "all:r". */
static bool add_access(struct conf_call *call, size_t index)
{
    struct dav_conf *conf = call->conf;
    struct slice word = conf_arg(call, index);
    struct slice who;
    unsigned bits;

    if (!slice_split(&word, ':', &who) || word.data == NULL)
        return conf_error(call, index, "invalid value \"%.*s\"", SLICE_ARG(conf_arg(call, index)));
    if (slice_eq(word, slice_of("rw")))
        bits = 6;
    else if (slice_eq(word, slice_of("r")))
        bits = 4;
    else
        return conf_error(call, index, "invalid right \"%.*s\": \"r\" or \"rw\"", SLICE_ARG(word));
    if (slice_eq(who, slice_of("user")))
        conf->file_mode |= bits << 6;
    else if (slice_eq(who, slice_of("group")))
        conf->file_mode |= bits << 3;
    else if (slice_eq(who, slice_of("all")))
        conf->file_mode |= bits;
    else
        return conf_error(call, index, "invalid word \"%.*s\": \"user\", \"group\" or \"all\"",
                          SLICE_ARG(who));
    return true;
}

static bool set_access(struct conf_call *call)
{
    struct dav_conf *conf = call->conf;

    conf->file_mode = 0600; /* whoever writes it can read and write it in any case */
    for (size_t i = 1; i < conf_arg_count(call); i++)
        if (!add_access(call, i))
            return false;
    conf->folder_mode = conf->file_mode | (conf->file_mode & 0444) >> 2;
    return true;
}

static const struct directive directives[] = {
    {"dav_methods", CTX_HTTP_ALL, BITS(struct dav_conf, methods), .def = "off",
     .words = method_words,
     .doc = "Which methods may change files here: PUT, DELETE, MKCOL, COPY, MOVE.",
     .example = "dav_methods PUT DELETE MKCOL COPY MOVE;"},
    {"create_full_put_path", CTX_HTTP_ALL, FLAG(struct dav_conf, create_parents), .def = "off",
     .doc = "PUT makes the folders above a file that are missing."},
    {"min_delete_depth", CTX_HTTP_ALL, INT(struct dav_conf, min_delete_depth), .def = "0",
     .max = 1000, .doc = "DELETE only below so many folders of the path."},
    {"dav_access", CTX_HTTP_ALL, CUSTOM, .def = "user:rw", .args_min = 1, .args_max = 3,
     .set = set_access, .doc = "Who may do what with files and folders made here.",
     .example = "dav_access group:rw all:r;"},
};

struct feature dav_feature = {
    .conf = {.name = "http_dav",
             .conf_bytes = sizeof(struct dav_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &dav_feature,
    .phase = STEP_CONTENT,
    .run = run,
};
