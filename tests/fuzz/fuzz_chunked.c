/* The chunked coding: the same body, end and verdict whole and byte by byte; what the encoder
 * writes is what the decoder reads. */
#include "base/arena.h"
#include "http/h1/chunked.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct h1_limits limits = {
    .line_bytes_max = 64, .header_bytes_max = 48, .head_bytes_max = 200, .headers_max = 10};

enum { INPUT_MAX = 2000 };

struct decoded {
    char body[INPUT_MAX];
    size_t len;
    size_t used;
    uint32_t trailers;
    enum h1_error error;
    enum chunked_result result;
};

static void decode(struct decoded *out, struct slice in, size_t step, struct arena *arena)
{
    struct chunked decoder;
    struct header_list trailers;
    size_t given = 0;

    header_list_init(&trailers, arena);
    chunked_init(&decoder, &limits, &trailers);
    out->len = out->used = 0;
    do {
        given = given + step < in.len ? given + step : in.len;
        do {
            struct slice data, rest = slice_make(in.data + out->used, given - out->used);
            size_t consumed = 0;

            out->result = chunked_next(&decoder, rest, &data, &consumed);
            assert(consumed <= rest.len);
            if (out->result == CHUNKED_DATA) {
                assert(data.len > 0 && data.data >= rest.data);
                assert(data.data + data.len <= rest.data + consumed);
                memcpy(out->body + out->len, data.data, data.len);
                out->len += data.len;
            }
            out->used += consumed;
        } while (out->result == CHUNKED_DATA);
    } while (out->result == CHUNKED_MORE && given < in.len);
    out->error = decoder.error;
    out->trailers = trailers.slot_count;
}

/* The input itself as a body, in chunks of sizes that it names itself. */
static void check_encoder(struct slice body, struct arena *arena)
{
    static char text[INPUT_MAX * (2 + CHUNK_HEAD_MAX) + 16];
    static struct decoded out;
    size_t len = 0;

    for (struct slice rest = body; rest.len > 0;) {
        struct slice piece = slice_head(rest, 1 + (size_t)(unsigned char)rest.data[0]);

        len += chunk_write_head(text + len, piece.len);
        memcpy(text + len, piece.data, piece.len);
        len += piece.len;
        memcpy(text + len, CHUNK_TAIL, 2);
        len += 2;
        rest = slice_skip(rest, piece.len);
    }
    memcpy(text + len, CHUNK_LAST, 5);
    decode(&out, slice_make(text, len + 5), len + 5, arena);
    assert(out.result == CHUNKED_END && out.used == len + 5);
    assert(slice_eq(slice_make(out.body, out.len), body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoded whole, pieces;
    struct arena *arena = arena_new(4096);
    struct slice in = slice_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);

    assert(arena != NULL);
    decode(&whole, in, INPUT_MAX, arena);
    decode(&pieces, in, 1, arena);
    assert(whole.result == pieces.result);
    assert(whole.error == pieces.error);
    assert(whole.trailers == pieces.trailers);
    assert(slice_eq(slice_make(whole.body, whole.len), slice_make(pieces.body, pieces.len)));
    if (whole.result == CHUNKED_END)
        assert(whole.used == pieces.used);
    check_encoder(in, arena);
    arena_drop(arena);
    return 0;
}
