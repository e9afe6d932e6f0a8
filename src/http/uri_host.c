/* Hosts: who a request is for. Runs in: any process, any thread. */
#include "http/uri.h"

#include <assert.h>

enum host_byte {
    HOST_NAME = 1,    /* unreserved and sub-delims (RFC 3986, 3.2.2), without percent-encoding */
    HOST_LITERAL = 2, /* inside the brackets of an IPv6 address */
};

/* Percent-encoding is left out on purpose: nobody needs it in a host, and decoding or not decoding
 * it would make two servers see two names. */
static const uint8_t host_bytes[256] = {
    ['!'] = HOST_NAME,
    ['$'] = HOST_NAME,
    ['&' ... '-'] = HOST_NAME,
    ['.'] = HOST_NAME | HOST_LITERAL,
    ['0' ... '9'] = HOST_NAME | HOST_LITERAL,
    [':'] = HOST_LITERAL,
    [';'] = HOST_NAME,
    ['='] = HOST_NAME,
    ['A' ... 'F'] = HOST_NAME | HOST_LITERAL,
    ['G' ... 'Z'] = HOST_NAME,
    ['_'] = HOST_NAME,
    ['a' ... 'f'] = HOST_NAME | HOST_LITERAL,
    ['g' ... 'z'] = HOST_NAME,
    ['~'] = HOST_NAME,
};

static size_t span(struct slice s, uint8_t kind)
{
    size_t len = 0;

    while (len < s.len && (host_bytes[(unsigned char)s.data[len]] & kind) != 0)
        len++;
    return len;
}

/* "" or ":digits"; the colon alone is allowed (RFC 3986, 3.2.3). */
static bool parse_port(struct slice text, struct host *host)
{
    unsigned number = 0;

    host->port = slice_make(text.data, 0);
    if (text.len == 0)
        return true;
    if (text.data[0] != ':')
        return false;
    host->port = slice_skip(text, 1);
    if (host->port.len > 5)
        return false;
    for (size_t i = 0; i < host->port.len; i++) {
        unsigned digit = (unsigned)(unsigned char)host->port.data[i] - '0';

        if (digit > 9)
            return false;
        number = number * 10 + digit;
    }
    host->port_number = (uint16_t)number;
    return number <= UINT16_MAX;
}

/* "[...]": only what an address can consist of; whether it is one does not matter to us. */
static size_t literal_len(struct slice text)
{
    size_t len = span(slice_skip(text, 1), HOST_LITERAL);

    if (len < 2 || len + 1 >= text.len || text.data[len + 1] != ']')
        return 0;
    return len + 2;
}

/* Without the dot of the root; 0: two dots in a row, or nothing else. */
static size_t name_len(struct slice text)
{
    size_t len = 0;

    for (; len < text.len && (host_bytes[(unsigned char)text.data[len]] & HOST_NAME) != 0; len++) {
        if (text.data[len] == '.' && len > 0 && text.data[len - 1] == '.')
            return 0;
    }
    return len == 1 && text.data[0] == '.' ? 0 : len;
}

bool parse_host(struct slice text, struct host *out)
{
    struct host host = {0};
    size_t len;

    if (text.len == 0)
        return false;
    len = text.data[0] == '[' ? literal_len(text) : name_len(text);
    if (len == 0 || !parse_port(slice_skip(text, len), &host))
        return false;
    if (text.data[len - 1] == '.')
        len--;
    host.name = slice_head(text, len);
    assert(host.name.len > 0);
    *out = host;
    return true;
}
