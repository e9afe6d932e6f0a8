/* Parts of a response: one range as it is, several as multipart/byteranges (RFC 9110, 14).
 * Runs in: worker, loop thread. */
#include "http/features/range.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "event/loop.h"
#include "http/chunk.h"
#include "http/core_conf.h"
#include "http/features/charset.h"
#include "http/response.h"

#include <stdio.h>

/* ---- reading the field */

static struct slice skip_spaces(struct slice s)
{
    while (s.len > 0 && s.data[0] == ' ')
        s = slice_skip(s, 1);
    return s;
}

static bool take_number(struct slice *text, uint64_t *number)
{
    size_t n = 0;

    while (n < text->len && text->data[n] >= '0' && text->data[n] <= '9')
        n++;
    if (n == 0 || !slice_to_u64(slice_head(*text, n), number) || *number > INT64_MAX)
        return false;
    *text = skip_spaces(slice_skip(*text, n));
    return true;
}

static bool at_end(struct slice text)
{
    return text.len == 0 || text.data[0] == ',';
}

/* One "first-last", "first-" or "-count". An empty result is outside of the body. */
static bool take_range(struct slice *text, uint64_t length, struct byte_range *range)
{
    uint64_t last;

    *text = skip_spaces(*text);
    if (text->len > 0 && text->data[0] == '-') {
        *text = slice_skip(*text, 1);
        if (!take_number(text, &last) || !at_end(*text))
            return false;
        range->start = last < length ? length - last : 0;
        range->end = last == 0 ? range->start : length;
        return true;
    }
    if (!take_number(text, &range->start) || text->len == 0 || text->data[0] != '-')
        return false;
    *text = skip_spaces(slice_skip(*text, 1));
    range->end = length;
    if (at_end(*text))
        return true;
    if (!take_number(text, &last) || !at_end(*text))
        return false;
    range->end = last >= length ? length : last + 1;
    return true;
}

enum ranges_result parse_ranges(struct slice text, uint64_t length, int max,
                                struct byte_range *ranges, size_t *count)
{
    uint64_t total = 0;

    *count = 0;
    for (;;) {
        struct byte_range range;

        if (!take_range(&text, length, &range))
            return RANGES_BAD;
        if (range.start < range.end) {
            total += range.end - range.start;
            if (total > INT64_MAX)
                return RANGES_BAD;
            if (*count == (size_t)max)
                return RANGES_WHOLE;
            ranges[(*count)++] = range;
        } else if (range.start == 0) {
            return RANGES_WHOLE;
        }
        if (text.len == 0)
            break;
        text = slice_skip(text, 1);
    }
    if (*count == 0)
        return RANGES_BAD;
    return total > length ? RANGES_WHOLE : RANGES_OK;
}

/* ---- cutting the body */

struct range_filter {
    struct body_filter filter; /* first */
    const struct byte_range *ranges;
    size_t count;
    size_t index;        /* the one being sent */
    uint64_t at;         /* position in the whole body */
    struct slice *heads; /* what stands before each part; NULL: a single range, without framing */
    struct slice tail;
};

static bool pass_text(struct range_filter *range, struct exchange *x, struct slice text)
{
    struct chunk *chunk = chunk_memory(x, text, NULL);

    return chunk != NULL && body_filter_pass(&range->filter, x, chunk);
}

static bool pass_part(struct range_filter *range, struct exchange *x, const struct chunk *chunk,
                      uint64_t skip, uint64_t bytes)
{
    struct chunk *part;

    if (chunk->fd >= 0) {
        part = chunk_file(x, chunk->fd, chunk->offset + (off_t)skip, bytes);
    } else {
        struct slice text = slice_head(slice_skip(chunk->bytes, (size_t)skip), (size_t)bytes);

        part = chunk_memory(x, text, chunk->buf);
        if (part != NULL && part->buf != NULL)
            (void)buf_ref(part->buf);
    }
    return part != NULL && body_filter_pass(&range->filter, x, part);
}

/* What of the ranges lies in this chunk. Ranges in any order are possible if it is the whole body:
 * on_head() has seen to that. */
static bool cut(struct range_filter *range, struct exchange *x, const struct chunk *chunk)
{
    uint64_t end = range->at + chunk_size(chunk);

    while (range->index < range->count && range->ranges[range->index].start < end) {
        struct byte_range wanted = range->ranges[range->index];
        uint64_t from = wanted.start > range->at ? wanted.start : range->at;
        uint64_t to = wanted.end < end ? wanted.end : end;

        if (from == wanted.start && range->heads != NULL &&
            !pass_text(range, x, range->heads[range->index]))
            return false;
        if (!pass_part(range, x, chunk, from - range->at, to - from))
            return false;
        if (to < wanted.end)
            break;
        range->index++;
    }
    range->at = end;
    return true;
}

static bool push(struct body_filter *filter, struct exchange *x, struct chunk *chunk)
{
    struct range_filter *range = (struct range_filter *)filter;

    if (chunk == NULL) {
        if (range->heads != NULL && !pass_text(range, x, range->tail))
            return false;
        return body_filter_pass(filter, x, NULL);
    }
    bool ok = cut(range, x, chunk);

    chunk_release(x, chunk);
    return ok;
}

/* ---- the head */

static struct slice content_range(struct exchange *x, struct byte_range range, uint64_t length)
{
    return arena_printf(x->subject.arena, "bytes %llu-%llu/%llu", (unsigned long long)range.start,
                        (unsigned long long)range.end - 1, (unsigned long long)length);
}

static struct range_filter *add_filter(struct exchange *x, const struct byte_range *ranges,
                                       size_t count)
{
    struct range_filter *range = arena_zalloc(x->subject.arena, sizeof *range);

    if (range == NULL)
        return NULL;
    range->filter.push = push;
    range->filter.takes_files = true;
    range->ranges = ranges;
    range->count = count;
    response_add_filter(x, &range->filter);
    return range;
}

static bool send_one(struct exchange *x, const struct byte_range *range)
{
    struct response *response = &x->response;
    struct slice text = content_range(x, *range, (uint64_t)response->content_length);

    if (text.data == NULL ||
        header_list_set(&response->headers, HEADER_CONTENT_RANGE, text) == NULL)
        return false;
    response->content_length = (int64_t)(range->end - range->start);
    if (response->seeks) {
        response->first_byte = range->start;
        return true;
    }
    return add_filter(x, range, 1) != NULL;
}

/* The body before the first byte of each part, and behind the last. */
static bool make_framing(struct exchange *x, struct range_filter *range, const char *boundary)
{
    const struct response *response = &x->response;
    struct arena *arena = x->subject.arena;
    struct slice type = response->content_type;
    struct slice charset = response->charset;
    struct slice *heads = arena_alloc(arena, range->count * sizeof *heads);

    if (heads == NULL)
        return false;
    struct slice start = arena_printf(arena, "\r\n--%s\r\n%s%.*s%s%.*s%sContent-Range: ", boundary,
                                      type.len > 0 ? "Content-Type: " : "", SLICE_ARG(type),
                                      charset.len > 0 ? "; charset=" : "", SLICE_ARG(charset),
                                      type.len > 0 ? "\r\n" : "");

    for (size_t i = 0; i < range->count; i++) {
        struct slice text = content_range(x, range->ranges[i], (uint64_t)response->content_length);

        heads[i] = arena_printf(arena, "%.*s%.*s\r\n\r\n", SLICE_ARG(start), SLICE_ARG(text));
        if (start.data == NULL || text.data == NULL || heads[i].data == NULL)
            return false;
    }
    range->heads = heads;
    range->tail = arena_printf(arena, "\r\n--%s--\r\n", boundary);
    return range->tail.data != NULL;
}

static bool send_several(struct exchange *x, const struct byte_range *ranges, size_t count)
{
    struct response *response = &x->response;
    struct range_filter *range = add_filter(x, ranges, count);
    char boundary[21];

    /* Not in the data with a probability that nothing can be read from outside about. */
    snprintf(boundary, sizeof boundary, "%020llu",
             (unsigned long long)(slice_hash(slice_make((const char *)&x->start_wall_ms,
                                                        sizeof x->start_wall_ms)) ^
                                  x->connection_id));
    if (range == NULL || !make_framing(x, range, boundary))
        return false;
    uint64_t bytes = range->tail.len;

    for (size_t i = 0; i < count; i++)
        bytes += range->heads[i].len + ranges[i].end - ranges[i].start;
    response->content_length = (int64_t)bytes;
    response->charset = slice_make(NULL, 0);
    response->content_type = arena_printf(x->subject.arena, "multipart/byteranges; boundary=%s",
                                          boundary);
    return response->content_type.data != NULL;
}

/* A part may be added to what the client has only if that is of the same version. */
static bool if_range_holds(const struct exchange *x)
{
    struct slice text = exchange_header(x, HEADER_IF_RANGE);
    struct slice etag = header_list_value(&x->response.headers, HEADER_ETAG);
    time_t when;

    if (text.data == NULL)
        return true;
    if (text.len >= 2 && slice_ends(text, slice_of("\"")))
        return !slice_starts(text, slice_of("W/")) && slice_eq(text, etag);
    return x->response.last_modified >= 0 && clock_parse_http_date(text, &when) &&
           when == x->response.last_modified;
}

static size_t count_commas(struct slice text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += text.data[i] == ',';
    return count;
}

static bool is_ascending(const struct byte_range *ranges, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (ranges[i].start < ranges[i - 1].end)
            return false;
    return true;
}

static bool refuse(struct exchange *x)
{
    struct slice text = arena_printf(x->subject.arena, "bytes */%lld",
                                     (long long)x->response.content_length);

    return text.data != NULL && response_replace(x, 416) && charset_tell(x) &&
           header_list_set(&x->response.headers, HEADER_CONTENT_RANGE, text) != NULL;
}

static bool announce(struct exchange *x)
{
    return header_list_set(&x->response.headers, HEADER_ACCEPT_RANGES, slice_of("bytes")) != NULL;
}

static bool apply(struct exchange *x, struct slice text)
{
    struct response *response = &x->response;
    int max = response->single_range ? 1 : core_of(x)->max_ranges;
    struct byte_range *ranges = arena_alloc(x->subject.arena,
                                            (count_commas(text) + 1) * sizeof *ranges);
    size_t count;

    if (ranges == NULL)
        return false;
    switch (parse_ranges(text, (uint64_t)response->content_length, max, ranges, &count)) {
    case RANGES_BAD:
        return refuse(x);
    case RANGES_WHOLE:
        return announce(x);
    case RANGES_OK:
        break;
    }
    /* What streams by cannot be sent in another order. */
    if (!response->seeks && !is_ascending(ranges, count))
        return announce(x);
    response->status = 206;
    response->reason = slice_make(NULL, 0);
    return count == 1 ? send_one(x, ranges) : send_several(x, ranges, count);
}

static bool on_head(struct exchange *x)
{
    const struct response *response = &x->response;
    struct slice text = exchange_header(x, HEADER_RANGE);

    if (x->request.version < 10 || response->status != 200 || (x->flags & X_SUBREQUEST) != 0 ||
        response->content_length < 0 || !response->allow_ranges || core_of(x)->max_ranges == 0)
        return true;
    if (text.len < 7 || !slice_eq_nocase(slice_head(text, 6), slice_of("bytes=")) ||
        !if_range_holds(x))
        return announce(x);
    return apply(x, slice_skip(text, 6));
}

struct feature range_feature = {
    .conf = {.name = "http_range_filter"},
    .on_head = on_head,
};
