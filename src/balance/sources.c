/* Where the addresses of an upstream's servers come from while it runs. Runs in: worker; changes:
 * the resolver's thread and the first loop. */
#include "balance/sources_internal.h"

#include "balance/balance_internal.h"
#include "balance/upstream_internal.h"
#include "base/log.h"

#include <stdlib.h>

const struct source *source_of(const struct upstream *upstream, const struct server *server)
{
    for (unsigned i = 0; upstream->sources != NULL && i < upstream->sources->count; i++) {
        if (upstream->sources->list[i].server == server)
            return &upstream->sources->list[i];
    }
    return NULL;
}

/* The lock is held. Counted when the new set is there: who sees the count sees the set. */
static void replaced(struct source *source)
{
    struct upstream *upstream = source->upstream;

    if (!upstream_rebuild(upstream))
        log_write(&log_process, LOG_LEVEL_CRIT, 0,
                  "no memory for the new addresses of upstream \"%.*s\"",
                  SLICE_ARG(upstream->name));
    atomic_fetch_add_explicit(&upstream->sources->changes, 1, memory_order_release);
    sources_wake(upstream->sources);
}

/* ---- names */

static void log_change(struct source *source, const char *error)
{
    struct slice upstream = source->upstream->name;
    struct slice host = source->server->host;

    if (error != NULL && !source->failing)
        log_write(&log_process, LOG_LEVEL_WARN, 0,
                  "%.*s could not be resolved (%s) in upstream \"%.*s\", %s", SLICE_ARG(host),
                  error, SLICE_ARG(upstream),
                  source->address_count > 0 ? "keeping its last addresses and trying again"
                                            : "trying again in the background");
    else if (error == NULL && source->failing)
        log_write(&log_process, LOG_LEVEL_NOTICE, 0,
                  "%.*s of upstream \"%.*s\" is resolved: %zu address%s", SLICE_ARG(host),
                  SLICE_ARG(upstream), source->address_count,
                  source->address_count == 1 ? "" : "es");
    source->failing = error != NULL;
}

/* An app has that name, too: then it is no fault that the DNS does not know it. */
static bool is_app(const struct source *source)
{
    enum app_status status = source->app.app == NULL ? APP_UNKNOWN
                                                     : roster_app_status(source->app.app);

    return status != APP_UNKNOWN && status != APP_GONE;
}

/* The resolver's lock is held. */
static void on_name_change(struct follower *follower, const struct address *addresses, size_t count,
                           const char *error)
{
    struct source *source = container_of(follower, struct source, dns);
    struct address *copy = count == 0 ? NULL : malloc(count * sizeof(*copy));

    pthread_mutex_lock(&source->upstream->sources->lock);
    if (copy != NULL) {
        for (size_t i = 0; i < count; i++) {
            copy[i] = addresses[i];
            address_set_port(&copy[i], source->server->port);
        }
        free(source->addresses);
        source->addresses = copy;
        source->address_count = count;
        replaced(source);
    }
    if (!is_app(source))
        log_change(source, error);
    pthread_mutex_unlock(&source->upstream->sources->lock);
}

/* ---- apps */

static void forget_instances(struct source *source)
{
    for (size_t i = 0; i < source->instance_count; i++)
        app_instance_unref(source->instances[i]);
    free(source->instances);
    source->instances = NULL;
    source->instance_count = 0;
}

static bool is_same(const struct source *source, struct app_instance *const *list, size_t count)
{
    for (size_t i = 0; i < count && i < source->instance_count; i++) {
        if (source->instances[i] != list[i])
            return false;
    }
    return count == source->instance_count;
}

/* The roster's lock is held. The status alone may be what changed: those who wait look again. */
static void on_app_change(struct app_follower *follower, struct app_instance *const *list,
                          size_t count)
{
    struct source *source = container_of(follower, struct source, app);
    struct sources *sources = source->upstream->sources;
    struct app_instance **copy;

    pthread_mutex_lock(&sources->lock);
    if (is_same(source, list, count)) {
        atomic_fetch_add_explicit(&sources->changes, 1, memory_order_release);
        sources_wake(sources);
    } else {
        copy = calloc(count + 1, sizeof(struct app_instance *));
        for (size_t i = 0; copy != NULL && i < count; i++)
            copy[i] = app_instance_ref(list[i]);
        forget_instances(source);
        source->instances = copy;
        source->instance_count = copy == NULL ? 0 : count;
        replaced(source);
    }
    pthread_mutex_unlock(&sources->lock);
}

/* ---- start and stop */

static bool has_source(const struct server *server)
{
    return server->host.len > 0 || server->kind != SERVER_ADDRESS;
}

bool sources_make(const struct upstreams *upstreams, struct upstream *upstream)
{
    struct sources *sources;
    unsigned count = 0;

    for (const struct server *it = upstream->servers; it != NULL; it = it->next)
        count += has_source(it);
    sources = calloc(1, sizeof(*sources) + count * sizeof(sources->list[0]));
    if (sources == NULL)
        return false;
    pthread_mutex_init(&sources->lock, NULL);
    list_init(&sources->waiters);
    for (const struct server *it = upstream->servers; it != NULL; it = it->next) {
        if (!has_source(it))
            continue;
        sources->list[sources->count++] = (struct source){
            .dns = {.on_change = on_name_change},
            .app = {.on_change = on_app_change},
            .upstream = upstream,
            .resolver = server_resolver(upstreams, upstream, it),
            .server = it};
    }
    upstream->sources = sources;
    return true;
}

/* A declared app needs no DNS. */
static bool follow(struct source *source)
{
    const struct upstream *upstream = source->upstream;
    struct balance *balance = upstream->balance;
    const struct server *server = source->server;

    if (server->kind != SERVER_ADDRESS &&
        !roster_follow(balance->roster, &source->app, server->name))
        return false;
    return server->host.len == 0 ||
           resolver_follow(balance->resolver, &source->dns, server->host, source->resolver);
}

bool sources_follow(struct upstream *upstream)
{
    for (unsigned i = 0; i < upstream->sources->count; i++) {
        if (!follow(&upstream->sources->list[i]))
            return false;
    }
    pthread_mutex_lock(&upstream->sources->lock);
    upstream->sources->settled = true;
    pthread_mutex_unlock(&upstream->sources->lock);
    return true;
}

void sources_stop(struct upstream *upstream)
{
    struct sources *sources = upstream->sources;

    if (sources == NULL)
        return;
    for (unsigned i = 0; i < sources->count; i++) {
        struct source *source = &sources->list[i];

        resolver_unfollow(upstream->balance->resolver, &source->dns);
        roster_unfollow(upstream->balance->roster, &source->app);
        forget_instances(source);
        free(source->addresses);
    }
    sources_leave(sources);
    pthread_mutex_destroy(&sources->lock);
    free(sources);
    upstream->sources = NULL;
}
