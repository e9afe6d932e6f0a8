/* Goal: no text after `server` crashes; what is taken is an address, or a host name worth asking
 * for, and has a place on the ring of a consistent hash. */
#include "balance/algorithm_internal.h"
#include "balance/resolver.h"
#include "balance/upstream_internal.h"
#include "base/arena.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ring(const struct upstream *upstream, const struct server *server)
{
    struct peer_set *set = calloc(1, sizeof(*set) + sizeof(set->peers[0]));

    set->peers[0].server = server;
    set->primary_count = 1;
    assert(consistent_hash_algorithm.prepare(upstream, set));
    free(set->ring);
    free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(4096);
    struct upstreams *upstreams = upstreams_new(arena);
    struct upstream *upstream = upstream_new(upstreams, slice_make(NULL, 0));
    struct server server = server_default();

    server.name = slice_make((const char *)data, size);
    if (upstream_add(upstreams, upstream, &server, 80) == SERVER_ADDED) {
        const struct server *added = upstream->servers;

        assert(added->address_count > 0 || host_name_valid(added->host));
        assert(added->host.len == 0 || added->port > 0);
        check_ring(upstream, added);
    }
    arena_drop(arena);
    return 0;
}
