/* Socket addresses: text to value and back. Nothing here asks a name server. Runs in: any. */
#include "event/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>

enum { PORT_MAX = 65535, PATH_AT = offsetof(struct sockaddr_un, sun_path) };

/* ---- text to value */

static bool parse_port(struct slice text, uint16_t *port)
{
    uint64_t number;

    if (text.len > 5 || !slice_to_u64(text, &number) || number < 1 || number > PORT_MAX)
        return false;
    *port = (uint16_t)number;
    return true;
}

/* The functions of libc want a terminated string. */
static bool terminate(struct slice text, char *out, size_t out_bytes)
{
    if (text.len == 0 || text.len >= out_bytes || memchr(text.data, '\0', text.len) != NULL)
        return false;
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

static void set_in(struct address *address, struct in_addr ip, uint16_t port)
{
    *address = (struct address){.len = sizeof address->in};
    address->in.sin_family = AF_INET;
    address->in.sin_addr = ip;
    address->in.sin_port = htons(port);
}

static bool parse_ipv4(struct slice text, uint16_t port, struct address *address)
{
    char copy[INET_ADDRSTRLEN];
    struct in_addr ip;

    if (!terminate(text, copy, sizeof copy) || inet_pton(AF_INET, copy, &ip) != 1)
        return false;
    set_in(address, ip, port);
    return true;
}

/* A zone (RFC 4007, 11) is the number or the name of an interface. */
static bool parse_scope(struct slice text, uint32_t *scope)
{
    char name[IF_NAMESIZE];
    uint64_t number;

    if (slice_to_u64(text, &number)) {
        *scope = (uint32_t)number;
        return number > 0 && number <= UINT32_MAX;
    }
    if (!terminate(text, name, sizeof name))
        return false;
    *scope = if_nametoindex(name);
    return *scope != 0;
}

static bool parse_ipv6(struct slice text, uint16_t port, struct address *address)
{
    char copy[INET6_ADDRSTRLEN];
    ptrdiff_t percent = slice_find(text, '%');
    struct slice ip_text = percent < 0 ? text : slice_head(text, (size_t)percent);
    struct in6_addr ip;
    uint32_t scope = 0;

    if (!terminate(ip_text, copy, sizeof copy) || inet_pton(AF_INET6, copy, &ip) != 1)
        return false;
    if (percent >= 0 && !parse_scope(slice_skip(text, (size_t)percent + 1), &scope))
        return false;
    *address = (struct address){.len = sizeof address->in6};
    address->in6.sin6_family = AF_INET6;
    address->in6.sin6_addr = ip;
    address->in6.sin6_port = htons(port);
    address->in6.sin6_scope_id = scope;
    return true;
}

/* A path, or "@name" of the abstract namespace (unix(7)), which has no file. */
static bool parse_unix(struct slice path, struct address *address)
{
    bool abstract = path.len > 0 && path.data[0] == '@';

    *address = (struct address){.len = 0};
    if (!terminate(path, address->un.sun_path, sizeof address->un.sun_path))
        return false;
    if (abstract && path.len == 1)
        return false;
    address->un.sun_family = AF_UNIX;
    address->len = (socklen_t)(PATH_AT + path.len + (abstract ? 0 : 1));
    if (abstract)
        address->un.sun_path[0] = '\0';
    return true;
}

static bool is_unix(struct slice text)
{
    return slice_starts(text, (struct slice)SLICE("unix:"));
}

/* The host, whatever its form, without brackets: "*", an IPv4 address. */
static bool parse_bare_host(struct slice host, uint16_t port, struct address *address)
{
    if (host.len == 1 && host.data[0] == '*') {
        set_in(address, (struct in_addr){.s_addr = htonl(INADDR_ANY)}, port);
        return true;
    }
    return parse_ipv4(host, port, address);
}

bool address_parse(struct slice text, uint16_t default_port, struct address *address)
{
    struct slice host;
    uint16_t port;

    if (is_unix(text))
        return parse_unix(slice_skip(text, 5), address);
    if (parse_port(text, &port)) {
        set_in(address, (struct in_addr){.s_addr = htonl(INADDR_ANY)}, port);
        return true;
    }
    if (!address_split_host_port(text, &host, &port))
        return false;
    if (port == 0)
        port = default_port;
    if (host.data[0] == '[')
        return parse_ipv6(slice_make(host.data + 1, host.len - 2), port, address);
    return parse_bare_host(host, port, address);
}

bool address_parse_ip(struct slice text, uint16_t port, struct address *address)
{
    return parse_ipv4(text, port, address) || parse_ipv6(text, port, address);
}

bool address_split_host_port(struct slice text, struct slice *host, uint16_t *port)
{
    bool bracketed = text.len > 0 && text.data[0] == '[';
    ptrdiff_t close = bracketed ? slice_find(text, ']') : 0;
    struct slice rest;
    ptrdiff_t colon;

    *port = 0;
    if (bracketed && close < 2)
        return false;
    rest = slice_skip(text, bracketed ? (size_t)close + 1 : 0);
    colon = slice_find(rest, ':');
    if (bracketed && rest.len > 0 && colon != 0)
        return false;
    if (colon < 0) {
        *host = text;
        return text.len > 0;
    }
    *host = slice_head(text, text.len - rest.len + (size_t)colon);
    rest = slice_skip(rest, (size_t)colon + 1);
    if (host->len == 0)
        return false;
    /* "name:" is a host without a port (RFC 3986, 3.2.3). */
    return rest.len == 0 || parse_port(rest, port);
}

/* ---- value to text */

static char *put_number(char *out, unsigned value)
{
    char digits[10];
    int count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0)
        *out++ = digits[--count];
    return out;
}

/* By hand, because this is on the way of every new connection into the logs. */
static char *put_ipv4(char *out, struct in_addr ip)
{
    unsigned char bytes[4];

    memcpy(bytes, &ip, sizeof bytes);
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            *out++ = '.';
        out = put_number(out, bytes[i]);
    }
    return out;
}

static char *put_ipv6(char *out, const struct in6_addr *ip)
{
    const char *done = inet_ntop(AF_INET6, ip, out, INET6_ADDRSTRLEN);

    assert(done != NULL);
    return out + strlen(out);
}

/* The bytes of the path or abstract name in use, without a terminator. */
static struct slice unix_name(const struct address *address)
{
    size_t len = address->len > PATH_AT ? address->len - PATH_AT : 0;
    const char *path = address->un.sun_path;

    if (len > 0 && path[0] != '\0')
        len = strnlen(path, len);
    return slice_make(path, len);
}

static char *put_unix(char *out, const struct address *address)
{
    struct slice name = unix_name(address);

    memcpy(out, "unix:", 5);
    out += 5;
    for (size_t i = 0; i < name.len; i++)
        *out++ = name.data[i] == '\0' ? '@' : name.data[i];
    return out;
}

size_t address_text(const struct address *address, char out[ADDRESS_TEXT_BYTES])
{
    char *at = out;

    if (address->len > 0 && address->any.sa_family == AF_INET) {
        at = put_ipv4(at, address->in.sin_addr);
    } else if (address->len > 0 && address->any.sa_family == AF_INET6) {
        *at++ = '[';
        at = put_ipv6(at, &address->in6.sin6_addr);
        if (address->in6.sin6_scope_id != 0) {
            *at++ = '%';
            at = put_number(at, address->in6.sin6_scope_id);
        }
        *at++ = ']';
    } else if (address->len > 0) {
        at = put_unix(at, address);
        *at = '\0';
        return (size_t)(at - out);
    }
    if (address->len > 0) {
        *at++ = ':';
        at = put_number(at, address_port(address));
    }
    *at = '\0';
    return (size_t)(at - out);
}

size_t address_host_text(const struct address *address, char out[ADDRESS_TEXT_BYTES])
{
    char *at = out;

    if (address->len > 0 && address->any.sa_family == AF_INET)
        at = put_ipv4(at, address->in.sin_addr);
    else if (address->len > 0 && address->any.sa_family == AF_INET6)
        at = put_ipv6(at, &address->in6.sin6_addr);
    else if (address->len > 0)
        at = memcpy(at, "unix:", 5) + 5;
    *at = '\0';
    return (size_t)(at - out);
}

/* ---- questions */

uint16_t address_port(const struct address *address)
{
    if (address->len == 0)
        return 0;
    if (address->any.sa_family == AF_INET)
        return ntohs(address->in.sin_port);
    if (address->any.sa_family == AF_INET6)
        return ntohs(address->in6.sin6_port);
    return 0;
}

void address_set_port(struct address *address, uint16_t port)
{
    if (address->len == 0)
        return;
    if (address->any.sa_family == AF_INET)
        address->in.sin_port = htons(port);
    else if (address->any.sa_family == AF_INET6)
        address->in6.sin6_port = htons(port);
}

bool address_equal(const struct address *a, const struct address *b)
{
    if (a->len == 0 || b->len == 0)
        return a->len == b->len;
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    if (a->any.sa_family == AF_INET6)
        return a->in6.sin6_port == b->in6.sin6_port &&
               a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
    return slice_eq(unix_name(a), unix_name(b));
}

bool address_is_wildcard(const struct address *address)
{
    if (address->len == 0)
        return false;
    if (address->any.sa_family == AF_INET)
        return address->in.sin_addr.s_addr == htonl(INADDR_ANY);
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
}

/* ---- blocks */

/* Clears the bits beyond the prefix; true if one of them was set. */
static bool clear_host_bits(unsigned char *bytes, unsigned prefix_bits, unsigned byte_count)
{
    bool had = false;

    for (unsigned i = prefix_bits / 8; i < byte_count; i++) {
        unsigned kept = i == prefix_bits / 8 ? prefix_bits % 8 : 0;
        unsigned char mask = (unsigned char)(0xff00u >> kept);

        had = had || (bytes[i] & ~mask & 0xff) != 0;
        bytes[i] &= mask;
    }
    return had;
}

bool address_block_parse(struct slice text, struct address_block *block, bool *had_host_bits)
{
    ptrdiff_t slash = slice_find(text, '/');
    struct address ip;
    uint64_t prefix;
    unsigned byte_count;

    *had_host_bits = false;
    *block = (struct address_block){.family = AF_UNIX};
    if (slice_eq(text, (struct slice)SLICE("unix:")))
        return true;
    if (!address_parse_ip(slash < 0 ? text : slice_head(text, (size_t)slash), 0, &ip))
        return false;
    if (ip.any.sa_family == AF_INET6 && ip.in6.sin6_scope_id != 0)
        return false;

    byte_count = ip.any.sa_family == AF_INET ? 4 : 16;
    prefix = byte_count * 8;
    if (slash >= 0 &&
        (!slice_to_u64(slice_skip(text, (size_t)slash + 1), &prefix) || prefix > byte_count * 8))
        return false;
    block->family = ip.any.sa_family;
    block->prefix_bits = (unsigned)prefix;
    if (block->family == AF_INET)
        memcpy(block->bytes, &ip.in.sin_addr, 4);
    else
        memcpy(block->bytes, &ip.in6.sin6_addr, 16);
    *had_host_bits = clear_host_bits(block->bytes, block->prefix_bits, byte_count);
    return true;
}

static bool prefix_matches(const struct address_block *block, const unsigned char *bytes)
{
    unsigned whole = block->prefix_bits / 8;
    unsigned rest = block->prefix_bits % 8;

    if (memcmp(block->bytes, bytes, whole) != 0)
        return false;
    return rest == 0 || ((block->bytes[whole] ^ bytes[whole]) & (0xff00u >> rest) & 0xff) == 0;
}

bool address_block_has(const struct address_block *block, const struct address *address)
{
    const unsigned char *bytes;

    if (address->len == 0)
        return false;
    if (address->any.sa_family == AF_INET) {
        bytes = (const unsigned char *)&address->in.sin_addr;
        return block->family == AF_INET && prefix_matches(block, bytes);
    }
    if (address->any.sa_family == AF_UNIX)
        return block->family == AF_UNIX;
    bytes = address->in6.sin6_addr.s6_addr;
    if (block->family == AF_INET)
        return IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr) && prefix_matches(block, bytes + 12);
    return block->family == AF_INET6 && prefix_matches(block, bytes);
}
