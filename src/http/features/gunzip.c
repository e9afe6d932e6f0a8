/* `gunzip`: compressed responses are unpacked for clients that do not accept them.
 * Runs in: worker, loop thread. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "event/loop.h"
#include "http/chunk.h"
#include "http/features/gzip.h"
#include "http/response.h"

#include <errno.h>
#include <unistd.h>
#include <zlib.h>

enum {
    GZIP_WINDOW = 15 + 16, /* the largest window, with gzip's head and tail */
    AHEAD_BYTES = 4 * BUF_BYTES,
};

struct gunzip_conf {
    bool on;
};

/* A thousand bytes may come of one: what came in is kept until the client has taken what was made
 * of it. */
struct gunzip_filter {
    struct body_filter filter; /* first */
    struct exchange *x;
    z_stream stream;
    struct chunk *first; /* not unpacked yet */
    struct chunk **last;
    struct buf *in;  /* a piece of a file chunk */
    bool fed;        /* the stream has bytes of the first chunk */
    bool ready;      /* inflateInit2() was called */
    bool ended;      /* the stream's tail was seen */
    bool end_wanted; /* no more chunks follow */
};

static void end(void *data)
{
    struct gunzip_filter *gunzip = data;

    chunk_release_all(gunzip->x, gunzip->first);
    buf_unref(gunzip->in);
    if (gunzip->ready)
        (void)inflateEnd(&gunzip->stream);
}

static bool pass(struct gunzip_filter *gunzip, struct buf *buf)
{
    struct exchange *x = gunzip->x;

    buf->end = buf->capacity - gunzip->stream.avail_out;
    struct chunk *chunk = buf->end == 0 ? NULL
                                        : chunk_memory(x, slice_make(buf->data, buf->end), buf);

    if (chunk != NULL)
        return body_filter_pass(&gunzip->filter, x, chunk);
    bool ok = buf->end == 0;

    buf_unref(buf);
    return ok;
}

/* One buffer of output. `*more`: there may be another. */
static bool unpack_some(struct gunzip_filter *gunzip, bool *more)
{
    z_stream *stream = &gunzip->stream;
    struct buf *buf = buf_get(loop_bufs(gunzip->x->loop));

    if (buf == NULL)
        return false;
    stream->next_out = (unsigned char *)buf->data;
    stream->avail_out = buf->capacity;
    int result = inflate(stream, Z_NO_FLUSH);

    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        log_about(&gunzip->x->log, LOG_LEVEL_ERROR, 0, "a compressed response is broken: %s",
                  stream->msg == NULL ? "zlib gives no reason" : stream->msg);
        buf_unref(buf);
        return false;
    }
    *more = stream->avail_out == 0 || stream->avail_in > 0;
    gunzip->ended = result == Z_STREAM_END;
    return pass(gunzip, buf);
}

/* The next piece of a file into memory. */
static bool read_piece(struct gunzip_filter *gunzip, struct chunk *chunk, struct slice *piece)
{
    ssize_t n;

    if (gunzip->in == NULL)
        gunzip->in = buf_get(loop_bufs(gunzip->x->loop));
    if (gunzip->in == NULL)
        return false;
    do {
        n = pread(chunk->fd, gunzip->in->data,
                  chunk->file_bytes < gunzip->in->capacity ? (size_t)chunk->file_bytes
                                                           : gunzip->in->capacity,
                  chunk->offset);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    chunk->offset += n;
    chunk->file_bytes -= (uint64_t)n;
    *piece = slice_make(gunzip->in->data, (size_t)n);
    return true;
}

static bool feed(struct gunzip_filter *gunzip)
{
    struct chunk *chunk = gunzip->first;
    struct slice piece = chunk->bytes;

    if (chunk->fd >= 0 && !read_piece(gunzip, chunk, &piece))
        return false;
    gunzip->stream.next_in = (unsigned char *)(uintptr_t)piece.data;
    gunzip->stream.avail_in = (unsigned)piece.len;
    gunzip->fed = piece.len > 0;
    return true;
}

/* What was fed is unpacked; the chunk goes when nothing of it is left. */
static void take_chunk(struct gunzip_filter *gunzip)
{
    struct chunk *chunk = gunzip->first;

    gunzip->fed = false;
    if (chunk->fd >= 0 && chunk->file_bytes > 0)
        return;
    gunzip->first = chunk->next;
    if (gunzip->first == NULL)
        gunzip->last = &gunzip->first;
    chunk_release(gunzip->x, chunk);
}

/* A gzip file may be several, one behind the other (RFC 1952, 2.2). */
static bool unpack(struct gunzip_filter *gunzip)
{
    bool more = true;

    if (!gunzip->fed && !feed(gunzip))
        return false;
    if (gunzip->fed) {
        if (gunzip->ended && inflateReset(&gunzip->stream) != Z_OK)
            return false;
        gunzip->ended = false;
        if (!unpack_some(gunzip, &more))
            return false;
    }
    if (!gunzip->fed || !more || (gunzip->ended && gunzip->stream.avail_in == 0))
        take_chunk(gunzip);
    return true;
}

static bool go_on(struct body_filter *filter, struct exchange *x)
{
    struct gunzip_filter *gunzip = (struct gunzip_filter *)filter;

    while (gunzip->first != NULL) {
        if (response_room(x, AHEAD_BYTES) == 0) {
            response_hold(x, filter);
            return true;
        }
        if (!unpack(gunzip))
            return false;
    }
    if (!gunzip->end_wanted)
        return true;
    if (!gunzip->ended)
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "a compressed response ends too early");
    return gunzip->ended && body_filter_pass(filter, x, NULL);
}

static bool push(struct body_filter *filter, struct exchange *x, struct chunk *chunk)
{
    struct gunzip_filter *gunzip = (struct gunzip_filter *)filter;

    if (chunk == NULL) {
        gunzip->end_wanted = true;
    } else {
        chunk->next = NULL;
        *gunzip->last = chunk;
        gunzip->last = &chunk->next;
    }
    return x->response.held == filter || go_on(filter, x);
}

static bool add_filter(struct exchange *x)
{
    struct gunzip_filter *gunzip = arena_zalloc(x->subject.arena, sizeof *gunzip);

    if (gunzip == NULL || !arena_on_drop(x->subject.arena, end, gunzip))
        return false;
    gunzip->x = x;
    gunzip->last = &gunzip->first;
    gunzip->filter.push = push;
    gunzip->filter.more = go_on;
    gunzip->ready = inflateInit2(&gunzip->stream, GZIP_WINDOW) == Z_OK;
    response_add_filter(x, &gunzip->filter);
    return gunzip->ready;
}

static bool on_head(struct exchange *x)
{
    const struct gunzip_conf *conf = exchange_conf(x, gunzip_feature);
    struct response *response = &x->response;
    struct slice encoding = header_list_value(&response->headers, HEADER_CONTENT_ENCODING);

    if (!conf->on || !slice_eq_nocase(encoding, slice_of("gzip")) || response->status == 206 ||
        (x->flags & X_SUBREQUEST) != 0)
        return true;
    if (!gzip_add_vary(x))
        return false;
    if (gzip_is_accepted(x))
        return true;
    response->content_length = -1;
    response->allow_ranges = false;
    response->seeks = false;
    (void)header_list_remove_id(&response->headers, HEADER_CONTENT_ENCODING);
    (void)header_list_remove_id(&response->headers, HEADER_ACCEPT_RANGES);
    return gzip_weaken_etag(x) && (response->no_body || add_filter(x));
}

static const struct directive directives[] = {
    {"gunzip", CTX_HTTP_ALL, FLAG(struct gunzip_conf, on), .def = "off",
     .doc = "Unpack responses that are compressed for clients that do not accept that."},
    {"gunzip_buffers", CTX_HTTP_ALL, NOTHING, .def = "32 4k", .args_min = 2, .args_max = 2,
     .quiet = true, .noop = "buffers are the loop's",
     .doc = "Accepted: output goes into the loop's buffers."},
};

struct feature gunzip_feature = {
    .conf = {.name = "http_gunzip_filter",
             .conf_bytes = sizeof(struct gunzip_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &gunzip_feature,
    .on_head = on_head,
};
