/* From servers and names to peer sets, and their replacement at run time.
 * Runs in: worker; building: the thread that starts a config, the resolver's thread; reading: any.
 */
#include "balance/algorithm_internal.h"
#include "balance/balance_internal.h"
#include "balance/health_internal.h"
#include "balance/resolver_internal.h"
#include "balance/sources_internal.h"
#include "balance/upstream.h"
#include "balance/upstream_internal.h"
#include "base/arena.h"
#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What one server means at present: addresses, or the ready instances of an app. */
struct address_list {
    const struct address *first; /* NULL: instances */
    struct app_instance *const *instances;
    size_t count;
};

/* An app comes into play where the DNS knows no such name. */
static struct address_list addresses_of(const struct upstream *upstream,
                                        const struct server *server)
{
    const struct source *source = source_of(upstream, server);

    if (source != NULL && source->addresses != NULL)
        return (struct address_list){.first = source->addresses, .count = source->address_count};
    if (source != NULL && source->instance_count > 0)
        return (struct address_list){.instances = source->instances,
                                     .count = source->instance_count};
    return (struct address_list){.first = server->addresses, .count = server->address_count};
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

/* An instance that was not there before knows nothing of the failures of the one that had its
 * address, and enters slowly if it is to. */
static void welcome(const struct upstream *upstream, struct peer *peer)
{
    struct peer_state *state = peer->state;
    uint64_t serial = peer->instance->serial;

    atomic_store_explicit(&state->retired, false, memory_order_relaxed);
    if (atomic_exchange_explicit(&state->instance_serial, serial, memory_order_relaxed) != serial)
        health_return(state, upstream->sources->settled ? clock_monotonic_ms() : 0);
}

static bool add_server(const struct upstream *upstream, struct peer_set *set,
                       const struct server *server)
{
    struct address_list list = addresses_of(upstream, server);

    assert(list.count == 0 || list.first != NULL || list.instances != NULL);
    for (size_t i = 0; i < list.count; i++) {
        struct app_instance *instance = list.first == NULL ? list.instances[i] : NULL;
        const struct address *address = instance == NULL ? &list.first[i] : &instance->address;
        struct peer_key key = {
            .upstream = upstream->name, .address = address, .ordinal = ordinal_of(set, address)};
        struct peer_state *state = registry_get(&upstream->balance->registry, &key);
        struct peer *peer = &set->peers[set->peer_count];

        if (state == NULL)
            return false;
        *peer = (struct peer){.server = server, .state = state, .effective_weight = server->weight};
        if (instance != NULL) {
            peer->instance = app_instance_ref(instance);
            welcome(upstream, peer);
        }
        set->peer_count++;
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

/* Those that leave keep no connection, once their last request has ended. An instance that has the
 * same address now is another one. */
static void retire(const struct peer_set *old)
{
    for (unsigned i = 0; old != NULL && i < old->peer_count; i++) {
        const struct app_instance *instance = old->peers[i].instance;
        struct peer_state *state = old->peers[i].state;

        if (instance != NULL && !atomic_load_explicit(&instance->ready, memory_order_relaxed) &&
            atomic_load_explicit(&state->instance_serial, memory_order_relaxed) == instance->serial)
            atomic_store_explicit(&state->retired, true, memory_order_relaxed);
    }
}

bool upstream_rebuild(struct upstream *upstream)
{
    struct peer_set *old;
    bool empty;
    struct peer_set *set = build(upstream, &empty);

    if (set == NULL && !(empty && upstream->has_apps))
        return empty; /* the old one stays */
    pthread_mutex_lock(&upstream->lock);
    old = atomic_load_explicit(&upstream->set, memory_order_relaxed);
    if (set != NULL)
        carry_weights(set, old);
    atomic_store_explicit(&upstream->set, set, memory_order_release);
    pthread_mutex_unlock(&upstream->lock);
    retire(old);
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

/* ---- start and stop */

static void upstream_stop(struct upstream *upstream)
{
    sources_stop(upstream);
    peer_set_unref(atomic_load_explicit(&upstream->set, memory_order_relaxed));
    atomic_store_explicit(&upstream->set, NULL, memory_order_relaxed);
}

static void stop_all(void *data)
{
    struct upstreams *upstreams = data;

    for (struct upstream *it = upstreams->first; it != NULL; it = it->next)
        upstream_stop(it);
}

/* Which servers are apps can be said when the whole config has been loaded: a declared one needs no
 * DNS. */
static void settle_server(const struct upstreams *upstreams, struct server *server)
{
    if (server->kind == SERVER_ADDRESS)
        return;
    if (upstreams_has_app(upstreams, server->name)) {
        server->kind = SERVER_APP_DECLARED;
        server->host = slice_make(NULL, 0);
        server->address_count = 0;
    } else if (!server_may_be_app(upstreams, server)) {
        server->kind = SERVER_ADDRESS;
    }
}

static void settle_servers(const struct upstreams *upstreams, struct upstream *upstream)
{
    for (struct server *it = upstream->servers; it != NULL; it = it->next) {
        settle_server(upstreams, it);
        upstream->has_apps = upstream->has_apps || it->kind != SERVER_ADDRESS;
    }
    upstream->dynamic = upstream->dynamic || upstream->has_apps;
}

static bool upstream_start(struct upstream *upstream, struct upstreams *upstreams)
{
    upstream->balance = upstreams->balance;
    if (upstream->stands_for != NULL)
        return true;
    settle_servers(upstreams, upstream);
    if (upstream->dynamic && !sources_make(upstreams, upstream))
        return false;
    /* Before anybody follows: afterwards others rebuild. */
    if (!upstream_rebuild(upstream))
        return false;
    return !upstream->dynamic || sources_follow(upstream);
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
        if (!upstream_start(it, upstreams))
            return false;
    }
    return true;
}

void balance_wait(struct balance *balance, const struct upstreams *upstreams, unsigned wait_ms)
{
    uint64_t deadline_ms = clock_monotonic_ms() + wait_ms;

    for (struct upstream *it = upstreams == NULL ? NULL : upstreams->first; it != NULL;
         it = it->next) {
        for (unsigned i = 0; it->sources != NULL && i < it->sources->count; i++) {
            if (!resolver_wait(balance->resolver, &it->sources->list[i].dns, deadline_ms))
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
    if (target->addresses == NULL)
        server->kind = upstreams_has_app(upstreams, target->name) ? SERVER_APP_DECLARED
                                                                  : SERVER_APP;
    upstream->has_apps = upstream->dynamic = target->addresses == NULL;
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
    if (!upstream_rebuild(upstream))
        return NULL;
    if (!upstream->dynamic)
        return upstream;
    return sources_make(upstreams, upstream) && sources_follow(upstream) ? upstream : NULL;
}
