/* The PROXY protocol, versions 1 and 2: who really connected, told by a balancer in front of us.
 * (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt) Pure parser. Runs in: worker, loop
 * thread. */
#pragma once

#include "base/slice.h"
#include "event/address.h"

struct proxy_protocol {
    bool local; /* LOCAL or UNKNOWN: the connection is the balancer's own (health check) */
    struct address source; /* len 0 when local */
    struct address destination;
    struct slice tlvs; /* version 2: the type-length-value part, in the input */
};

enum proxy_protocol_result {
    PROXY_PROTOCOL_OK,
    PROXY_PROTOCOL_MORE,
    PROXY_PROTOCOL_BAD,
};

enum { PROXY_PROTOCOL_BYTES_MAX = 4096 };

/* `*used`: length of the header in `in`. */
enum proxy_protocol_result parse_proxy_protocol(struct slice in, struct proxy_protocol *out,
                                                size_t *used);

/* The value of one TLV of version 2; nested ones of the SSL type (0x20) by `ssl_type` >= 0. False:
 * not there. */
bool proxy_protocol_tlv(const struct proxy_protocol *header, int type, int ssl_type,
                        struct slice *value);
