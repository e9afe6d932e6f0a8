#include "http/proxy_protocol.h"

enum {
    V1_BYTES_MAX = 107, /* with CRLF: the longest line the text allows */
    V2_HEAD_BYTES = 16,
    V2_UNIX_BYTES = 108, /* a path in a version 2 header */
    TLV_HEAD_BYTES = 3,
    SSL_HEAD_BYTES = 5, /* client flags and the result of verification, before nested TLVs */
};

enum { TLV_CRC32C = 0x03, TLV_SSL = 0x20 };

static const struct slice v1_start = SLICE("PROXY ");
static const struct slice v2_signature = SLICE("\r\n\r\n\0\r\nQUIT\n");

/* ---- version 1: "PROXY TCP4 source destination port port\r\n" */

/* Without leading zeros and signs: two parsers must not read two numbers. */
static bool parse_port(struct slice text, uint16_t *port)
{
    uint64_t number;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.data[0] == '0'))
        return false;
    if (!slice_to_u64(text, &number) || number > UINT16_MAX)
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool parse_v1_address(struct slice text, struct slice port_text, int family,
                             struct address *address)
{
    uint16_t port;

    return parse_port(port_text, &port) && slice_find(text, '%') < 0 &&
           address_parse_ip(text, port, address) && address->any.sa_family == family;
}

static bool parse_v1_line(struct slice line, struct proxy_protocol *out)
{
    struct slice words[5] = {{0}};
    struct slice rest = line;
    size_t count = 0;

    while (count < 5 && slice_split(&rest, ' ', &words[count]))
        count++;
    if (slice_eq(words[0], slice_of("UNKNOWN"))) {
        out->local = true;
        return true;
    }
    bool v6 = slice_eq(words[0], slice_of("TCP6"));

    if ((!v6 && !slice_eq(words[0], slice_of("TCP4"))) || count != 5 || rest.data != NULL)
        return false;
    int family = v6 ? AF_INET6 : AF_INET;

    return parse_v1_address(words[1], words[3], family, &out->source) &&
           parse_v1_address(words[2], words[4], family, &out->destination);
}

static enum proxy_protocol_result parse_v1(struct slice in, struct proxy_protocol *out,
                                           size_t *used)
{
    struct slice line = slice_head(in, V1_BYTES_MAX);
    ptrdiff_t end = slice_search(line, slice_of("\r\n"));

    if (end < 0) {
        ptrdiff_t bare = slice_find(line, '\n');

        return bare >= 0 || in.len >= V1_BYTES_MAX ? PROXY_PROTOCOL_BAD : PROXY_PROTOCOL_MORE;
    }
    *used = (size_t)end + 2;
    line = slice_skip(slice_head(line, (size_t)end), v1_start.len);
    return parse_v1_line(line, out) ? PROXY_PROTOCOL_OK : PROXY_PROTOCOL_BAD;
}

/* ---- version 2 */

static unsigned u8(struct slice in, size_t at)
{
    return (unsigned char)in.data[at];
}

static unsigned u16(struct slice in, size_t at)
{
    return u8(in, at) << 8 | u8(in, at + 1);
}

static bool take_tlv(struct slice *rest, unsigned *type, struct slice *value)
{
    if (rest->len < TLV_HEAD_BYTES)
        return false;
    size_t len = u16(*rest, 1);

    if (rest->len - TLV_HEAD_BYTES < len)
        return false;
    *type = u8(*rest, 0);
    *value = slice_head(slice_skip(*rest, TLV_HEAD_BYTES), len);
    *rest = slice_skip(*rest, TLV_HEAD_BYTES + len);
    return true;
}

static uint32_t crc32c(uint32_t crc, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return crc;
}

/* Over the whole header, with the checksum itself taken as zeros. */
static bool checksum_holds(struct slice header, struct slice value)
{
    static const char zeros[4];
    size_t before = (size_t)(value.data - header.data);

    if (value.len != sizeof zeros)
        return false;
    uint32_t crc = crc32c(0xffffffffu, header.data, before);

    crc = crc32c(crc, zeros, sizeof zeros);
    crc = crc32c(crc, value.data + sizeof zeros, header.len - before - sizeof zeros);
    return ~crc == (u16(value, 0) << 16 | u16(value, 2));
}

/* Every TLV must lie inside the header and end where it ends. */
static bool tlvs_are_sound(struct slice header, struct slice tlvs)
{
    while (tlvs.len > 0) {
        unsigned type;
        struct slice value;

        if (!take_tlv(&tlvs, &type, &value))
            return false;
        if (type == TLV_CRC32C && !checksum_holds(header, value))
            return false;
    }
    return true;
}

static void set_ipv4(struct address *address, struct slice in, size_t at, size_t port_at)
{
    *address = (struct address){.len = sizeof address->in};
    address->in.sin_family = AF_INET;
    memcpy(&address->in.sin_addr, in.data + at, 4);
    memcpy(&address->in.sin_port, in.data + port_at, 2);
}

static void set_ipv6(struct address *address, struct slice in, size_t at, size_t port_at)
{
    *address = (struct address){.len = sizeof address->in6};
    address->in6.sin6_family = AF_INET6;
    memcpy(&address->in6.sin6_addr, in.data + at, 16);
    memcpy(&address->in6.sin6_port, in.data + port_at, 2);
}

static void set_unix(struct address *address, struct slice in, size_t at)
{
    size_t len = strnlen(in.data + at, V2_UNIX_BYTES);

    if (len >= sizeof address->un.sun_path)
        len = sizeof address->un.sun_path - 1;
    *address = (struct address){.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)};
    address->un.sun_family = AF_UNIX;
    memcpy(address->un.sun_path, in.data + at, len);
}

/* Fills the addresses and says how long they are; false: too short for its family. */
static bool parse_v2_addresses(unsigned family, struct slice body, struct proxy_protocol *out,
                               size_t *bytes)
{
    static const size_t lengths[] = {0, 12, 36, 2 * V2_UNIX_BYTES};

    if (family >= sizeof lengths / sizeof lengths[0])
        return false;
    *bytes = lengths[family];
    if (body.len < *bytes)
        return false;
    if (family == 1) {
        set_ipv4(&out->source, body, 0, 8);
        set_ipv4(&out->destination, body, 4, 10);
    } else if (family == 2) {
        set_ipv6(&out->source, body, 0, 32);
        set_ipv6(&out->destination, body, 16, 34);
    } else if (family == 3) {
        set_unix(&out->source, body, 0);
        set_unix(&out->destination, body, V2_UNIX_BYTES);
    }
    return true;
}

static bool parse_v2_body(unsigned command, unsigned family, struct slice header,
                          struct proxy_protocol *out)
{
    struct slice body = slice_skip(header, V2_HEAD_BYTES);
    size_t bytes;

    out->local = command == 0;
    if (out->local) /* a balancer's own check: the rest is to be skipped, whatever it is */
        return true;
    /* Low half of the family: 0 unspecified, 1 stream, 2 datagram. */
    if (command > 1 || (family & 15) > 2)
        return false;
    if (!parse_v2_addresses(family >> 4, body, out, &bytes))
        return false;
    out->local = out->source.len == 0;
    out->tlvs = slice_skip(body, bytes);
    return tlvs_are_sound(header, out->tlvs);
}

static enum proxy_protocol_result parse_v2(struct slice in, struct proxy_protocol *out,
                                           size_t *used)
{
    if (in.len < V2_HEAD_BYTES)
        return PROXY_PROTOCOL_MORE;
    unsigned version_command = u8(in, 12);
    size_t total = V2_HEAD_BYTES + u16(in, 14);

    if (version_command >> 4 != 2 || total > PROXY_PROTOCOL_BYTES_MAX)
        return PROXY_PROTOCOL_BAD;
    if (in.len < total)
        return PROXY_PROTOCOL_MORE;
    *used = total;
    return parse_v2_body(version_command & 15, u8(in, 13), slice_head(in, total), out)
               ? PROXY_PROTOCOL_OK
               : PROXY_PROTOCOL_BAD;
}

enum proxy_protocol_result parse_proxy_protocol(struct slice in, struct proxy_protocol *out,
                                                size_t *used)
{
    *out = (struct proxy_protocol){0};
    *used = 0;
    if (slice_starts(in, v1_start))
        return parse_v1(in, out, used);
    if (slice_starts(in, v2_signature))
        return parse_v2(in, out, used);
    if (slice_starts(v1_start, in) || slice_starts(v2_signature, in))
        return PROXY_PROTOCOL_MORE;
    return PROXY_PROTOCOL_BAD;
}

static bool find_tlv(struct slice tlvs, int wanted, struct slice *value)
{
    unsigned type;

    while (take_tlv(&tlvs, &type, value))
        if ((int)type == wanted)
            return true;
    return false;
}

bool proxy_protocol_tlv(const struct proxy_protocol *header, int type, int ssl_type,
                        struct slice *value)
{
    if (!find_tlv(header->tlvs, type, value))
        return false;
    if (ssl_type < 0)
        return true;
    return type == TLV_SSL && value->len >= SSL_HEAD_BYTES &&
           find_tlv(slice_skip(*value, SSL_HEAD_BYTES), ssl_type, value);
}
