/* Goal: both versions of the PROXY protocol are read exactly as its text says, and nothing else is.
 * Method: whole headers; each good one also cut at every byte, which must ask for more. */
#include "tests/unit/check.h"

#include "base/list.h"
#include "http/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define LITERAL(text) slice_make(text, sizeof(text) - 1)

static void check_cuts(struct slice in, size_t used)
{
    struct proxy_protocol header;
    size_t n;

    for (size_t cut = 0; cut < used; cut++)
        CHECK_EQ(parse_proxy_protocol(slice_head(in, cut), &header, &n), PROXY_PROTOCOL_MORE,
                 "cut at %zu", cut);
}

static void check_addresses(const struct proxy_protocol *header, const char *source,
                            const char *destination)
{
    char text[ADDRESS_TEXT_BYTES];

    size_t n = address_text(&header->source, text);
    CHECK_SLICE(slice_make(text, n), source);
    n = address_text(&header->destination, text);
    CHECK_SLICE(slice_make(text, n), destination);
}

static const struct {
    const char *in;
    enum proxy_protocol_result want;
    const char *source;
    const char *destination;
} lines[] = {
    {"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\nGET", PROXY_PROTOCOL_OK, "1.2.3.4:1111", "5.6.7.8:80"},
    {"PROXY TCP6 ::1 2001:db8::2 1 65535\r\n", PROXY_PROTOCOL_OK, "[::1]:1", "[2001:db8::2]:65535"},
    {"PROXY UNKNOWN\r\n", PROXY_PROTOCOL_OK, NULL, NULL},
    {"PROXY UNKNOWN ff::1 ff::2 1 2\r\n", PROXY_PROTOCOL_OK, NULL, NULL},
    {"PROXY TCP4 ::1 ::1 1 2\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"PROXY TCP4 1.2.3.4 5.6.7.8 1111\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80 9\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"PROXY TCP4  1.2.3.4 5.6.7.8 1111 80\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"PROXY TCP4 1.2.3.4 5.6.7.8 01 80\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"PROXY TCP4 1.2.3.4 5.6.7.8 +1 80\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"PROXY TCP6 fe80::1%lo ::1 1 2\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"PROXY UDP4 1.2.3.4 5.6.7.8 1111 80\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"proxy TCP4 1.2.3.4 5.6.7.8 1111 80\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
    {"GET / HTTP/1.1\r\n", PROXY_PROTOCOL_BAD, NULL, NULL},
};

TEST(version_1)
{
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct proxy_protocol header;
        struct slice in = slice_of(lines[i].in);
        size_t used;

        CHECK_EQ(parse_proxy_protocol(in, &header, &used), lines[i].want, lines[i].in);
        if (lines[i].want != PROXY_PROTOCOL_OK)
            continue;
        CHECK_EQ(used, (size_t)slice_find(in, '\n') + 1, lines[i].in);
        CHECK_EQ(header.local, lines[i].source == NULL, lines[i].in);
        if (lines[i].source != NULL)
            check_addresses(&header, lines[i].source, lines[i].destination);
        check_cuts(in, used);
    }
}

TEST(a_line_without_an_end_is_refused)
{
    char line[200];
    struct proxy_protocol header;
    size_t used;

    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    CHECK_EQ(parse_proxy_protocol(slice_make(line, 106), &header, &used), PROXY_PROTOCOL_MORE);
    CHECK_EQ(parse_proxy_protocol(slice_make(line, 107), &header, &used), PROXY_PROTOCOL_BAD);
}

/* A header of version 2 in `out`; returns its length. */
static size_t make_v2(char *out, unsigned command, unsigned family, struct slice body)
{
    memcpy(out, SIGNATURE, 12);
    out[12] = (char)command;
    out[13] = (char)family;
    out[14] = (char)(body.len >> 8);
    out[15] = (char)body.len;
    if (body.len > 0)
        memcpy(out + 16, body.data, body.len);
    return 16 + body.len;
}

#define V4_ADDRESSES "\x01\x02\x03\x04\x05\x06\x07\x08\x04\x57\x01\xbb"
#define ALPN_TLV "\x01\x00\x02h2"
#define SSL_TLV "\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"

TEST(version_2_with_tlvs)
{
    char out[200];
    struct proxy_protocol header;
    struct slice value;
    size_t used;
    size_t n = make_v2(out, 0x21, 0x11, LITERAL(V4_ADDRESSES ALPN_TLV SSL_TLV));

    CHECK_EQ(parse_proxy_protocol(slice_make(out, n), &header, &used), PROXY_PROTOCOL_OK);
    CHECK_EQ(used, n);
    check_addresses(&header, "1.2.3.4:1111", "5.6.7.8:443");
    CHECK(proxy_protocol_tlv(&header, 1, -1, &value));
    CHECK_SLICE(value, "h2");
    CHECK(proxy_protocol_tlv(&header, 0x20, 0x21, &value));
    CHECK_SLICE(value, "TLSv1.3");
    CHECK(!proxy_protocol_tlv(&header, 0x20, 0x22, &value));
    CHECK(!proxy_protocol_tlv(&header, 2, -1, &value));
    check_cuts(slice_make(out, n), n);
}

TEST(version_2_checksum)
{
    char out[200];
    struct proxy_protocol header;
    size_t used;
    /* CRC32C of the header with zeros in its place. */
    size_t n = make_v2(out, 0x21, 0x11, LITERAL(V4_ADDRESSES "\x03\x00\x04\x71\x60\xfe\xb6"));

    CHECK_EQ(parse_proxy_protocol(slice_make(out, n), &header, &used), PROXY_PROTOCOL_OK);
    out[17] ^= 1;
    CHECK_EQ(parse_proxy_protocol(slice_make(out, n), &header, &used), PROXY_PROTOCOL_BAD);
}

static const struct {
    unsigned command;
    unsigned family;
    struct slice body;
    enum proxy_protocol_result want;
    bool local;
} headers[] = {
    {0x20, 0x00, SLICE(""), PROXY_PROTOCOL_OK, true},
    {0x20, 0x11, SLICE("whatever"), PROXY_PROTOCOL_OK, true},
    {0x21, 0x00, SLICE(""), PROXY_PROTOCOL_OK, true},
    {0x21, 0x12, SLICE(V4_ADDRESSES), PROXY_PROTOCOL_OK, false},
    {0x21, 0x11, SLICE("\x01\x02\x03\x04"), PROXY_PROTOCOL_BAD, false},
    {0x21, 0x21, SLICE(V4_ADDRESSES), PROXY_PROTOCOL_BAD, false},
    {0x21, 0x41, SLICE(V4_ADDRESSES), PROXY_PROTOCOL_BAD, false},
    {0x21, 0x13, SLICE(V4_ADDRESSES), PROXY_PROTOCOL_BAD, false},
    {0x22, 0x11, SLICE(V4_ADDRESSES), PROXY_PROTOCOL_BAD, false},
    {0x11, 0x11, SLICE(V4_ADDRESSES), PROXY_PROTOCOL_BAD, false},
    {0x21, 0x11, SLICE(V4_ADDRESSES "\x01\x00"), PROXY_PROTOCOL_BAD, false},
    {0x21, 0x11, SLICE(V4_ADDRESSES "\x01\x00\x03h2"), PROXY_PROTOCOL_BAD, false},
};

TEST(version_2_headers)
{
    for (size_t i = 0; i < COUNT(headers); i++) {
        char out[200];
        struct proxy_protocol header;
        size_t used;
        size_t n = make_v2(out, headers[i].command, headers[i].family, headers[i].body);

        CHECK_EQ(parse_proxy_protocol(slice_make(out, n), &header, &used), headers[i].want,
                 "case %zu", i);
        if (headers[i].want == PROXY_PROTOCOL_OK)
            CHECK_EQ(header.local, headers[i].local, "case %zu", i);
    }
}

TEST(version_2_unix_and_ipv6)
{
    char body[216] = {0};
    char out[300];
    struct proxy_protocol header;
    size_t used;

    memcpy(body, "/run/a", 6);
    memcpy(body + 108, "/run/b", 6);
    size_t n = make_v2(out, 0x21, 0x31, slice_make(body, sizeof body));
    CHECK_EQ(parse_proxy_protocol(slice_make(out, n), &header, &used), PROXY_PROTOCOL_OK);
    check_addresses(&header, "unix:/run/a", "unix:/run/b");

    memset(body, 0, sizeof body);
    body[15] = 1;
    body[31] = 2;
    body[33] = 80;
    n = make_v2(out, 0x21, 0x21, slice_make(body, 36));
    CHECK_EQ(parse_proxy_protocol(slice_make(out, n), &header, &used), PROXY_PROTOCOL_OK);
    check_addresses(&header, "[::1]:80", "[::2]:0");
}

TEST(a_header_too_long_is_refused_at_once)
{
    char out[16];
    struct proxy_protocol header;
    size_t used;

    make_v2(out, 0x21, 0x11, slice_make(NULL, 0));
    out[14] = 0x10;
    out[15] = 0x00;
    CHECK_EQ(parse_proxy_protocol(slice_make(out, 16), &header, &used), PROXY_PROTOCOL_BAD);
}
