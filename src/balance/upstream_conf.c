/* The `upstream` block and what stands inside. Runs in: any process, at load time. */
#include "balance/upstream_conf.h"

#include "balance/algorithm_internal.h"
#include "balance/app_notice_internal.h"
#include "balance/resolver.h"
#include "balance/upstream.h"
#include "balance/upstream_internal.h"
#include "config/loader.h"
#include "config/variable.h"

#include <limits.h>

enum { HTTP_PORT = 80 };

/* Settings with a plain value; the block takes them over when its scope is finished. */
struct upstream_conf {
    int keepalive_requests;
    uint64_t keepalive_time_ms;
    uint64_t keepalive_timeout_ms;
    uint64_t resolver_timeout_ms;
};

static void take_settings(struct upstream *upstream, const struct upstream_conf *conf)
{
    upstream->keepalive.requests = (unsigned)conf->keepalive_requests;
    upstream->keepalive.time_ms = conf->keepalive_time_ms;
    upstream->keepalive.timeout_ms = conf->keepalive_timeout_ms;
    upstream->resolver_timeout_ms = conf->resolver_timeout_ms;
}

static bool finish(struct loader *loader, struct scope *scope, void *conf)
{
    (void)loader;
    if (scope->context == CTX_UPSTREAM)
        take_settings(scope->block, conf);
    return true;
}

/* ---- upstream NAME { } */

static bool set_upstream(struct conf_call *call)
{
    struct upstreams *upstreams = upstreams_of(call->loader);
    struct slice name = conf_arg(call, 1);
    struct upstream *before = upstreams == NULL ? NULL : upstream_find(upstreams, name);
    struct upstream *upstream;
    struct scope inner;

    if (before != NULL && !before->implicit) {
        conf_error(call, 1, "duplicate upstream \"%.*s\"", SLICE_ARG(name));
        conf_hint(call, "the first one is in %s:%u", before->file, before->line);
        return false;
    }
    upstream = upstreams == NULL ? NULL : upstream_new(upstreams, name);
    if (upstream == NULL)
        return conf_error(call, 0, "out of memory");
    upstream->file = tree_path(call->loader->tree, call->node);
    upstream->line = call->node->line;
    if (!loader_block(call, CTX_UPSTREAM, upstream, &inner))
        return false;
    if (upstream->servers == NULL)
        return conf_error(call, 0, "no servers are inside upstream");
    return upstream_register(upstreams, upstream) || conf_error(call, 0, "out of memory");
}

/* ---- server ADDRESS ... */

static bool parse_number(struct slice text, int64_t min, unsigned *number)
{
    int64_t value;

    if (!conf_parse_int(text, min, INT_MAX, &value))
        return false;
    *number = (unsigned)value;
    return true;
}

static bool parse_weight(struct slice text, struct server *server)
{
    unsigned weight;

    /* The sum over a set, times the points of a ring, must fit. */
    if (!parse_number(text, 1, &weight) || weight > 1000000)
        return false;
    server->weight = (int)weight;
    return true;
}

static bool parse_max_conns(struct slice text, struct server *server)
{
    return parse_number(text, 0, &server->max_conns);
}

static bool parse_max_fails(struct slice text, struct server *server)
{
    return parse_number(text, 0, &server->max_fails);
}

static bool parse_fail_timeout(struct slice text, struct server *server)
{
    uint64_t seconds;

    if (!conf_parse_sec(text, &seconds))
        return false;
    server->fail_timeout_ms = seconds * 1000;
    return true;
}

static bool parse_slow_start(struct slice text, struct server *server)
{
    uint64_t ms;

    if (!conf_parse_msec(text, &ms) || ms > INT_MAX)
        return false;
    server->slow_start_ms = (unsigned)ms;
    return true;
}

static bool parse_backup(struct slice text, struct server *server)
{
    (void)text;
    server->backup = true;
    return true;
}

static bool parse_down(struct slice text, struct server *server)
{
    (void)text;
    server->down = true;
    return true;
}

/* Names are always followed; this says by whom. An app has none. */
static bool parse_resolve(struct slice text, struct server *server)
{
    (void)text;
    server->resolve = true;
    return server->kind == SERVER_ADDRESS;
}

static const struct {
    struct slice word; /* with "=": a value follows */
    bool (*parse)(struct slice value, struct server *server);
    unsigned parameter; /* enum server_parameter: what a method may refuse */
} parameters[] = {
    {SLICE("weight="), parse_weight, 0},
    {SLICE("max_conns="), parse_max_conns, 0},
    {SLICE("max_fails="), parse_max_fails, 0},
    {SLICE("fail_timeout="), parse_fail_timeout, 0},
    {SLICE("backup"), parse_backup, SERVER_BACKUP},
    {SLICE("down"), parse_down, 0},
    {SLICE("slow_start="), parse_slow_start, SERVER_SLOW_START},
    {SLICE("resolve"), parse_resolve, 0},
};

static bool set_parameter(struct conf_call *call, size_t index, struct server *server)
{
    const struct upstream *upstream = call->scope->block;
    struct slice word = conf_arg(call, index);

    for (size_t i = 0; i < COUNT(parameters); i++) {
        struct slice known = parameters[i].word;
        bool valued = known.data[known.len - 1] == '=';

        if (valued ? !slice_starts(word, known) : !slice_eq(word, known))
            continue;
        if ((upstream->algorithm->refused & parameters[i].parameter) != 0)
            return conf_error(call, index, "balancing method does not support parameter \"%.*s\"",
                              SLICE_ARG(word));
        if (parameters[i].parse(slice_skip(word, known.len), server))
            return true;
        break;
    }
    return conf_error(call, index, "invalid parameter \"%.*s\"", SLICE_ARG(word));
}

static bool add_line(struct conf_call *call, enum server_kind kind)
{
    struct upstreams *upstreams = upstreams_of(call->loader);
    struct upstream *upstream = call->scope->block;
    struct server server = server_default();

    server.kind = kind;
    server.name = conf_arg(call, 1);
    server.file = tree_path(call->loader->tree, call->node);
    server.line = call->node->line;
    for (size_t i = 2; i < conf_arg_count(call); i++) {
        if (!set_parameter(call, i, &server))
            return false;
    }
    switch (upstream_add(upstreams, upstream, &server, HTTP_PORT)) {
    case SERVER_ADDED:
        return true;
    case SERVER_INVALID:
        return conf_error(call, 1, "invalid host or port in upstream \"%.*s\"",
                          SLICE_ARG(server.name));
    case SERVER_NO_MEMORY:
        break;
    }
    return conf_error(call, 0, "out of memory");
}

static bool set_server(struct conf_call *call)
{
    return add_line(call, SERVER_ADDRESS);
}

static bool set_app(struct conf_call *call)
{
    struct slice name = conf_arg(call, 1);

    if (name.len == 0 || name.len > APP_NAME_MAX)
        return conf_error(call, 1, "invalid name of an app \"%.*s\"", SLICE_ARG(name));
    return add_line(call, SERVER_APP);
}

/* ---- methods */

static void use_method(struct conf_call *call, const struct algorithm *algorithm)
{
    struct upstream *upstream = call->scope->block;

    if (upstream->algorithm != &round_robin_algorithm)
        conf_warn(call, 0, "load balancing method redefined");
    upstream->algorithm = algorithm;
}

static bool set_ip_hash(struct conf_call *call)
{
    use_method(call, &ip_hash_algorithm);
    return true;
}

static bool set_least_conn(struct conf_call *call)
{
    use_method(call, &least_conn_algorithm);
    return true;
}

static bool set_hash(struct conf_call *call)
{
    struct upstream *upstream = call->scope->block;
    const struct algorithm *algorithm = &hash_algorithm;
    const char *error = NULL;

    upstream->hash_key = template_compile(call->loader->variables, call->loader->arena,
                                          conf_arg(call, 1), &error);
    if (upstream->hash_key == NULL)
        return conf_error(call, 1, "%s", error == NULL ? "out of memory" : error);
    if (conf_arg_count(call) == 3) {
        if (!slice_eq(conf_arg(call, 2), (struct slice)SLICE("consistent")))
            return conf_error(call, 2, "invalid parameter \"%.*s\"", SLICE_ARG(conf_arg(call, 2)));
        algorithm = &consistent_hash_algorithm;
    }
    use_method(call, algorithm);
    return true;
}

static bool set_random(struct conf_call *call)
{
    const struct algorithm *algorithm = &random_algorithm;

    if (conf_arg_count(call) > 1) {
        if (!slice_eq(conf_arg(call, 1), (struct slice)SLICE("two")))
            return conf_error(call, 1, "invalid parameter \"%.*s\"", SLICE_ARG(conf_arg(call, 1)));
        algorithm = &random_two_algorithm;
    }
    if (conf_arg_count(call) > 2 && !slice_eq(conf_arg(call, 2), (struct slice)SLICE("least_conn")))
        return conf_error(call, 2, "invalid parameter \"%.*s\"", SLICE_ARG(conf_arg(call, 2)));
    use_method(call, algorithm);
    return true;
}

/* ---- connections and names */

static bool set_keepalive(struct conf_call *call)
{
    struct upstream *upstream = call->scope->block;
    int64_t count;

    if (!conf_parse_int(conf_arg(call, 1), 0, INT_MAX, &count))
        return conf_error(call, 1, "invalid value \"%.*s\" in \"keepalive\" directive",
                          SLICE_ARG(conf_arg(call, 1)));
    if (conf_arg_count(call) > 2 && !slice_eq(conf_arg(call, 2), (struct slice)SLICE("local")))
        return conf_error(call, 2, "invalid parameter \"%.*s\"", SLICE_ARG(conf_arg(call, 2)));
    upstream->keepalive.connections = (unsigned)count;
    return true;
}

static bool set_resolver(struct conf_call *call)
{
    struct upstream *upstream = call->scope->block;

    upstream->resolver = resolver_conf_parse(call);
    return upstream->resolver != NULL;
}

static const struct directive directives[] = {
    {"upstream", CTX_HTTP, CUSTOM, .args_min = 1, .args_max = 1, .block = true, .repeatable = true,
     .set = set_upstream,
     .example = "upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001; }",
     .doc = "Declares a named group of servers that proxy_pass and its like can refer to."},
    {"server", CTX_UPSTREAM, CUSTOM, .args_min = 1, .args_max = 255, .repeatable = true,
     .set = set_server,
     .example = "server backend.test:8080 weight=5 max_fails=3 fail_timeout=30s;",
     .doc =
         "A server of the group: address[:port], name[:port] or unix:path, with weight=, "
         "max_conns=, max_fails=, fail_timeout=, slow_start=, backup and down. Names are looked up again "
         "when their TTL ends; one that does not resolve is retried in the background. A "
         "server whose connections fail is probed, and used again once it accepts them."},
    {"app", CTX_UPSTREAM, CUSTOM, .args_min = 1, .args_max = 255, .repeatable = true,
     .set = set_app, .example = "app web max_conns=100 slow_start=30s;",
     .doc =
         "The instances of an app as servers of the group, with the parameters of \"server\" for "
         "each. They come when they are ready and go when they end; requests wait while none is "
         "there but one is on its way (app_wait). proxy_pass http://NAME does without a group."},
    {"zone", CTX_UPSTREAM, NOTHING, .args_min = 1, .args_max = 2, .quiet = true,
     .noop = "all loops share one view of every group; no memory has to be set aside",
     .doc = "Names the shared memory of the group in nginx."},
    {"ip_hash", CTX_UPSTREAM, CUSTOM, .args_max = 0, .set = set_ip_hash,
     .doc = "Chooses by the client's address: the first three octets of IPv4, the whole of IPv6."},
    {"least_conn", CTX_UPSTREAM, CUSTOM, .args_max = 0, .set = set_least_conn,
     .doc = "Chooses the server with the fewest requests under way, by weight, over all loops."},
    {"hash", CTX_UPSTREAM, CUSTOM, .args_min = 1, .args_max = 2, .set = set_hash,
     .example = "hash $request_uri consistent;",
     .doc = "Chooses by a key with variables. With \"consistent\" (ketama) few keys move when a "
            "server comes or goes."},
    {"random", CTX_UPSTREAM, CUSTOM, .args_max = 2, .set = set_random,
     .example = "random two least_conn;",
     .doc = "Chooses at random by weight; with \"two\" the less loaded of two random servers."},
    {"keepalive", CTX_UPSTREAM, CUSTOM, .args_min = 1, .args_max = 2, .set = set_keepalive,
     .example = "keepalive 32;",
     .doc = "Idle connections kept to the servers of the group, per loop (in nginx: per worker "
            "process); 0: none; without this directive 32. \"local\" is accepted: connections "
            "that differ in source address or TLS are never mixed."},
    {"keepalive_requests", CTX_UPSTREAM, INT(struct upstream_conf, keepalive_requests),
     .def = "1000", .min = 1, .max = INT_MAX,
     .doc = "Requests over one connection before it is closed."},
    {"keepalive_time", CTX_UPSTREAM, MSEC(struct upstream_conf, keepalive_time_ms), .def = "1h",
     .doc = "Age at which a connection takes no further request."},
    {"keepalive_timeout", CTX_UPSTREAM, MSEC(struct upstream_conf, keepalive_timeout_ms),
     .def = "60s", .doc = "How long an idle connection to a server is kept open."},
    {"resolver", CTX_UPSTREAM, CUSTOM, .args_min = 1, .args_max = 255, .set = set_resolver,
     .example = "resolver 127.0.0.1 valid=30s ipv6=off;",
     .doc =
         "DNS servers for the names of this group, instead of those of /etc/resolv.conf. Without "
         "it servers with \"resolve\" are looked up by the resolver of the http block."},
    {"resolver_timeout", CTX_UPSTREAM, MSEC(struct upstream_conf, resolver_timeout_ms),
     .def = "30s", .doc = "How long a lookup of a name may take."},
};

const struct conf_feature upstream_feature = {
    .name = "http_upstream",
    .conf_bytes = sizeof(struct upstream_conf),
    .directives = directives,
    .directive_count = COUNT(directives),
    .finish = finish,
};
