/* The chunked transfer coding (RFC 9112, 7.1), both ways.
 *
 * The decoder copies nothing: it points at the data inside what it was given. It is strict: hex
 * digits, CRLF, nothing else; extensions are bounded and ignored; trailers are parsed with limits
 * and without those that trailers must not carry. Runs in: worker, loop thread; one thread per
 * decoder. */
#pragma once

#include "base/slice.h"
#include "http/h1/parse.h"
#include "http/header.h"

#include <stddef.h>
#include <stdint.h>

enum chunked_result {
    CHUNKED_DATA,  /* `data` is a piece of the body, not empty; call again with what follows */
    CHUNKED_MORE,  /* needs bytes: keep what was not consumed in front of the next ones */
    CHUNKED_END,   /* the body is complete; what is not consumed belongs to the next message */
    CHUNKED_ERROR, /* `error` says why; framing is lost: close */
};

struct chunked {
    uint64_t left_bytes;            /* data bytes of the current chunk to come */
    uint64_t size;                  /* private: of the next chunk, as far as it has been read */
    uint32_t ext_bytes;             /* in chunk extensions of this body so far */
    uint32_t trailer_bytes;         /* so far */
    uint32_t trailer_count;         /* so far, dropped ones included */
    uint8_t step;                   /* private */
    uint8_t digits;                 /* private: of the current chunk's size */
    enum h1_error error;            /* for CHUNKED_ERROR */
    struct header_list *trailers;   /* borrowed; NULL: checked and forgotten */
    const struct h1_limits *limits; /* borrowed: for the trailer section */
};

/* In place. Trailer fields are copied into the arena of `trailers`. */
void chunked_init(struct chunked *decoder, const struct h1_limits *limits,
                  struct header_list *trailers);

/* Takes the next step in `in`. `*consumed` is how far it got: the caller skips that much before the
 * next call. `*data` is set for CHUNKED_DATA and lies within the consumed bytes. Loop until the
 * answer is not CHUNKED_DATA. */
enum chunked_result chunked_next(struct chunked *decoder, struct slice in, struct slice *data,
                                 size_t *consumed) __attribute__((warn_unused_result));

/* Data bytes of the current chunk that have not been seen; 0 also between chunks. A caller that
 * splices may move up to that many past the decoder, and says so with chunked_skip(). */
static inline uint64_t chunked_left(const struct chunked *decoder)
{
    return decoder->left_bytes;
}

/* `bytes` of chunked_left() went another way. */
void chunked_skip(struct chunked *decoder, uint64_t bytes);

enum {
    CHUNK_HEAD_MAX = 18, /* 16 hex digits and CRLF */
};

/* After each chunk's data, and the end of a body without trailers. */
#define CHUNK_TAIL "\r\n"
#define CHUNK_LAST "0\r\n\r\n"

/* Writes "<hex>\r\n" into `out` (CHUNK_HEAD_MAX bytes) and returns its length. `size` must not be
 * 0: an empty chunk would end the body. */
size_t chunk_write_head(char *out, uint64_t size);
