/* Goal: no header of a balancer crashes the parser, and what it takes lies inside the input.
 * A header that is complete is the same when more follows. */
#include "http/proxy_protocol.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tlvs(struct slice in, const struct proxy_protocol *header)
{
    struct slice value;

    for (int type = 0; type < 256; type++) {
        if (proxy_protocol_tlv(header, type, -1, &value))
            assert(value.data >= in.data && value.data + value.len <= in.data + in.len);
        if (proxy_protocol_tlv(header, 0x20, type, &value))
            assert(value.data >= in.data && value.data + value.len <= in.data + in.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make((const char *)data, size);
    struct proxy_protocol header;
    struct proxy_protocol again;
    char text[ADDRESS_TEXT_BYTES];
    size_t used;
    size_t used_again;

    if (parse_proxy_protocol(in, &header, &used) != PROXY_PROTOCOL_OK)
        return 0;
    assert(used > 0 && used <= size);
    assert(parse_proxy_protocol(slice_head(in, used), &again, &used_again) == PROXY_PROTOCOL_OK);
    assert(used == used_again);
    assert(header.local || (header.source.len > 0 && header.destination.len > 0));
    if (header.source.len > 0)
        assert(address_text(&header.source, text) < sizeof text);
    check_tlvs(in, &header);
    return 0;
}
