#include "http/structure.h"

#include "balance/upstream.h"
#include "base/arena.h"
#include "base/diag.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/snapshot.h"
#include "http/features.h"
#include "http/structure_internal.h"

#include <assert.h>

struct http_draft *http_draft_of(struct loader *loader)
{
    struct snapshot *snapshot = loader->context;

    return (struct http_draft *)snapshot->http;
}

struct http_conf *conf_http(struct loader *loader)
{
    return &http_draft_of(loader)->conf;
}

static void *enclosing_block(struct conf_call *call, unsigned contexts)
{
    for (struct scope *scope = call->scope; scope != NULL; scope = scope->parent)
        if ((scope->context & contexts) != 0)
            return scope->block;
    return NULL;
}

struct server_draft *server_draft_of(struct conf_call *call)
{
    return enclosing_block(call, CTX_SERVER);
}

struct http_server *conf_server(struct conf_call *call)
{
    struct server_draft *draft = server_draft_of(call);

    return draft == NULL ? NULL : &draft->server;
}

struct http_location *conf_location(struct conf_call *call)
{
    return enclosing_block(call, CTX_LOCATION | CTX_LOCATION_IF | CTX_LIMIT_EXCEPT);
}

struct origin conf_origin(const struct conf_call *call)
{
    return (struct origin){.file = tree_path(call->loader->tree, call->node),
                           .line = call->node->line};
}

static bool no_memory(struct conf_call *call)
{
    return conf_error(call, 0, "no memory for the configuration");
}

/* ---- server */

static bool freeze_locations(struct conf_call *call, struct location_tree *tree)
{
    return tree == NULL || location_tree_freeze(tree) || no_memory(call);
}

static bool set_server(struct conf_call *call)
{
    struct http_draft *http = http_draft_of(call->loader);
    struct server_draft *draft = arena_zalloc(call->loader->arena, sizeof *draft);
    struct scope scope;

    if (draft == NULL)
        return no_memory(call);
    draft->server.origin = conf_origin(call);
    *http->last = draft;
    http->last = &draft->next;
    http->conf.server_count++;
    bool ok = loader_block(call, CTX_SERVER, draft, &scope);

    draft->server.settings = scope.settings;
    if (draft->listens == NULL)
        ok = listen_add_default(call, draft) && ok;
    return freeze_locations(call, draft->server.locations) && ok;
}

/* ---- location */

static bool take_name(struct http_location *location, struct slice modifier, struct slice name)
{
    static const struct {
        struct slice text;
        enum location_kind kind;
    } modifiers[] = {
        {SLICE("="), LOCATION_EXACT},
        {SLICE("^~"), LOCATION_PREFIX_FINAL},
        {SLICE("~*"), LOCATION_REGEX},
        {SLICE("~"), LOCATION_REGEX},
    };

    for (size_t i = 0; i < COUNT(modifiers); i++) {
        if (!slice_eq(modifier, modifiers[i].text))
            continue;
        location->kind = modifiers[i].kind;
        location->name = name;
        return true;
    }
    return false;
}

/* "location =/x" without a blank is good too. */
static void take_joined(struct http_location *location, struct slice text)
{
    for (size_t len = 2; len > 0; len--)
        if (text.len > len && take_name(location, slice_head(text, len), slice_skip(text, len)))
            return;
    location->kind = text.len > 0 && text.data[0] == '@' ? LOCATION_NAMED : LOCATION_PREFIX;
    location->name = text;
}

static bool compile_name(struct conf_call *call, struct http_location *location)
{
    struct snapshot *snapshot = call->loader->context;
    bool nocase = conf_arg(call, 1).len > 1 && conf_arg(call, 1).data[1] == '*';
    const char *error = NULL;

    location->regex = regex_compile(snapshot->regexes, location->name, nocase, &error);
    if (location->regex == NULL)
        return conf_error(call, conf_arg_count(call) - 1, "%s", error);
    return true;
}

static bool read_name(struct conf_call *call, struct http_location *location)
{
    if (conf_arg_count(call) == 2)
        take_joined(location, conf_arg(call, 1));
    else if (!take_name(location, conf_arg(call, 1), conf_arg(call, 2)))
        return conf_error(call, 1, "invalid location modifier \"%.*s\"",
                          SLICE_ARG(conf_arg(call, 1)));
    if (location->kind == LOCATION_REGEX)
        return compile_name(call, location);
    return true;
}

/* What nginx refuses about a location inside another one. */
static bool check_place(struct conf_call *call, const struct http_location *location)
{
    const struct http_location *outer = location->parent;
    size_t at = conf_arg_count(call) - 1;

    if (outer == NULL)
        return true;
    if (outer->kind == LOCATION_EXACT || outer->kind == LOCATION_NAMED)
        return conf_error(call, at, "location \"%.*s\" cannot be inside the %s location \"%.*s\"",
                          SLICE_ARG(location->name),
                          outer->kind == LOCATION_EXACT ? "exact" : "named",
                          SLICE_ARG(outer->name));
    if (location->kind == LOCATION_NAMED)
        return conf_error(call, at, "named location \"%.*s\" can be on the server level only",
                          SLICE_ARG(location->name));
    if (location->kind != LOCATION_REGEX && outer->kind != LOCATION_REGEX &&
        !slice_starts(location->name, outer->name))
        return conf_error(call, at, "location \"%.*s\" is outside location \"%.*s\"",
                          SLICE_ARG(location->name), SLICE_ARG(outer->name));
    return true;
}

static bool is_duplicate(struct conf_call *call, const struct http_location *location,
                         const struct http_location *first)
{
    conf_error(call, conf_arg_count(call) - 1, "duplicate location \"%.*s\"",
               SLICE_ARG(location->name));
    conf_hint(call, "it stands at %s:%u already", first->origin.file, first->origin.line);
    return false;
}

static bool add_named(struct conf_call *call, struct http_server *server,
                      struct http_location *location)
{
    const struct http_location *first;

    if (server->named == NULL) {
        server->named = arena_alloc(call->loader->arena, sizeof *server->named);
        if (server->named == NULL)
            return no_memory(call);
        map_init(server->named, call->loader->arena, false);
    }
    first = map_get(server->named, location->name);
    if (first != NULL) { /* nginx says nothing, and takes the first */
        conf_warn(call, 1, "location \"%.*s\" stands at %s:%u already, ignored",
                  SLICE_ARG(location->name), first->origin.file, first->origin.line);
        return true;
    }
    return map_put(server->named, location->name, location, NULL) || no_memory(call);
}

static bool add_location(struct conf_call *call, struct http_server *server,
                         struct http_location *location)
{
    struct http_location *outer = (struct http_location *)(uintptr_t)location->parent;
    struct location_tree **tree = outer != NULL ? &outer->nested : &server->locations;

    if (location->kind == LOCATION_NAMED)
        return add_named(call, server, location);
    if (*tree == NULL && (*tree = location_tree_new(call->loader->arena)) == NULL)
        return no_memory(call);
    const struct http_location *first = location_tree_add(*tree, location);

    if (first == location)
        return no_memory(call);
    return first == NULL || is_duplicate(call, location, first);
}

static bool set_location(struct conf_call *call)
{
    struct http_server *server = conf_server(call);
    struct http_location *location = arena_zalloc(call->loader->arena, sizeof *location);
    struct scope scope;

    assert(server != NULL); /* the table lets a location stand below a server only */
    if (location == NULL)
        return no_memory(call);
    location->server = server;
    location->parent = conf_location(call);
    location->origin = conf_origin(call);
    if (!read_name(call, location) || !check_place(call, location) ||
        !add_location(call, server, location))
        return false;
    bool ok = loader_block(call, CTX_LOCATION, location, &scope);

    location->settings = scope.settings;
    if (location->kind == LOCATION_PREFIX || location->kind == LOCATION_PREFIX_FINAL ||
        location->kind == LOCATION_EXACT)
        location->auto_redirect = location->content.start != NULL && location->name.len > 0 &&
                                  location->name.data[location->name.len - 1] == '/';
    return freeze_locations(call, location->nested) && ok;
}

/* ---- http */

static bool list_servers(struct loader *loader, struct http_draft *draft)
{
    struct http_conf *conf = &draft->conf;
    size_t at = 0;

    conf->servers = arena_alloc(loader->arena, (conf->server_count + 1) * sizeof *conf->servers);
    if (conf->servers == NULL)
        return false;
    for (struct server_draft *server = draft->first; server != NULL; server = server->next)
        conf->servers[at++] = &server->server;
    return true;
}

static bool finish_features(struct loader *loader, struct http_conf *conf)
{
    bool ok = true;

    for (size_t i = 0; i < http_feature_count; i++) {
        struct feature *feature = http_feature_list[i];

        if (feature->finish_http != NULL)
            ok = feature->finish_http(loader, conf) && ok;
    }
    conf->rows = features_in_use(loader);
    return conf->rows != NULL && ok;
}

static bool add_variables(struct conf_call *call)
{
    for (size_t i = 0; i < http_feature_count; i++) {
        const struct feature *feature = http_feature_list[i];

        if (!variables_add_table(call->loader->variables, feature->variables,
                                 feature->variable_count))
            return no_memory(call);
    }
    return true;
}

static bool set_http(struct conf_call *call)
{
    struct snapshot *snapshot = call->loader->context;
    struct http_draft *draft = arena_zalloc(call->loader->arena, sizeof *draft);
    struct scope scope;

    http_features_init();
    if (draft == NULL)
        return no_memory(call);
    draft->conf.snapshot = snapshot;
    draft->last = &draft->first;
    draft->last_listen = &draft->listens;
    map_init(&draft->by_address, call->loader->arena, false);
    snapshot->http = &draft->conf;
    bool ok = loader_block(call, CTX_HTTP, draft, &scope);

    draft->conf.settings = scope.settings;
    ok = list_servers(call->loader, draft) && ok;
    ok = listens_finish(call->loader, draft) && ok;
    return finish_features(call->loader, &draft->conf) && ok;
}

/* Variables exist before the http block is read: `log_format` and `map` name them in any order. */
static bool set_http_block(struct conf_call *call)
{
    return add_variables(call) && set_http(call);
}

const struct listen_spec *http_listen_specs(const struct snapshot *snapshot, size_t *count)
{
    *count = snapshot->http == NULL ? 0 : snapshot->http->spec_count;
    return snapshot->http == NULL ? NULL : snapshot->http->specs;
}

static const struct directive directives[] = {
    {"http", CTX_MAIN, CUSTOM, .block = true, .nests = true, .set = set_http_block,
     .doc = "Everything about HTTP: servers, upstreams, and settings they inherit.",
     .example = "http { server { listen 80; } }"},
    {"server", CTX_HTTP, CUSTOM, .block = true, .nests = true, .repeatable = true,
     .set = set_server,
     .doc = "A virtual server: which one a request gets depends on the address it came to and on "
            "the host it asks for.",
     .example = "server { listen 80; server_name example.com; root /srv/www; }"},
    {"location", CTX_SERVER | CTX_LOCATION, CUSTOM, .block = true, .nests = true,
     .repeatable = true, .args_min = 1, .args_max = 2, .set = set_location,
     .doc =
         "Settings for a part of a server's paths. \"= /x\" is exactly that path; \"/x\" is what "
         "begins with it, the longest wins; \"^~ /x\" the same and no regular expression is "
         "tried; \"~ re\" and \"~* re\" (either case) are tried in the order of the file; "
         "\"@name\" is for error_page and try_files.",
     .example = "location /api/ { proxy_pass http://app; }"},
    {"listen", CTX_SERVER, CUSTOM, .repeatable = true, .args_min = 1, .args_max = 255,
     .set = conf_set_listen,
     .doc = "Address and port, or unix:/path, to accept connections on, and options of the socket.",
     .example = "listen 80 default_server;"},
    {"server_name", CTX_SERVER, CUSTOM, .repeatable = true, .args_min = 1, .args_max = 255,
     .set = conf_set_server_name,
     .doc = "Host names of the server: exact, with a \"*\" as first or last label, or a regular "
            "expression after \"~\".",
     .example = "server_name example.com *.example.com ~^app\\d+\\.example\\.net$;"},
};

struct feature http_structure_feature = {
    .conf = {.name = "http_core", .directives = directives, .directive_count = COUNT(directives)},
};
