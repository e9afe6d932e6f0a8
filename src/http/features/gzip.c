/* `gzip`: responses are compressed as they go out.
 *
 * What has been taken in and not given out yet waits a few milliseconds at most: then it is sent,
 * so that a stream of events reaches its reader although it compresses badly. Compressors are kept
 * by the loop: making one costs more than most responses. Runs in: worker, loop thread. */
#include "http/features/gzip.h"

#include "base/arena.h"
#include "base/buf.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/snapshot.h"
#include "event/loop.h"
#include "http/chunk.h"
#include "http/conf.h"
#include "http/http_loop.h"
#include "http/response.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum {
    HOLD_MS = 5,           /* how long input may wait for more */
    COMPRESSORS_KEPT = 16, /* per loop; about 260 KB each */
    WINDOW_BITS = 15,
    GZIP_FRAME = 16, /* added to the window bits: gzip's head and tail */
    MEMORY_LEVEL = 8,
};

struct compressor {
    struct compressor *next; /* free ones */
    struct gzip_loop *home;
    int level;
    z_stream stream;
};

/* Slot of the loop. */
struct gzip_loop {
    struct compressor *free;
    unsigned free_count;
};

/* Slot of the exchange. */
struct gzip_filter {
    struct body_filter filter; /* first */
    struct exchange *x;
    struct compressor *compressor;
    struct buf *out;          /* being filled; NULL: none */
    struct deadline deadline; /* armed while input waits */
    uint64_t bytes_in;
    uint64_t bytes_out;
};

/* ---- compressors */

static void compressor_free(struct compressor *compressor)
{
    (void)deflateEnd(&compressor->stream);
    free(compressor);
}

static void on_loop_end(void *slot)
{
    struct gzip_loop *loop = slot;

    while (loop->free != NULL) {
        struct compressor *next = loop->free->next;

        compressor_free(loop->free);
        loop->free = next;
    }
}

static struct compressor *compressor_new(struct gzip_loop *home, int level)
{
    struct compressor *compressor = calloc(1, sizeof *compressor);

    if (compressor == NULL)
        return NULL;
    compressor->home = home;
    compressor->level = level;
    if (deflateInit2(&compressor->stream, level, Z_DEFLATED, WINDOW_BITS + GZIP_FRAME, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) == Z_OK)
        return compressor;
    free(compressor);
    return NULL;
}

static struct compressor *compressor_get(struct exchange *x, int level)
{
    struct gzip_loop *loop = http_loop_slot(x->http, &gzip_feature, sizeof *loop);
    struct compressor *compressor = loop == NULL ? NULL : loop->free;

    if (loop == NULL)
        return NULL;
    if (compressor == NULL)
        return compressor_new(loop, level);
    loop->free = compressor->next;
    loop->free_count--;
    /* Nothing has been taken in since the reset: the level can still be changed. */
    if (compressor->level != level &&
        deflateParams(&compressor->stream, level, Z_DEFAULT_STRATEGY) != Z_OK) {
        compressor_free(compressor);
        return NULL;
    }
    compressor->level = level;
    return compressor;
}

static void compressor_put(struct compressor *compressor)
{
    struct gzip_loop *loop = compressor->home;

    if (loop->free_count >= COMPRESSORS_KEPT || deflateReset(&compressor->stream) != Z_OK) {
        compressor_free(compressor);
        return;
    }
    compressor->next = loop->free;
    loop->free = compressor;
    loop->free_count++;
}

/* ---- the body */

static bool pass_out(struct gzip_filter *gzip)
{
    struct exchange *x = gzip->x;
    struct buf *buf = gzip->out;

    if (buf == NULL || buf->end == 0)
        return true;
    struct chunk *chunk = chunk_memory(x, slice_make(buf->data, buf->end), buf);

    if (chunk == NULL)
        return false;
    gzip->out = NULL;
    gzip->bytes_out += chunk->bytes.len;
    return body_filter_pass(&gzip->filter, x, chunk);
}

/* Runs the compressor until it has taken `in` and, with `mode` other than Z_NO_FLUSH, given all. */
static bool squeeze(struct gzip_filter *gzip, struct slice in, int mode)
{
    z_stream *stream = &gzip->compressor->stream;

    stream->next_in = (unsigned char *)(uintptr_t)in.data;
    stream->avail_in = (unsigned)in.len;
    gzip->bytes_in += in.len;
    for (;;) {
        if (gzip->out == NULL) {
            gzip->out = buf_get(loop_bufs(gzip->x->loop));
            if (gzip->out == NULL)
                return false;
        }
        struct buf *out = gzip->out;

        stream->next_out = (unsigned char *)out->data + out->end;
        stream->avail_out = (unsigned)buf_room(out);
        int result = deflate(stream, mode);

        out->end = out->capacity - stream->avail_out;
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return false;
        if (stream->avail_out > 0)
            return stream->avail_in == 0 && (mode == Z_NO_FLUSH || pass_out(gzip));
        if (!pass_out(gzip))
            return false;
    }
}

static void on_hold_over(struct deadline *deadline)
{
    struct gzip_filter *gzip = container_of(deadline, struct gzip_filter, deadline);
    struct exchange *x = gzip->x;

    if (squeeze(gzip, slice_make(NULL, 0), Z_SYNC_FLUSH))
        response_flush(x);
    else
        exchange_abort(x, false);
}

/* A relay may have put what it received into a file. */
static bool squeeze_file(struct gzip_filter *gzip, const struct chunk *chunk)
{
    struct buf *buf = buf_get(loop_bufs(gzip->x->loop));
    uint64_t done = 0;
    bool ok = buf != NULL;

    while (ok && done < chunk->file_bytes) {
        uint64_t left = chunk->file_bytes - done;
        size_t wanted = left < buf->capacity ? (size_t)left : buf->capacity;
        ssize_t n = pread(chunk->fd, buf->data, wanted, chunk->offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        ok = n > 0 && squeeze(gzip, slice_make(buf->data, (size_t)n), Z_NO_FLUSH);
        done += n > 0 ? (size_t)n : 0;
    }
    buf_unref(buf);
    return ok;
}

static bool push(struct body_filter *filter, struct exchange *x, struct chunk *chunk)
{
    struct gzip_filter *gzip = (struct gzip_filter *)filter;
    bool ok;

    if (chunk == NULL) {
        deadline_disarm(&gzip->deadline);
        return squeeze(gzip, slice_make(NULL, 0), Z_FINISH) && body_filter_pass(filter, x, NULL);
    }
    ok = chunk->fd >= 0 ? squeeze_file(gzip, chunk) : squeeze(gzip, chunk->bytes, Z_NO_FLUSH);
    chunk_release(x, chunk);
    if (!deadline_armed(&gzip->deadline))
        deadline_arm(x->loop, &gzip->deadline, HOLD_MS);
    return ok;
}

/* ---- the head */

static void end(void *data)
{
    struct gzip_filter *gzip = data;

    deadline_disarm(&gzip->deadline);
    buf_unref(gzip->out);
    if (gzip->compressor != NULL)
        compressor_put(gzip->compressor);
}

static bool is_wanted(struct exchange *x)
{
    const struct gzip_conf *conf = gzip_of(x);
    const struct response *response = &x->response;

    if (!conf->on || (x->flags & X_SUBREQUEST) != 0 ||
        (response->status != 200 && response->status != 403 && response->status != 404))
        return false;
    if (response->content_length >= 0 && response->content_length < conf->min_length)
        return false;
    return header_list_find(&response->headers, HEADER_CONTENT_ENCODING) == NULL &&
           type_set_has(&conf->types, response->content_type);
}

static bool add_filter(struct exchange *x)
{
    struct gzip_filter *gzip = exchange_slot(x, &gzip_feature, sizeof *gzip);

    if (gzip == NULL || !arena_on_drop(x->subject.arena, end, gzip))
        return false;
    gzip->x = x;
    gzip->filter.push = push;
    gzip->deadline.on_expire = on_hold_over;
    gzip->compressor = compressor_get(x, gzip_of(x)->comp_level);
    response_add_filter(x, &gzip->filter);
    return gzip->compressor != NULL;
}

/* The head of a response to HEAD is that of the same GET. */
static bool start(struct exchange *x)
{
    struct response *response = &x->response;

    response->content_length = -1;
    response->allow_ranges = false;
    response->seeks = false;
    (void)header_list_remove_id(&response->headers, HEADER_ACCEPT_RANGES);
    if (!gzip_weaken_etag(x) ||
        header_list_set(&response->headers, HEADER_CONTENT_ENCODING, slice_of("gzip")) == NULL)
        return false;
    return response->no_body || add_filter(x);
}

static bool on_head(struct exchange *x)
{
    if (!is_wanted(x))
        return true;
    if (!gzip_add_vary(x))
        return false;
    return !gzip_is_accepted(x) || start(x);
}

/* $gzip_ratio: how many times smaller it became, "3.42". */
static bool get_ratio(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    const struct gzip_filter *gzip = exchange_slot_used(x, &gzip_feature);

    (void)v;
    if (gzip == NULL || gzip->bytes_out == 0)
        return false;
    *text = arena_printf(subject->arena, "%.2f", (double)gzip->bytes_in / (double)gzip->bytes_out);
    return text->data != NULL;
}

static const struct variable variables[] = {
    {.name = SLICE("gzip_ratio"), .get = get_ratio, .flags = VARIABLE_VOLATILE},
};

/* ---- directives */

static const struct conf_word proxied_words[] = {
    {"off", 0},
    {"expired", GZIP_PROXIED_EXPIRED},
    {"no-cache", GZIP_PROXIED_NO_CACHE},
    {"no-store", GZIP_PROXIED_NO_STORE},
    {"private", GZIP_PROXIED_PRIVATE},
    {"no_last_modified", GZIP_PROXIED_NO_LAST_MODIFIED},
    {"no_etag", GZIP_PROXIED_NO_ETAG},
    {"auth", GZIP_PROXIED_AUTH},
    {"any", GZIP_PROXIED_ANY},
    {NULL, 0},
};

static bool set_types(struct conf_call *call)
{
    struct gzip_conf *conf = call->conf;

    return conf_type_set(call, &conf->types, slice_of("text/html"));
}

static bool set_min_length(struct conf_call *call)
{
    struct gzip_conf *conf = call->conf;
    size_t bytes;

    if (!conf_parse_bytes(conf_arg(call, 1), &bytes) || bytes > INT64_MAX)
        return conf_error(call, 1, "invalid size \"%.*s\"", SLICE_ARG(conf_arg(call, 1)));
    conf->min_length = (int64_t)bytes;
    return true;
}

static const struct conf_word version_words[] = {{"1.0", 10}, {"1.1", 11}, {NULL, 0}};

static bool set_disable(struct conf_call *call)
{
    const struct snapshot *snapshot = call->loader->context;
    struct gzip_conf *conf = call->conf;
    const char *error;

    if (call->first)
        conf->disable = NULL;
    for (size_t i = 1; i < conf_arg_count(call); i++) {
        struct gzip_disable *one = arena_zalloc(call->loader->arena, sizeof *one);

        if (one == NULL)
            return conf_error(call, 0, "no memory for the configuration");
        if (slice_eq(conf_arg(call, i), slice_of("degradation")))
            continue; /* was about memory running out, on systems of the past */
        if (!slice_eq(conf_arg(call, i), slice_of("msie6"))) {
            one->regex = regex_compile(snapshot->regexes, conf_arg(call, i), true, &error);
            if (one->regex == NULL)
                return conf_error(call, i, "%s", error);
        }
        one->next = conf->disable;
        conf->disable = one;
    }
    return true;
}

#define T struct gzip_conf
#define OURS "compressors have one size, and are kept for the next response"

static const struct directive directives[] = {
    {"gzip", CTX_HTTP_ALL | CTX_LOCATION_IF, FLAG(T, on), .def = "off",
     .doc = "Compress responses for clients that accept it."},
    {"gzip_types", CTX_HTTP_ALL, CUSTOM, .def = "text/html", .args_min = 1, .args_max = 255,
     .repeatable = true, .set = set_types,
     .doc = "Which media types are compressed, text/html in any case; * is all.",
     .example = "gzip_types text/css application/javascript application/json;"},
    {"gzip_comp_level", CTX_HTTP_ALL, INT(T, comp_level), .def = "1", .min = 1, .max = 9,
     .doc = "From 1, fast, to 9, small."},
    {"gzip_min_length", CTX_HTTP_ALL, CUSTOM, .def = "20", .args_min = 1, .args_max = 1,
     .set = set_min_length, .doc = "Responses known to be shorter are left as they are.",
     .example = "gzip_min_length 1k;"},
    {"gzip_proxied", CTX_HTTP_ALL, BITS(T, proxied), .def = "off", .words = proxied_words,
     .doc = "Which responses are compressed for requests that came through a proxy (they have a "
            "Via field)."},
    {"gzip_http_version", CTX_HTTP_ALL, ENUM(T, http_version), .def = "1.1", .words = version_words,
     .doc = "The lowest version of a request that gets compressed responses."},
    {"gzip_vary", CTX_HTTP_ALL, FLAG(T, vary), .def = "off",
     .doc = "Tell caches with \"Vary: Accept-Encoding\" that there are two forms of a response."},
    {"gzip_disable", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 255, .repeatable = true,
     .set = set_disable,
     .doc =
         "Clients whose User-Agent matches a regular expression get nothing compressed; \"msie6\" "
         "stands for Internet Explorer 4 to 6.",
     .example = "gzip_disable msie6;"},
    {"gzip_buffers", CTX_HTTP_ALL, NOTHING, .def = "32 4k", .args_min = 2, .args_max = 2,
     .quiet = true, .noop = "buffers are the loop's",
     .doc = "Accepted: output goes into the loop's buffers."},
    {"gzip_window", CTX_HTTP_ALL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = OURS, .doc = "Accepted: the window is as large as the format allows."},
    {"gzip_hash", CTX_HTTP_ALL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true, .noop = OURS,
     .doc = "Accepted: compressors have one size."},
    {"postpone_gzipping", CTX_HTTP_ALL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "the beginning is gathered by itself",
     .doc = "Accepted: input is gathered by itself."},
    {"gzip_no_buffer", CTX_HTTP_ALL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "nothing waits longer than a few milliseconds",
     .doc = "Accepted: nothing waits longer than a few milliseconds."},
};

struct feature gzip_feature = {
    .conf = {.name = "http_gzip_filter",
             .conf_bytes = sizeof(struct gzip_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &gzip_feature,
    .on_head = on_head,
    .on_loop_end = on_loop_end,
    .variables = variables,
    .variable_count = COUNT(variables),
};
