/* Escaping and unescaping. Runs in: any process, any thread. */
#include "http/uri.h"

#include "http/hex.h"

#include <assert.h>

#define IN_PATH (1u << ESCAPE_PATH)
#define IN_ARGS (1u << ESCAPE_ARGS)
#define IN_COMPONENT (1u << ESCAPE_COMPONENT)
#define IN_HREF (1u << ESCAPE_HTML_HREF)
#define IN_REFRESH (1u << ESCAPE_REFRESH)
#define IN_ALL (IN_PATH | IN_ARGS | IN_COMPONENT | IN_HREF | IN_REFRESH)

/* In which sets a byte must be escaped. Letters, digits and - . _ are in none. */
static const uint8_t escaped_in[256] = {
    [0 ... ' '] = IN_ALL,
    ['!'] = IN_COMPONENT,
    ['"'] = IN_ALL,
    ['#'] = IN_PATH | IN_ARGS | IN_COMPONENT | IN_HREF,
    ['$'] = IN_COMPONENT,
    ['%'] = IN_PATH | IN_ARGS | IN_COMPONENT | IN_HREF,
    ['&'] = IN_ARGS | IN_COMPONENT,
    ['\''] = IN_COMPONENT | IN_HREF | IN_REFRESH,
    ['(' ... '*'] = IN_COMPONENT,
    ['+'] = IN_ARGS | IN_COMPONENT,
    [','] = IN_COMPONENT,
    ['/'] = IN_COMPONENT,
    [':'] = IN_COMPONENT,
    [';'] = IN_ARGS | IN_COMPONENT,
    ['<'] = IN_ALL,
    ['='] = IN_COMPONENT,
    ['>'] = IN_ALL,
    ['?'] = IN_PATH | IN_ARGS | IN_COMPONENT,
    ['@'] = IN_COMPONENT,
    ['['] = IN_COMPONENT,
    ['\\'] = IN_ALL,
    [']'] = IN_COMPONENT,
    ['^'] = IN_ALL,
    ['`'] = IN_ALL,
    ['{' ... '}'] = IN_ALL,
    [127 ... 255] = IN_ALL,
};

_Static_assert(ESCAPE_COUNT <= 8, "the sets are bits of a byte");

size_t uri_escape_count(struct slice s, enum uri_escape set)
{
    size_t count = 0;

    assert((unsigned)set < ESCAPE_COUNT);
    for (size_t i = 0; i < s.len; i++)
        count += (size_t)(escaped_in[(unsigned char)s.data[i]] >> set & 1);
    return count;
}

size_t uri_escape(char *out, struct slice s, enum uri_escape set)
{
    static const char digits[] = "0123456789ABCDEF";
    char *at = out;

    assert((unsigned)set < ESCAPE_COUNT);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char byte = (unsigned char)s.data[i];

        if ((escaped_in[byte] >> set & 1) == 0) {
            *at++ = (char)byte;
            continue;
        }
        *at++ = '%';
        *at++ = digits[byte >> 4];
        *at++ = digits[byte & 15];
    }
    return (size_t)(at - out);
}

/* The byte that begins at s.data[*at], decoded if it is a proper escape; moves `*at` behind it. */
static char take_byte(struct slice s, size_t *at)
{
    size_t from = *at;

    if (s.data[from] == '%' && s.len - from >= 3) {
        int high = hex_digit(s.data[from + 1]);
        int low = hex_digit(s.data[from + 2]);

        if (high >= 0 && low >= 0) {
            *at = from + 3;
            return (char)(high << 4 | low);
        }
    }
    *at = from + 1;
    return s.data[from];
}

size_t uri_unescape(char *out, struct slice s)
{
    size_t len = 0;

    for (size_t at = 0; at < s.len;)
        out[len++] = take_byte(s, &at);
    return len;
}

size_t uri_unescape_path(char *out, struct slice s, struct slice *args)
{
    size_t len = 0;

    *args = slice_make(NULL, 0);
    for (size_t at = 0; at < s.len;) {
        if (s.data[at] == '?') {
            *args = slice_skip(s, at + 1);
            break;
        }
        out[len++] = take_byte(s, &at);
    }
    return len;
}

/* The entity for a byte; empty: it stands for itself. */
static struct slice entity(char c)
{
    switch (c) {
    case '<':
        return slice_make("&lt;", 4);
    case '>':
        return slice_make("&gt;", 4);
    case '&':
        return slice_make("&amp;", 5);
    case '"':
        return slice_make("&quot;", 6);
    case '\'':
        return slice_make("&#39;", 5);
    default:
        return slice_make("", 0);
    }
}

size_t html_escaped_len(struct slice s)
{
    size_t len = s.len;

    for (size_t i = 0; i < s.len; i++) {
        struct slice text = entity(s.data[i]);

        len += text.len == 0 ? 0 : text.len - 1;
    }
    return len;
}

size_t html_escape(char *out, struct slice s)
{
    char *at = out;

    for (size_t i = 0; i < s.len; i++) {
        struct slice text = entity(s.data[i]);

        if (text.len == 0)
            text = slice_make(&s.data[i], 1);
        memcpy(at, text.data, text.len);
        at += text.len;
    }
    return (size_t)(at - out);
}
