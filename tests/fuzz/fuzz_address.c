/* Goal: no text crashes the address parsers, and what they take is printed and read back the same.
 */
#include "event/address.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct address *address)
{
    char text[ADDRESS_TEXT_BYTES];
    char host[ADDRESS_TEXT_BYTES];
    struct address again;
    size_t len = address_text(address, text);

    assert(len < sizeof text);
    assert(strlen(text) <= len);
    assert(address_host_text(address, host) < sizeof host);
    assert(address_parse(slice_make(text, len), 1, &again));
    assert(address_equal(address, &again));
}

static void check_block(struct slice text)
{
    struct address_block block;
    struct address member = {.len = 0};
    bool host_bits;

    if (!address_block_parse(text, &block, &host_bits))
        return;
    assert(!address_block_has(&block, &member));
    member.any.sa_family = (sa_family_t)block.family;
    if (block.family == AF_INET) {
        member.len = sizeof member.in;
        memcpy(&member.in.sin_addr, block.bytes, 4);
    } else if (block.family == AF_INET6) {
        member.len = sizeof member.in6;
        memcpy(&member.in6.sin6_addr, block.bytes, 16);
    } else {
        member.len = sizeof(sa_family_t);
    }
    assert(address_block_has(&block, &member));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make((const char *)data, size);
    struct address address;
    struct slice host;
    uint16_t port;

    if (address_parse(text, 80, &address))
        check_round_trip(&address);
    if (address_parse_ip(text, 80, &address))
        check_round_trip(&address);
    if (address_split_host_port(text, &host, &port))
        assert(host.len > 0 && host.len <= size);
    check_block(text);
    return 0;
}
