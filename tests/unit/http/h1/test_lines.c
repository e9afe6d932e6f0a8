/* The short cut for usual header lines finds what the slow way finds. */
#include "http/h1/lines_internal.h"
#include "tests/unit/check.h"

#include <string.h>

static const struct h1_limits limits = {
    .line_bytes_max = 40, .header_bytes_max = 40, .head_bytes_max = 400, .headers_max = 40};

static void compare(struct slice in, enum h1_line_end line_end)
{
    struct lines quick = lines_make(in, &limits);
    struct lines slow = lines_make(in, &limits);
    struct header a = {.id = HEADER_OTHER};
    struct header b = {.id = HEADER_OTHER};

    quick.line_end = slow.line_end = line_end;
    enum line_kind kind = parse_field_line(&quick, &a);

    CHECK_EQ(kind, parse_field_line_slowly(&slow, &b), "%.*s", SLICE_ARG(in));
    CHECK_EQ(quick.at, slow.at);
    CHECK_EQ(quick.error, slow.error);
    if (kind != LINE_FIELD)
        return;
    CHECK(a.name.data == b.name.data && a.name.len == b.name.len);
    CHECK(a.value.data == b.value.data && a.value.len == b.value.len);
    CHECK_EQ(a.id, b.id);
    CHECK_EQ(a.flags & ~(unsigned)HEADER_VERBATIM, b.flags);
    if (header_is_verbatim(&a)) {
        CHECK_BYTES(in.data, a.name.len, a.name.data, a.name.len);
        CHECK_BYTES(in.data + a.name.len, 2, ": ", 2);
        CHECK_EQ(in.data + a.name.len + 2, a.value.data);
        CHECK_BYTES(a.value.data + a.value.len, 2, "\r\n", 2);
    }
}

/* Method: every byte at every place of several lines, cut at every length. */
TEST(usual_lines_are_read_as_the_slow_way_does)
{
    static const char *const samples[] = {
        "Host: a.example\r\n\r\n",
        "A:b\r\n",
        "X-Long-Name:  two\tblanks \r\n",
        "Accept: \r\nB: c\r\n",
        "Accept:\r\n",
        "Content-Length: 12\r\n\r\nbody",
        "Name-of-40-bytes: 0123456789012345678901\r\n\r\n",
        "Name-of-41-bytes: 01234567890123456789012\r\n\r\n",
    };
    char text[64];

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        size_t len = strlen(samples[i]);

        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                memcpy(text, samples[i], len);
                text[at] = (char)c;
                compare(slice_make(text, len), LINES_CRLF);
                compare(slice_make(text, len), LINES_LF_OR_CRLF);
            }
            compare(slice_make(samples[i], at), LINES_CRLF);
        }
    }
}

/* Goal: a value that was replaced, or cut, is not taken for the line that was received. */
TEST(a_changed_value_is_not_verbatim)
{
    struct lines lines = lines_make(slice_of("ETag: \"abc\"\r\n\r\n"), &limits);
    struct header field;

    CHECK_EQ(parse_field_line(&lines, &field), LINE_FIELD);
    CHECK(header_is_verbatim(&field));
    struct header cut = field;

    cut.value.len--;
    CHECK(!header_is_verbatim(&cut));
    struct header moved = field;

    moved.value = slice_of("\"abc\"\r\n");
    moved.value.len -= 2;
    CHECK(!header_is_verbatim(&moved));
}
