/* Files as they are: what answers when a location has no handler of its own.
 *
 * A small file comes from memory and leaves in the same system call as the head; a larger one is
 * given to the codec as a range of its descriptor. Only when a filter must see the bytes (gzip), or
 * when reading may wait for a slow disk (aio threads, directio), is a file read in pieces here.
 * Runs in: worker, loop thread. */
#include "http/features/static.h"

#include "base/arena.h"
#include "http/chunk.h"
#include "http/core_conf.h"
#include "http/features/file_reader.h"
#include "http/file.h"
#include "http/path.h"
#include "http/response.h"
#include "http/uri.h"

bool static_describe(struct exchange *x, const struct file *file)
{
    struct response *response = &x->response;

    response->status = 200;
    response->content_length = (int64_t)file->size;
    response->last_modified = file->modified;
    response->allow_ranges = true;
    response->seeks = true;
    if (!core_of(x)->etag)
        return true;
    char *room = arena_bytes(x->subject.arena, FILE_ETAG_BYTES);

    return room != NULL &&
           header_list_set(&response->headers, HEADER_ETAG, file_etag(file, room)) != NULL;
}

/* "/folder" to "/folder/", escaped again, with the arguments. */
static enum phase_verdict add_slash(struct exchange *x)
{
    struct slice uri = x->request.uri;
    struct slice args = x->request.args;
    size_t room = uri.len + 2 * uri_escape_count(uri, ESCAPE_PATH) + args.len + 2;
    char *out = arena_bytes(x->subject.arena, room);

    if (out == NULL)
        return exchange_fail(x, 500);
    size_t n = uri_escape(out, uri, ESCAPE_PATH);

    out[n++] = '/';
    if (args.len > 0) {
        out[n++] = '?';
        memcpy(out + n, args.data, args.len);
        n += args.len;
    }
    x->response.location = slice_make(out, n);
    return exchange_fail(x, 301);
}

static bool filters_take_files(const struct exchange *x)
{
    for (const struct body_filter *f = x->response.filters; f != NULL; f = f->next)
        if (!f->takes_files)
            return false;
    return true;
}

static bool reads_in_pieces(const struct exchange *x, const struct file *file)
{
    const struct core_conf *core = core_of(x);

    return !filters_take_files(x) ||
           ((core->aio_threads || file->size >= core->directio) && x->response.filters == NULL);
}

/* The bytes that are to be sent: all of them, or the one range asked for. */
static struct chunk *whole_chunk(struct exchange *x, const struct file *file, uint64_t first,
                                 uint64_t bytes)
{
    if (file->contents == NULL)
        return chunk_file(x, file->fd, (off_t)first, bytes);
    return chunk_memory(x, slice_make(file->contents + first, (size_t)bytes), NULL);
}

void static_send(struct exchange *x, const struct file *file)
{
    if (!response_begin(x))
        return;
    uint64_t first = x->response.first_byte;
    /* Several ranges are cut out of the whole by a filter. */
    bool one_range = x->response.status == 206 && x->response.filters == NULL;
    uint64_t bytes = one_range ? (uint64_t)x->response.content_length : file->size;

    if (response_has_body(x) && file->contents == NULL && reads_in_pieces(x, file)) {
        file_reader_start(x, file->fd, first, bytes);
        return;
    }
    struct chunk *chunk = whole_chunk(x, file, first, bytes);

    if (chunk == NULL || !response_write(x, chunk) || !response_end(x)) {
        exchange_abort(x, false);
        return;
    }
    response_flush(x);
}

static enum phase_verdict serve(struct exchange *x, const struct file *file,
                                const struct path *path)
{
    if (file->error != 0)
        return exchange_fail(x, file_error_status(x, file, path));
    if (file->is_folder)
        return add_slash(x);
    if (!file->is_regular) {
        log_about(&x->log, LOG_LEVEL_CRIT, 0, "\"%.*s\" is not a regular file",
                  SLICE_ARG(path->full));
        return exchange_fail(x, 404);
    }
    if (x->request.method == METHOD_POST)
        return exchange_fail(x, 405);
    if (x->response.content_type.len == 0) /* X-Accel-Redirect: the backend knows better */
        x->response.content_type = response_type_for(x, x->request.uri);
    if (!static_describe(x, file))
        return exchange_fail(x, 500);
    static_send(x, file);
    return PHASE_RESPONDS;
}

static enum phase_verdict run(struct exchange *x)
{
    struct slice uri = x->request.uri;
    const struct file *file;
    struct path path;

    if (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD &&
        x->request.method != METHOD_POST)
        return exchange_fail(x, 405);
    if (slice_ends(uri, slice_of("/")))
        return PHASE_PASS;
    if (!path_for_uri(x, uri, &path))
        return exchange_fail(x, 500);
    switch (file_find(x, &path, FILE_OPEN, &file)) {
    case FILE_FOUND:
        return serve(x, file, &path);
    case FILE_LATER:
        return PHASE_WAIT;
    case FILE_NO_MEMORY:
        break;
    }
    return exchange_fail(x, 500);
}

struct feature static_feature = {
    .conf = {.name = "http_static"},
    .phase = STEP_CONTENT,
    .run = run,
};
