/* Socket addresses: IPv4, IPv6 and unix, as values. Runs in: any. */
#pragma once

#include "base/slice.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
    socklen_t len; /* of the part in use; 0: none */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
};

/* Bytes of it in use. What is kept by the 100,000, and read through pointers only, has no more than
 * these: such a one is not copied by assignment. */
static inline size_t address_bytes(const struct address *address)
{
    return offsetof(struct address, any) + address->len;
}

/* Enough for "unix:" and a path, or "[IPv6%scope]:port", and the NUL. */
enum { ADDRESS_TEXT_BYTES = 128 };

/* "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:80", "unix:/path", "unix:@abstract", "*:80", "*",
 * "80" (any address). Numbers only: no name is looked up. `default_port` is used where the text has
 * none. False: not a numeric address (may be a name). */
bool address_parse(struct slice text, uint16_t default_port, struct address *address);

/* The address alone, without a port and without brackets: "127.0.0.1", "::1", "fe80::1%eth0". */
bool address_parse_ip(struct slice text, uint16_t port, struct address *address);

/* Splits "name:port" or "name" (with brackets for IPv6, which stay in `*host`): `*port` is 0 when
 * absent. False: malformed. Which bytes a name may have is not looked at. */
bool address_split_host_port(struct slice text, struct slice *host, uint16_t *port);

/* With the port: "127.0.0.1:80", "[::1]:80", "unix:/path". Returns the length. */
size_t address_text(const struct address *address, char out[ADDRESS_TEXT_BYTES]);

/* Without port and scope: "127.0.0.1", "::1", "unix:" (as $remote_addr). Returns the length. */
size_t address_host_text(const struct address *address, char out[ADDRESS_TEXT_BYTES]);

/* 0 for unix. */
uint16_t address_port(const struct address *address);
void address_set_port(struct address *address, uint16_t port);
bool address_equal(const struct address *a, const struct address *b);
bool address_is_wildcard(const struct address *address); /* 0.0.0.0 or :: */

/* Network and prefix length for allow/deny, geo and realip: "10.0.0.0/8", "::1", "unix:". */
struct address_block {
    int family; /* AF_INET, AF_INET6, AF_UNIX */
    unsigned prefix_bits;
    unsigned char bytes[16]; /* network order, host bits zero */
};

/* `*had_host_bits`: the text had bits set beyond the mask (nginx warns: "low address bits are
 * meaningless"). */
bool address_block_parse(struct slice text, struct address_block *block, bool *had_host_bits);

/* IPv4-mapped IPv6 addresses match IPv4 blocks. */
bool address_block_has(const struct address_block *block, const struct address *address);
