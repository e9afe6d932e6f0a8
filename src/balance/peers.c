/* From servers and names to peer sets, and their replacement at run time.
 * Runs in: worker; building: the thread that starts a config, the resolver's thread; reading: any.
 */
#include "balance/algorithm_internal.h"
#include "balance/balance_internal.h"
#include "balance/resolver_internal.h"
#include "balance/upstream.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What is known of one server's name. Changes under the resolver's lock only. */
struct server_name {
    struct follower follower;
    struct upstream *upstream;
    const struct server *server;
    struct address *addresses; /* owned; NULL: server->addresses still stand */
    size_t count;
    bool failing;
};

struct upstream_names {
    unsigned count;
    struct server_name names[];
};

struct address_list {
    const struct address *first;
    size_t count;
};

static struct address_list addresses_of(const struct upstream *upstream,
                                        const struct server *server)
{
    for (unsigned i = 0; upstream->names != NULL && i < upstream->names->count; i++) {
        const struct server_name *name = &upstream->names->names[i];

        if (name->server == server && name->addresses != NULL)
            return (struct address_list){name->addresses, name->count};
    }
    return (struct address_list){server->addresses, server->address_count};
}

/* ---- building */

/* How many equal addresses stand before: two `server` lines of one address are two peers. */
static unsigned ordinal_of(const struct peer_set *set, const struct address *address)
{
    unsigned ordinal = 0;

    for (unsigned i = 0; i < set->peer_count; i++)
        ordinal += address_equal(peer_address(&set->peers[i]), address);
    return ordinal;
}

static bool add_server(const struct upstream *upstream, struct peer_set *set,
                       const struct server *server)
{
    struct address_list list = addresses_of(upstream, server);

    for (size_t i = 0; i < list.count; i++) {
        struct peer_key key = {.upstream = upstream->name,
                               .address = &list.first[i],
                               .ordinal = ordinal_of(set, &list.first[i])};
        struct peer_state *state = registry_get(&upstream->balance->registry, &key);

        if (state == NULL)
            return false;
        set->peers[set->peer_count++] = (struct peer){
            .server = server, .state = state, .effective_weight = server->weight};
        set->total_weight[server->backup] += (unsigned)server->weight;
        set->primary_count += !server->backup;
    }
    return true;
}

static bool add_all(const struct upstream *upstream, struct peer_set *set, bool backup)
{
    for (const struct server *it = upstream->servers; it != NULL; it = it->next) {
        if (it->backup == backup && !add_server(upstream, set, it))
            return false;
    }
    return true;
}

/* NULL: no memory (`*empty` false), or no address is known. */
static struct peer_set *build(const struct upstream *upstream, bool *empty)
{
    struct peer_set *set;
    size_t count = 0;

    for (const struct server *it = upstream->servers; it != NULL; it = it->next)
        count += addresses_of(upstream, it).count;
    *empty = count == 0;
    if (count == 0)
        return NULL;
    set = calloc(1, sizeof(*set) + count * sizeof(set->peers[0]));
    if (set == NULL)
        return NULL;
    atomic_init(&set->refs, 1);
    if (!add_all(upstream, set, false) || !add_all(upstream, set, true) ||
        (upstream->algorithm->prepare != NULL && !upstream->algorithm->prepare(upstream, set))) {
        peer_set_unref(set);
        return NULL;
    }
    set->single = set->peer_count == 1;
    return set;
}

/* Turns go on where they were for peers that stay. */
static void carry_weights(struct peer_set *set, const struct peer_set *old)
{
    for (unsigned i = 0; old != NULL && i < set->peer_count; i++) {
        for (unsigned j = 0; j < old->peer_count; j++) {
            if (old->peers[j].state != set->peers[i].state)
                continue;
            set->peers[i].current_weight = old->peers[j].current_weight;
            set->peers[i].effective_weight = old->peers[j].effective_weight;
        }
    }
}

static bool rebuild(struct upstream *upstream)
{
    struct peer_set *old;
    bool empty;
    struct peer_set *set = build(upstream, &empty);

    if (set == NULL)
        return empty; /* the old one stays */
    pthread_mutex_lock(&upstream->lock);
    old = atomic_load_explicit(&upstream->set, memory_order_relaxed);
    carry_weights(set, old);
    atomic_store_explicit(&upstream->set, set, memory_order_release);
    pthread_mutex_unlock(&upstream->lock);
    peer_set_unref(old);
    return true;
}

struct peer_set *upstream_peers(struct upstream *upstream)
{
    struct peer_set *set;

    if (upstream->stands_for != NULL)
        upstream = upstream->stands_for;
    pthread_mutex_lock(&upstream->lock);
    set = atomic_load_explicit(&upstream->set, memory_order_relaxed);
    if (set != NULL)
        peer_set_ref(set);
    pthread_mutex_unlock(&upstream->lock);
    return set;
}

/* ---- names */

static void log_change(struct server_name *name, const char *error)
{
    struct slice upstream = name->upstream->name;
    struct slice host = name->server->host;

    if (error != NULL && !name->failing)
        log_write(&log_process, LOG_LEVEL_WARN, 0,
                  "%.*s could not be resolved (%s) in upstream \"%.*s\", %s", SLICE_ARG(host),
                  error, SLICE_ARG(upstream),
                  name->count > 0 ? "keeping its last addresses and trying again"
                                  : "trying again in the background");
    else if (error == NULL && name->failing)
        log_write(&log_process, LOG_LEVEL_NOTICE, 0,
                  "%.*s of upstream \"%.*s\" is resolved: %zu address%s", SLICE_ARG(host),
                  SLICE_ARG(upstream), name->count, name->count == 1 ? "" : "es");
    name->failing = error != NULL;
}

/* The resolver's lock is held. */
static void on_name_change(struct follower *follower, const struct address *addresses, size_t count,
                           const char *error)
{
    struct server_name *name = container_of(follower, struct server_name, follower);
    struct address *copy = count == 0 ? NULL : malloc(count * sizeof(*copy));

    if (copy != NULL) {
        for (size_t i = 0; i < count; i++) {
            copy[i] = addresses[i];
            address_set_port(&copy[i], name->server->port);
        }
        free(name->addresses);
        name->addresses = copy;
        name->count = count;
        if (!rebuild(name->upstream))
            log_write(&log_process, LOG_LEVEL_CRIT, 0,
                      "no memory for the new addresses of upstream \"%.*s\"",
                      SLICE_ARG(name->upstream->name));
    }
    log_change(name, error);
}

static bool make_names(struct upstream *upstream)
{
    struct upstream_names *names;
    unsigned count = 0;

    for (const struct server *it = upstream->servers; it != NULL; it = it->next)
        count += it->host.len > 0;
    names = calloc(1, sizeof(*names) + count * sizeof(names->names[0]));
    if (names == NULL)
        return false;
    for (const struct server *it = upstream->servers; it != NULL; it = it->next) {
        if (it->host.len == 0)
            continue;
        names->names[names->count++] = (struct server_name){
            .follower = {.on_change = on_name_change}, .upstream = upstream, .server = it};
    }
    upstream->names = names;
    return true;
}

static bool follow_names(struct upstream *upstream)
{
    for (unsigned i = 0; i < upstream->names->count; i++) {
        struct server_name *name = &upstream->names->names[i];

        if (!resolver_follow(upstream->balance->resolver, &name->follower, name->server->host,
                             upstream->resolver))
            return false;
    }
    return true;
}

/* ---- start and stop */

static void upstream_stop(struct upstream *upstream)
{
    for (unsigned i = 0; upstream->names != NULL && i < upstream->names->count; i++) {
        struct server_name *name = &upstream->names->names[i];

        resolver_unfollow(upstream->balance->resolver, &name->follower);
        free(name->addresses);
    }
    free(upstream->names);
    upstream->names = NULL;
    peer_set_unref(atomic_load_explicit(&upstream->set, memory_order_relaxed));
    atomic_store_explicit(&upstream->set, NULL, memory_order_relaxed);
}

static void stop_all(void *data)
{
    struct upstreams *upstreams = data;

    for (struct upstream *it = upstreams->first; it != NULL; it = it->next)
        upstream_stop(it);
}

static bool upstream_start(struct upstream *upstream, struct balance *balance)
{
    upstream->balance = balance;
    if (upstream->stands_for != NULL)
        return true;
    if (upstream->dynamic && !make_names(upstream))
        return false;
    /* Before anybody follows: afterwards the resolver's thread is the one that rebuilds. */
    if (!rebuild(upstream))
        return false;
    return !upstream->dynamic || follow_names(upstream);
}

bool balance_start(struct balance *balance, struct upstreams *upstreams)
{
    if (upstreams == NULL)
        return true;
    assert(upstreams->balance == NULL);
    upstreams->balance = balance;
    if (!arena_on_drop(upstreams->arena, stop_all, upstreams))
        return false;
    for (struct upstream *it = upstreams->first; it != NULL; it = it->next) {
        if (!upstream_start(it, balance))
            return false;
    }
    return true;
}

void balance_wait(struct balance *balance, const struct upstreams *upstreams, unsigned wait_ms)
{
    uint64_t deadline_ms = clock_monotonic_ms() + wait_ms;

    for (struct upstream *it = upstreams == NULL ? NULL : upstreams->first; it != NULL;
         it = it->next) {
        for (unsigned i = 0; it->names != NULL && i < it->names->count; i++) {
            if (!resolver_wait(balance->resolver, &it->names->names[i].follower, deadline_ms))
                return;
        }
    }
}

/* ---- known only at run time */

static void stop_transient(void *data)
{
    upstream_stop(data);
}

struct upstream *upstream_transient(struct upstreams *upstreams, struct arena *arena,
                                    const struct upstream_target *target)
{
    struct upstream *upstream = arena_zalloc(arena, sizeof(*upstream));
    struct server *server = arena_zalloc(arena, sizeof(*server));

    assert(upstreams->balance != NULL);
    if (upstream == NULL || server == NULL)
        return NULL;
    *server = (struct server){.weight = 1,
                              .max_fails = 1,
                              .fail_timeout_ms = 10 * 1000,
                              .addresses = target->addresses,
                              .address_count = (unsigned)target->address_count};
    server->name = upstream->name = target->name;
    upstream->algorithm = &round_robin_algorithm;
    upstream->servers = server;
    upstream->server_count = 1;
    upstream->implicit = true;
    upstream->keepalive = (struct keepalive){
        .connections = 32, .requests = 1000, .time_ms = 3600 * 1000, .timeout_ms = 60 * 1000};
    upstream->balance = upstreams->balance;
    pthread_mutex_init(&upstream->lock, NULL);
    if (!arena_on_drop(arena, stop_transient, upstream))
        return NULL;
    return rebuild(upstream) ? upstream : NULL;
}
