/* How many handshakes each address has under way. Runs in: any thread. */
#include "tls/crowd.h"

#include "base/slice.h"
#include "event/address.h"

#include <assert.h>
#include <stdatomic.h>

enum { PLACES = 65536, IPV6_NET_BYTES = 8, IPV4_IN_IPV6 = 12 };

static atomic_uint places[PLACES];

static atomic_uint *place_of(const struct address *client)
{
    const char *v6 = (const char *)&client->in6.sin6_addr;
    struct slice key = SLICE("unix");

    if (client->any.sa_family == AF_INET)
        key = slice_make((const char *)&client->in.sin_addr, sizeof client->in.sin_addr);
    else if (client->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&client->in6.sin6_addr))
        key = slice_make(v6 + IPV4_IN_IPV6, sizeof client->in.sin_addr);
    else if (client->any.sa_family == AF_INET6)
        key = slice_make(v6, IPV6_NET_BYTES);
    return &places[slice_hash(key) % PLACES];
}

bool crowd_enter(const struct address *client, unsigned max)
{
    atomic_uint *place = place_of(client);
    unsigned before = atomic_fetch_add_explicit(place, 1, memory_order_relaxed);

    if (max == 0 || before < max)
        return true;
    atomic_fetch_sub_explicit(place, 1, memory_order_relaxed);
    return false;
}

void crowd_leave(const struct address *client)
{
    unsigned before = atomic_fetch_sub_explicit(place_of(client), 1, memory_order_relaxed);

    assert(before > 0);
}
