/* The chunked coding: strict, in any pieces. */
#include "base/arena.h"
#include "http/h1/chunked.h"
#include "tests/unit/check.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct decoded {
    char body[65536];
    size_t len;
    size_t used;
    enum chunked_result result;
    enum h1_error error;
};

/* Decodes `in`, given in pieces of `step` bytes, as a connection would. */
static void decode(struct decoded *out, struct slice in, size_t step, struct header_list *trailers)
{
    struct chunked decoder;
    size_t given = 0;

    chunked_init(&decoder, &h1_default_limits, trailers);
    out->len = out->used = 0;
    do {
        given = given + step < in.len ? given + step : in.len;
        do {
            struct slice data;
            size_t consumed;

            out->result = chunked_next(&decoder, slice_make(in.data + out->used, given - out->used),
                                       &data, &consumed);
            if (out->result == CHUNKED_DATA) {
                CHECK(data.len > 0 && out->len + data.len <= sizeof out->body);
                memcpy(out->body + out->len, data.data, data.len);
                out->len += data.len;
            }
            CHECK(consumed <= given - out->used);
            out->used += consumed;
        } while (out->result == CHUNKED_DATA);
    } while (out->result == CHUNKED_MORE && given < in.len);
    out->error = decoder.error;
}

static struct decoded out;

TEST(good_bodies)
{
    static const struct {
        const char *in, *body;
    } rows[] = {
        {"0\r\n\r\n", ""},
        {"5\r\nhello\r\n0\r\n\r\n", "hello"},
        {"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc"},
        {"0000000000000005\r\nhello\r\n000\r\n\r\n", "hello"},
        {"A\r\n0123456789\r\na;x=\"y\"\r\n0123456789\r\n0;z\r\n\r\n", "01234567890123456789"},
        {"1 \t;x\r\na\r\n0\r\nT: v\r\nU: w\r\n\r\n", "a"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice in = slice_of(rows[i].in);

        for (size_t step = 1; step <= in.len; step++) {
            decode(&out, in, step, NULL);
            CHECK_EQ(out.result, CHUNKED_END, rows[i].in);
            CHECK_EQ(out.used, in.len, rows[i].in);
            CHECK_BYTES(out.body, out.len, rows[i].body, strlen(rows[i].body), rows[i].in);
        }
        for (size_t cut = 0; cut < in.len; cut++) {
            decode(&out, slice_head(in, cut), cut + 1, NULL);
            CHECK_EQ(out.result, CHUNKED_MORE, rows[i].in);
        }
    }
}

TEST(bad_bodies)
{
    static const struct {
        struct slice in;
        enum h1_error want;
    } rows[] = {
        {SLICE("\r\n"), H1_BAD_CHUNK_SIZE},
        {SLICE("g\r\n"), H1_BAD_CHUNK_SIZE},
        {SLICE("0x5\r\n"), H1_BAD_CHUNK_SIZE},
        {SLICE("-1\r\n"), H1_BAD_CHUNK_SIZE},
        {SLICE(" 5\r\n"), H1_BAD_CHUNK_SIZE},
        {SLICE("5 \r\n"), H1_BAD_CHUNK_SIZE},
        {SLICE("5\nhello"), H1_BAD_CHUNK_SIZE},
        {SLICE("5\r\rhello"), H1_BAD_CHUNK_SIZE},
        {SLICE("5;a\nhello"), H1_BAD_CHUNK_SIZE},
        {SLICE("5;a\0"), H1_BAD_CHUNK_SIZE},
        {SLICE("5\0"), H1_BAD_CHUNK_SIZE},
        {SLICE("8000000000000000\r\n"), H1_BAD_CHUNK_SIZE},
        {SLICE("ffffffffffffffff\r\n"), H1_BAD_CHUNK_SIZE},
        {SLICE("10000000000000000\r\n"), H1_BAD_CHUNK_SIZE},
        {SLICE("00000000000000000\r\n"), H1_BAD_CHUNK_SIZE},
        {SLICE("1\r\nab"), H1_BAD_CHUNK_END},
        {SLICE("1\r\na\n"), H1_BAD_CHUNK_END},
        {SLICE("1\r\na\rx"), H1_BAD_CHUNK_END},
        {SLICE("0\r\n\n"), H1_BARE_LF},
        {SLICE("0\r\n\rx"), H1_BARE_CR},
        {SLICE("0\r\na: b\n"), H1_BARE_LF},
        {SLICE("0\r\na : b\r\n"), H1_SPACE_BEFORE_COLON},
        {SLICE("0\r\na: b\r\n c\r\n\r\n"), H1_OBS_FOLD},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t step = 1; step <= rows[i].in.len; step++) {
            decode(&out, rows[i].in, step, NULL);
            CHECK_EQ(out.result, CHUNKED_ERROR, rows[i].in.data);
            CHECK_EQ(out.error, rows[i].want, rows[i].in.data);
        }
    }
}

TEST(what_follows_a_body_is_not_touched)
{
    decode(&out, slice_of("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), 100, NULL);
    CHECK_EQ(out.result, CHUNKED_END);
    CHECK_EQ(out.used, 11);
}

TEST(data_is_not_copied)
{
    struct slice in = slice_of("5\r\nhel"), data;
    struct chunked decoder;
    size_t consumed;

    chunked_init(&decoder, &h1_default_limits, NULL);
    CHECK_EQ(chunked_next(&decoder, in, &data, &consumed), CHUNKED_DATA);
    CHECK_EQ(data.data, in.data + 3);
    CHECK_EQ(chunked_left(&decoder), 2);
    chunked_skip(&decoder, 2);
    CHECK_EQ(chunked_left(&decoder), 0);
    CHECK_EQ(chunked_next(&decoder, slice_of("\r\n0\r\n\r\n"), &data, &consumed), CHUNKED_END);
    CHECK_EQ(chunked_next(&decoder, slice_of("x"), &data, &consumed), CHUNKED_END);
    CHECK_EQ(consumed, 0);
}

/* Goal: trailers cannot say what only heads may say (RFC 9110, 6.5.1). */
TEST(trailers_are_filtered_and_copied)
{
    struct arena *arena = arena_new(1024);
    struct header_list list;
    char text[] = "0\r\nGrpc-Status: 0\r\nContent-Length: 5\r\nhost: x\r\nAuthorization: y\r\n"
                  "Transfer-Encoding: chunked\r\nx_y: z\r\nX-Sum:  abc \r\n\r\n";

    for (size_t step = 1; step < sizeof text; step++) {
        char copy[sizeof text];

        memcpy(copy, text, sizeof text);
        header_list_init(&list, arena);
        decode(&out, slice_make(copy, sizeof text - 1), step, &list);
        CHECK_EQ(out.result, CHUNKED_END);
        memset(copy, 'x', sizeof copy);
        CHECK_EQ(header_list_count(&list), 2);
        CHECK_SLICE(header_list_value(&list, HEADER_GRPC_STATUS), "0");
        CHECK_SLICE(header_list_find_name(&list, slice_of("x-sum"))->value, "abc");
    }
    arena_drop(arena);
}

TEST(extensions_and_trailers_are_bounded)
{
    static char text[65536 + 3] = "1;";
    static char many[65536] = "0\r\n";

    memset(text + 2, 'x', 16384);
    decode(&out, slice_make(text, 2 + 16384), 1000, NULL);
    CHECK_EQ(out.result, CHUNKED_MORE);
    decode(&out, slice_make(text, 3 + 16384), 1000, NULL);
    text[2 + 16384] = 'x';
    decode(&out, slice_make(text, 3 + 16384), 1000, NULL);
    CHECK_EQ(out.error, H1_CHUNK_EXT_TOO_LONG);
    for (size_t at = 3; at + 6 < sizeof many; at += 6)
        memcpy(many + at, "a: b\r\n", 6);
    decode(&out, slice_make(many, 60000), 60000, NULL);
    CHECK_EQ(out.error, H1_TRAILERS_TOO_LARGE);
}

TEST(heads_of_chunks)
{
    static const struct {
        uint64_t size;
        const char *want;
    } rows[] = {
        {1, "1\r\n"},       {15, "f\r\n"},        {16, "10\r\n"},
        {0xabc, "abc\r\n"}, {65536, "10000\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[CHUNK_HEAD_MAX];
        size_t len = chunk_write_head(text, rows[i].size);

        CHECK_BYTES(text, len, rows[i].want, strlen(rows[i].want));
    }
}
