/* Upstreams at load: made, named, found. Runs in: any process, one thread. */
#include "balance/upstream.h"

#include "balance/algorithm_internal.h"
#include "balance/resolver_internal.h"
#include "balance/upstream_internal.h"
#include "base/arena.h"
#include "base/diag.h"
#include "config/directive.h"
#include "config/loader.h"
#include "config/snapshot.h"

#include <netdb.h>
#include <string.h>
#include <strings.h>

enum { ADDRESSES_MAX = 64 };

struct upstreams *upstreams_new(struct arena *arena)
{
    struct upstreams *upstreams = arena_zalloc(arena, sizeof(*upstreams));

    if (upstreams == NULL)
        return NULL;
    upstreams->arena = arena;
    upstreams->last = &upstreams->first;
    map_init(&upstreams->by_name, arena, true);
    map_init(&upstreams->apps, arena, false);
    return upstreams;
}

struct upstreams *upstreams_of(struct loader *loader)
{
    struct snapshot *snapshot = loader->context;

    if (snapshot->http_upstreams == NULL)
        snapshot->http_upstreams = upstreams_new(loader->arena);
    return snapshot->http_upstreams;
}

struct upstream *upstream_new(struct upstreams *upstreams, struct slice name)
{
    struct upstream *upstream = arena_zalloc(upstreams->arena, sizeof(*upstream));

    if (upstream == NULL)
        return NULL;
    upstream->name = arena_copy(upstreams->arena, name);
    if (upstream->name.data == NULL)
        return NULL;
    upstream->algorithm = &round_robin_algorithm;
    upstream->servers_end = &upstream->servers;
    upstream->keepalive = (struct keepalive){
        .connections = 32, .requests = 1000, .time_ms = 3600 * 1000, .timeout_ms = 60 * 1000};
    upstream->resolver_timeout_ms = 30 * 1000;
    pthread_mutex_init(&upstream->lock, NULL);
    *upstreams->last = upstream;
    upstreams->last = &upstream->next;
    return upstream;
}

struct server server_default(void)
{
    return (struct server){.weight = 1, .max_fails = 1, .fail_timeout_ms = 10 * 1000};
}

/* ---- names of servers */

static bool copy_addresses(struct upstreams *upstreams, struct server *server,
                           const struct address *found, size_t count)
{
    size_t bytes = (count - 1) * sizeof(*found) + address_bytes(&found[count - 1]);
    struct address *copy = arena_alloc(upstreams->arena, bytes);

    if (copy == NULL)
        return false;
    memcpy(copy, found, bytes);
    server->addresses = copy;
    server->address_count = (unsigned)count;
    return true;
}

/* "80" alone would be a port for listen; here it is a host name. */
static bool parse_numeric(struct slice text, uint16_t port, struct address *address)
{
    bool digits = true;

    for (size_t i = 0; i < text.len; i++)
        digits = digits && text.data[i] >= '0' && text.data[i] <= '9';
    if (digits || (text.len > 0 && text.data[0] == '*') || !address_parse(text, port, address))
        return false;
    return address->any.sa_family == AF_UNIX || address_port(address) != 0;
}

/* NULL: the system's, which looks into the hosts file first. */
const struct resolver_conf *server_resolver(const struct upstreams *upstreams,
                                            const struct upstream *upstream,
                                            const struct server *server)
{
    if (upstream->resolver != NULL)
        return upstream->resolver;
    return server->resolve ? upstreams->resolver : NULL;
}

static enum server_result resolve_at_load(struct upstreams *upstreams, struct upstream *upstream,
                                          struct server *server, uint16_t default_port)
{
    struct address found[ADDRESSES_MAX];
    size_t count = 0;

    if (parse_numeric(server->name, default_port, &found[0])) {
        count = 1;
    } else {
        if (!address_split_host_port(server->name, &server->host, &server->port) ||
            !host_name_valid(server->host))
            return SERVER_INVALID;
        server->port = server->port == 0 ? default_port : server->port;
        if (server_resolver(upstreams, upstream, server) == NULL || host_is_local(server->host))
            count = hosts_find(server->host, server->port, found, ADDRESSES_MAX);
        if (host_is_local(server->host))
            server->host = slice_make(NULL, 0);
        else
            upstream->dynamic = true;
    }
    if (count > 0 && !copy_addresses(upstreams, server, found, count))
        return SERVER_NO_MEMORY;
    return SERVER_ADDED;
}

/* "web", "my.app": nothing that only an address has. */
static bool may_be_app(struct slice text)
{
    return slice_find(text, ':') < 0 && slice_find(text, '[') < 0;
}

bool upstreams_declare_app(struct upstreams *upstreams, struct slice name)
{
    struct slice copy = arena_copy(upstreams->arena, name);

    return copy.data != NULL && map_put(&upstreams->apps, copy, upstreams, NULL);
}

bool upstreams_has_app(const struct upstreams *upstreams, struct slice name)
{
    return map_get(&upstreams->apps, name) != NULL;
}

enum server_result upstream_add(struct upstreams *upstreams, struct upstream *upstream,
                                const struct server *server, uint16_t default_port)
{
    struct server *copy = arena_alloc(upstreams->arena, sizeof(*copy));
    enum server_result result;

    if (copy == NULL)
        return SERVER_NO_MEMORY;
    *copy = *server;
    copy->next = NULL;
    copy->name = arena_copy(upstreams->arena, server->name);
    if (copy->name.data == NULL)
        return SERVER_NO_MEMORY;
    if (copy->kind == SERVER_APP) {
        upstream->dynamic = true;
    } else {
        result = resolve_at_load(upstreams, upstream, copy, default_port);
        if (result != SERVER_ADDED)
            return result;
    }
    *upstream->servers_end = copy;
    upstream->servers_end = &copy->next;
    upstream->server_count++;
    return SERVER_ADDED;
}

/* ---- names of upstreams */

/* Paths of unix sockets differ in case; the map, made for host names, does not. */
static bool is_called(const struct upstream *upstream, struct slice text)
{
    return strncasecmp(upstream->name.data, "unix:", 5) != 0 || slice_eq(upstream->name, text);
}

struct upstream *upstream_find(const struct upstreams *upstreams, struct slice name)
{
    struct upstream *found = map_get(&upstreams->by_name, name);

    while (found != NULL && !is_called(found, name))
        found = found->same_name;
    return found;
}

bool upstream_register(struct upstreams *upstreams, struct upstream *upstream)
{
    struct upstream *before = map_get(&upstreams->by_name, upstream->name);

    if (!map_put(&upstreams->by_name, upstream->name, upstream, NULL))
        return false;
    for (; before != NULL; before = before->same_name)
        before->stands_for = upstream;
    return true;
}

/* "app:8080" when there is a block "app": surely not a host name. */
static bool is_block_with_port(struct conf_call *call, struct upstreams *upstreams, size_t index,
                               struct slice text)
{
    struct upstream *block;
    struct slice host;
    uint16_t port;

    if (!address_split_host_port(text, &host, &port) || port == 0)
        return false;
    block = upstream_find(upstreams, host);
    if (block == NULL || block->implicit)
        return false;
    conf_error(call, index, "upstream \"%.*s\" may not have port %u", SLICE_ARG(host), port);
    return true;
}

static struct upstream *implicit_new(struct conf_call *call, size_t index, struct slice text,
                                     uint16_t default_port)
{
    struct upstreams *upstreams = upstreams_of(call->loader);
    struct upstream *others = map_get(&upstreams->by_name, text);
    struct upstream *upstream = upstream_new(upstreams, text);
    struct server server = server_default();
    enum server_result result = SERVER_NO_MEMORY;

    server.name = text;
    if (may_be_app(text))
        server.kind = SERVER_APP_MAYBE;
    if (upstream != NULL) {
        upstream->implicit = true;
        upstream->default_port = default_port;
        upstream->same_name = others;
        upstream->file = server.file = tree_path(call->loader->tree, call->node);
        upstream->line = server.line = call->node->line;
        result = upstream_add(upstreams, upstream, &server, default_port);
    }
    if (result == SERVER_ADDED && map_put(&upstreams->by_name, upstream->name, upstream, NULL))
        return upstream;
    if (result == SERVER_INVALID)
        conf_error(call, index, "invalid host or port in upstream \"%.*s\"", SLICE_ARG(text));
    else
        conf_error(call, index, "out of memory");
    return NULL;
}

struct upstream *upstream_for(struct conf_call *call, size_t index, struct slice text,
                              uint16_t default_port)
{
    struct upstreams *upstreams = upstreams_of(call->loader);
    struct upstream *found;

    if (upstreams == NULL) {
        conf_error(call, index, "out of memory");
        return NULL;
    }
    for (found = upstream_find(upstreams, text); found != NULL; found = found->same_name) {
        if (!found->implicit || (found->default_port == default_port && is_called(found, text)))
            return found;
    }
    if (is_block_with_port(call, upstreams, index, text))
        return NULL;
    return implicit_new(call, index, text, default_port);
}

const char *upstream_method(const struct upstream *upstream)
{
    return upstream->algorithm->name;
}

/* ---- apps */

/* A name with dots, or one of the hosts file, is an app's only if it is declared. */
bool server_may_be_app(const struct upstreams *upstreams, const struct server *server)
{
    if (server->kind != SERVER_APP_MAYBE)
        return server->kind != SERVER_ADDRESS;
    return upstreams_has_app(upstreams, server->name) ||
           (server->address_count == 0 && slice_find(server->name, '.') < 0);
}

bool upstreams_mention_apps(const struct upstreams *upstreams)
{
    for (struct upstream *it = upstreams == NULL ? NULL : upstreams->first; it != NULL;
         it = it->next) {
        for (struct server *server = it->servers; server != NULL && it->stands_for == NULL;
             server = server->next) {
            if (server_may_be_app(upstreams, server))
                return true;
        }
    }
    return false;
}

/* ---- strict */

struct strict {
    const struct upstreams *upstreams;
    const struct app_lookup *lookup;
    struct diag *diag;
};

static bool is_running_app(const struct strict *strict, const struct server *server)
{
    const struct app_lookup *lookup = strict->lookup;

    if (!server_may_be_app(strict->upstreams, server))
        return false;
    return upstreams_has_app(strict->upstreams, server->name) ||
           (lookup->runs != NULL && lookup->runs(lookup->data, server->name));
}

static bool can_be_resolved(const struct server *server)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    char host[256];

    if (server->address_count > 0 || server->host.len >= sizeof(host))
        return true;
    memcpy(host, server->host.data, server->host.len);
    host[server->host.len] = '\0';
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    freeaddrinfo(found);
    return true;
}

static void check_server(const struct strict *strict, const struct upstream *upstream,
                         const struct server *server)
{
    struct diag *diag = strict->diag;
    struct diag_place place = {.file = server->file, .line = server->line};

    if (is_running_app(strict, server))
        return;
    if (server->kind == SERVER_APP) {
        diag_add(diag, DIAG_ERROR, &place, "app \"%.*s\" of upstream \"%.*s\" is not known",
                 SLICE_ARG(server->name), SLICE_ARG(upstream->name));
        diag_hint(diag, "it is not in apps { }, and no runner has it; without --strict it is "
                        "used as soon as it is started");
    } else if (!can_be_resolved(server)) {
        diag_add(diag, DIAG_ERROR, &place, "host not found in upstream \"%.*s\"",
                 SLICE_ARG(server->name));
        diag_hint(diag, "without --strict this server of \"%.*s\" is looked for at run time",
                  SLICE_ARG(upstream->name));
    }
}

void upstreams_check(const struct upstreams *upstreams, const struct app_lookup *lookup,
                     struct diag *diag)
{
    const struct strict strict = {.upstreams = upstreams, .lookup = lookup, .diag = diag};

    for (struct upstream *it = upstreams == NULL ? NULL : upstreams->first; it != NULL;
         it = it->next) {
        for (struct server *server = it->servers; server != NULL && it->stands_for == NULL;
             server = server->next)
            check_server(&strict, it, server);
    }
}
