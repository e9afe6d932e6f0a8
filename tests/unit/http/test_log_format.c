/* Goal: what a client sends can never end a log line or a quotation in it.
 * Method: every byte through every escaping. */
#include "tests/unit/check.h"

#include "base/list.h"
#include "http/features/log_format.h"

static const struct {
    const char *in;
    enum log_escape escape;
    const char *want;
} cases[] = {
    {"plain text", LOG_ESCAPE_DEFAULT, "plain text"},
    {"a\"b\\c\n", LOG_ESCAPE_DEFAULT, "a\\x22b\\x5Cc\\x0A"},
    {"\xc3\xa4\x7f", LOG_ESCAPE_DEFAULT, "\\xC3\\xA4\\x7F"},
    {"a\"b\\c\n\r\t\b\f\x01", LOG_ESCAPE_JSON, "a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001"},
    {"\xc3\xa4", LOG_ESCAPE_JSON, "\xc3\xa4"},
    {"a\"b\n", LOG_ESCAPE_NONE, "a\"b\n"},
    {"", LOG_ESCAPE_DEFAULT, ""},
};

TEST(escapes)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct log_text text = {0};

        CHECK(log_text_escaped(&text, slice_of(cases[i].in), cases[i].escape));
        CHECK_SLICE(slice_make(text.data, text.len), cases[i].want, cases[i].in);
        log_text_free(&text);
    }
}

TEST(no_byte_breaks_a_line)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        struct log_text text = {0};

        CHECK(log_text_escaped(&text, slice_make(&c, 1), LOG_ESCAPE_DEFAULT));
        for (size_t i = 0; i < text.len; i++)
            CHECK(text.data[i] >= 0x20 && text.data[i] < 0x7f && text.data[i] != '"');
        log_text_free(&text);
    }
}

/* Goal: the way through eight bytes at once sees every byte at every place.
 * Method: a text is escaped whole, and byte by byte. */
TEST(long_texts_are_escaped_as_their_bytes)
{
    for (size_t at = 0; at < 20; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char in[20];
            struct log_text whole = {0};
            struct log_text single = {0};

            memset(in, 'a', sizeof in);
            in[at] = (char)byte;
            for (int escape = LOG_ESCAPE_DEFAULT; escape <= LOG_ESCAPE_NONE; escape++) {
                CHECK(log_text_escaped(&whole, slice_make(in, sizeof in), escape));
                for (size_t i = 0; i < sizeof in; i++)
                    CHECK(log_text_escaped(&single, slice_make(in + i, 1), escape));
            }
            CHECK_BYTES(whole.data, whole.len, single.data, single.len);
            log_text_free(&whole);
            log_text_free(&single);
        }
    }
}

TEST(text_grows)
{
    struct log_text text = {0};

    for (int i = 0; i < 10000; i++)
        CHECK(log_text_add(&text, slice_of("0123456789")));
    CHECK_EQ(text.len, 100000);
    CHECK_BYTES(text.data + 99990, 10, "0123456789", 10);
    log_text_free(&text);
}
