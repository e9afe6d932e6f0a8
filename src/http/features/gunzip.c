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

enum { GZIP_WINDOW = 15 + 16 }; /* the largest window, with gzip's head and tail */

struct gunzip_conf {
    bool on;
};

struct gunzip_filter {
    struct body_filter filter; /* first */
    struct exchange *x;
    z_stream stream;
    bool ready; /* inflateInit2() was called */
    bool ended; /* the stream's tail was seen */
};

static void end(void *data)
{
    struct gunzip_filter *gunzip = data;

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

/* A gzip file may be several, one behind the other (RFC 1952, 2.2). */
static bool unpack(struct gunzip_filter *gunzip, struct slice in)
{
    z_stream *stream = &gunzip->stream;
    bool more = in.len > 0;

    stream->next_in = (unsigned char *)(uintptr_t)in.data;
    stream->avail_in = (unsigned)in.len;
    while (more) {
        if (gunzip->ended && inflateReset(stream) != Z_OK)
            return false;
        gunzip->ended = false;
        if (!unpack_some(gunzip, &more))
            return false;
        if (gunzip->ended && stream->avail_in == 0)
            more = false;
    }
    return true;
}

static bool unpack_file(struct gunzip_filter *gunzip, const struct chunk *chunk)
{
    struct buf *buf = buf_get(loop_bufs(gunzip->x->loop));
    uint64_t done = 0;
    bool ok = buf != NULL;

    while (ok && done < chunk->file_bytes) {
        uint64_t left = chunk->file_bytes - done;
        size_t wanted = left < buf->capacity ? (size_t)left : buf->capacity;
        ssize_t n = pread(chunk->fd, buf->data, wanted, chunk->offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        ok = n > 0 && unpack(gunzip, slice_make(buf->data, (size_t)n));
        done += n > 0 ? (size_t)n : 0;
    }
    buf_unref(buf);
    return ok;
}

static bool push(struct body_filter *filter, struct exchange *x, struct chunk *chunk)
{
    struct gunzip_filter *gunzip = (struct gunzip_filter *)filter;

    if (chunk == NULL) {
        if (!gunzip->ended)
            log_about(&x->log, LOG_LEVEL_ERROR, 0, "a compressed response ends too early");
        return gunzip->ended && body_filter_pass(filter, x, NULL);
    }
    bool ok = chunk->fd >= 0 ? unpack_file(gunzip, chunk) : unpack(gunzip, chunk->bytes);

    chunk_release(x, chunk);
    return ok;
}

static bool add_filter(struct exchange *x)
{
    struct gunzip_filter *gunzip = arena_zalloc(x->subject.arena, sizeof *gunzip);

    if (gunzip == NULL || !arena_on_drop(x->subject.arena, end, gunzip))
        return false;
    gunzip->x = x;
    gunzip->filter.push = push;
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
    .on_head = on_head,
};
