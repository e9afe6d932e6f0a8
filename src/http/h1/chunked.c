/* The chunked coding. Runs in: worker, loop thread; one thread per decoder. */
#include "http/h1/chunked.h"

#include "base/arena.h"
#include "http/h1/lines_internal.h"
#include "http/h1/scan_internal.h"
#include "http/hex.h"

#include <assert.h>

enum chunked_step {
    STEP_SIZE,      /* hex digits */
    STEP_BLANK,     /* blanks before an extension (RFC 9112, 7.1.1) */
    STEP_EXTENSION, /* ";..." up to its CR */
    STEP_SIZE_LF,
    STEP_DATA,
    STEP_DATA_CR,
    STEP_DATA_LF,
    STEP_TRAILERS,
    STEP_DONE,
};

enum {
    SIZE_DIGITS_MAX = 16,
    EXT_BYTES_MAX = 16384, /* of one body: nobody uses extensions but to waste our time */
};

void chunked_init(struct chunked *decoder, const struct h1_limits *limits,
                  struct header_list *trailers)
{
    *decoder = (struct chunked){.step = STEP_SIZE, .trailers = trailers, .limits = limits};
}

void chunked_skip(struct chunked *decoder, uint64_t bytes)
{
    assert(bytes <= decoder->left_bytes);
    if (bytes == 0)
        return;
    assert(decoder->step == STEP_DATA);
    decoder->left_bytes -= bytes;
    if (decoder->left_bytes == 0)
        decoder->step = STEP_DATA_CR;
}

static enum chunked_result fail(struct chunked *d, enum h1_error error)
{
    d->error = error;
    d->left_bytes = 0;
    return CHUNKED_ERROR;
}

/* A byte of the size, or the first one after it. CHUNKED_MORE here and below: go on. */
static enum chunked_result take_size(struct chunked *d, char c)
{
    int digit = hex_digit(c);

    if (digit >= 0) {
        if (d->digits == SIZE_DIGITS_MAX || d->size > INT64_MAX >> 4)
            return fail(d, H1_BAD_CHUNK_SIZE);
        d->digits++;
        d->size = d->size << 4 | (uint64_t)digit;
        return CHUNKED_MORE;
    }
    if (d->digits == 0)
        return fail(d, H1_BAD_CHUNK_SIZE);
    if (c == '\r')
        d->step = STEP_SIZE_LF;
    else if (c == ';')
        d->step = STEP_EXTENSION;
    else if (c == ' ' || c == '\t')
        d->step = STEP_BLANK;
    else
        return fail(d, H1_BAD_CHUNK_SIZE);
    return CHUNKED_MORE;
}

static enum chunked_result take_extension(struct chunked *d, char c)
{
    if (++d->ext_bytes > EXT_BYTES_MAX)
        return fail(d, H1_CHUNK_EXT_TOO_LONG);
    if (d->step == STEP_BLANK) {
        if (c == ';')
            d->step = STEP_EXTENSION;
        else if (c != ' ' && c != '\t')
            return fail(d, H1_BAD_CHUNK_SIZE);
    } else if (c == '\r') {
        d->step = STEP_SIZE_LF;
    } else if (stops_value((unsigned char)c)) {
        return fail(d, H1_BAD_CHUNK_SIZE);
    }
    return CHUNKED_MORE;
}

static enum chunked_result end_size(struct chunked *d, char c)
{
    if (c != '\n')
        return fail(d, H1_BAD_CHUNK_SIZE);
    d->step = d->size == 0 ? STEP_TRAILERS : STEP_DATA;
    d->left_bytes = d->size;
    d->size = 0;
    d->digits = 0;
    return CHUNKED_MORE;
}

static enum chunked_result end_data(struct chunked *d, char c)
{
    if (c != (d->step == STEP_DATA_CR ? '\r' : '\n'))
        return fail(d, H1_BAD_CHUNK_END);
    d->step = d->step == STEP_DATA_CR ? STEP_DATA_LF : STEP_SIZE;
    return CHUNKED_MORE;
}

/* One byte between the pieces of data. */
static enum chunked_result take_byte(struct chunked *d, char c)
{
    switch ((enum chunked_step)d->step) {
    case STEP_SIZE:
        return take_size(d, c);
    case STEP_BLANK:
    case STEP_EXTENSION:
        return take_extension(d, c);
    case STEP_SIZE_LF:
        return end_size(d, c);
    case STEP_DATA_CR:
    case STEP_DATA_LF:
        return end_data(d, c);
    case STEP_DATA:
    case STEP_TRAILERS:
    case STEP_DONE:
        break;
    }
    assert(!"a step that takes no single bytes");
    return CHUNKED_ERROR;
}

static enum chunked_result take_data(struct chunked *d, struct slice rest, struct slice *data)
{
    *data = slice_head(rest, d->left_bytes < rest.len ? (size_t)d->left_bytes : rest.len);
    chunked_skip(d, data->len);
    return CHUNKED_DATA;
}

/* Keeps a trailer, unless nobody wants it or a trailer must not say such things. */
static bool keep_trailer(struct chunked *d, const struct header *field)
{
    struct header copy = *field;

    if (d->trailers == NULL || (field->flags & HEADER_NAME_ODD) != 0)
        return true;
    if (field->id != HEADER_OTHER && (header_traits(field->id) & HEADER_NO_TRAILER) != 0)
        return true;
    if (d->trailers->arena == NULL)
        return false;
    copy.name = arena_copy(d->trailers->arena, field->name);
    copy.value = arena_copy(d->trailers->arena, field->value);
    copy.flags = 0;
    if (copy.name.data == NULL || copy.value.data == NULL)
        return false;
    return header_list_push(d->trailers, &copy) != NULL;
}

/* One line of the trailer section, the empty one included. */
static enum chunked_result take_trailer(struct chunked *d, struct slice rest, size_t *used)
{
    struct lines lines = lines_make(rest, d->limits);
    struct header field;
    enum line_kind kind = parse_field_line(&lines, &field);

    if (kind == LINE_MORE)
        return CHUNKED_MORE;
    if (kind == LINE_BAD)
        return fail(d, lines.error);
    *used = (size_t)(lines.at - lines.begin);
    d->trailer_bytes += (uint32_t)*used;
    if (d->trailer_bytes > d->limits->head_bytes_max)
        return fail(d, H1_TRAILERS_TOO_LARGE);
    if (kind == LINE_EMPTY) {
        d->step = STEP_DONE;
        return CHUNKED_END;
    }
    if (++d->trailer_count > d->limits->headers_max)
        return fail(d, H1_TRAILERS_TOO_LARGE);
    return keep_trailer(d, &field) ? CHUNKED_MORE : fail(d, H1_NO_MEMORY);
}

static enum chunked_result take_trailers(struct chunked *d, struct slice rest, size_t *consumed)
{
    for (;;) {
        size_t used = 0;
        enum chunked_result result = take_trailer(d, rest, &used);

        *consumed += used;
        rest = slice_skip(rest, used);
        if (result != CHUNKED_MORE || used == 0)
            return result;
    }
}

enum chunked_result chunked_next(struct chunked *d, struct slice in, struct slice *data,
                                 size_t *consumed)
{
    size_t at = 0;
    enum chunked_result result = CHUNKED_MORE;

    if (d->error != H1_NONE)
        result = CHUNKED_ERROR;
    while (at < in.len && result == CHUNKED_MORE && d->step < STEP_TRAILERS) {
        if (d->step == STEP_DATA) {
            result = take_data(d, slice_skip(in, at), data);
            at += data->len;
        } else {
            result = take_byte(d, in.data[at++]);
        }
    }
    if (result == CHUNKED_MORE && d->step == STEP_DONE)
        result = CHUNKED_END;
    if (result == CHUNKED_MORE && d->step == STEP_TRAILERS)
        result = take_trailers(d, slice_skip(in, at), &at);
    *consumed = at;
    return result;
}

size_t chunk_write_head(char *out, uint64_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t count = 16 - (size_t)__builtin_clzll(size | 1) / 4;

    assert(size > 0);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[size >> 4 * (count - 1 - i) & 15];
    out[count] = '\r';
    out[count + 1] = '\n';
    return count + 2;
}
