/* proxy_pass: which upstream, and which path and arguments it is asked for.
 * Runs in: load: any; the rest: worker, loop thread. */
#include "balance/balance.h"
#include "balance/roster.h"
#include "balance/upstream.h"
#include "base/arena.h"
#include "config/loader.h"
#include "config/snapshot.h"
#include "event/address.h"
#include "http/conf.h"
#include "http/core_conf.h"
#include "http/features/proxy_internal.h"
#include "http/features/proxy_ssl.h"
#include "http/uri.h"

#include <assert.h>
#include <stdio.h>

enum { DEFAULT_PORT = 80, SECURE_PORT = 443 };

/* ---- URLs */

static bool take_scheme(const struct proxy_kind *kind, struct slice *text, bool *tls)
{
    struct slice plain = slice_of(kind->plain);
    struct slice secure = slice_of(kind->secure);

    *tls = slice_eq_nocase(slice_head(*text, secure.len), secure);
    if (!*tls && !slice_eq_nocase(slice_head(*text, plain.len), plain))
        return kind->bare;
    *text = slice_skip(*text, *tls ? secure.len : plain.len);
    return true;
}

static bool parse_unix(struct slice text, struct proxy_url *url, const char **error)
{
    struct slice path = slice_skip(text, strlen("unix:"));
    ptrdiff_t colon = slice_find(path, ':');

    if (colon >= 0) {
        url->uri = slice_skip(path, (size_t)colon + 1);
        path = slice_head(path, (size_t)colon);
    }
    url->authority = slice_head(text, strlen("unix:") + path.len);
    url->host_header = slice_of("localhost");
    if (path.len == 0)
        *error = "no path in the unix domain socket";
    return path.len > 0;
}

/* Where the authority ends: at the path or the arguments. */
static size_t authority_len(struct slice text)
{
    size_t len = 0;

    while (len < text.len && text.data[len] != '/' && text.data[len] != '?')
        len++;
    return len;
}

/* Where ":port" begins, not mistaken for a colon of an IPv6 address; or the end. */
static size_t port_start(struct slice authority)
{
    size_t at = authority.len;

    while (at > 0 && authority.data[at - 1] != ':' && authority.data[at - 1] != ']')
        at--;
    return at > 0 && authority.data[at - 1] == ':' ? at - 1 : authority.len;
}

bool proxy_parse_url(struct slice text, const struct proxy_kind *kind, struct proxy_url *url,
                     const char **error)
{
    uint64_t port;

    *url = (struct proxy_url){.port_number = DEFAULT_PORT};
    if (!take_scheme(kind, &text, &url->tls)) {
        *error = "invalid URL prefix";
        return false;
    }
    if (slice_starts(text, slice_of("unix:")))
        return parse_unix(text, url, error);
    url->authority = slice_head(text, authority_len(text));
    url->uri = slice_skip(text, url->authority.len);
    url->name = slice_head(url->authority, port_start(url->authority));
    url->port = slice_skip(url->authority, url->name.len + 1);
    url->host_header = url->authority;
    if (url->name.len == 0) {
        *error = "no host in the URL";
        return false;
    }
    if (url->name.len == url->authority.len) {
        url->port_number = url->tls ? SECURE_PORT : DEFAULT_PORT;
        url->port = slice_of(url->tls ? "443" : "80");
        return true;
    }
    if (!slice_to_u64(url->port, &port) || port == 0 || port > UINT16_MAX) {
        *error = "invalid port in the URL";
        return false;
    }
    url->port_number = (uint16_t)port;
    if (port == (url->tls ? SECURE_PORT : DEFAULT_PORT))
        url->host_header = url->name;
    return true;
}

/* ---- the directive */

struct template *proxy_template(struct conf_call *call, size_t index, struct slice text)
{
    const char *error = NULL;
    struct template *template = template_compile(call->loader->variables, call->loader->arena, text,
                                                 &error);

    if (template == NULL)
        conf_error(call, index, "%s", error == NULL ? "no memory" : error);
    return template;
}

/* Where a part of the URI could not be told apart from what the location matched. */
static bool check_uri_place(struct conf_call *call, const struct http_location *location)
{
    if (location->kind != LOCATION_REGEX && location->kind != LOCATION_NAMED &&
        location->kind != LOCATION_IF)
        return true;
    return conf_error(
        call, 1,
        "\"proxy_pass\" cannot have URI part in location given by regular expression, "
        "or inside named location, or inside \"if\" statement, or inside "
        "\"limit_except\" block");
}

static bool set_fixed(struct conf_call *call, struct proxy_pass *pass,
                      const struct http_location *location)
{
    struct slice text = conf_arg(call, 1);
    const char *error = NULL;

    if (!proxy_parse_url(text, pass->kind, &pass->url, &error))
        return conf_error(call, 1, "%s", error);
    if (pass->url.uri.len > 0 && !pass->kind->takes_uri)
        return conf_error(call, 1, "\"%s\" takes no path: requests keep their own",
                          pass->kind->directive);
    if (pass->url.tls && !proxy_ssl_prepare(call, pass->kind->ssl))
        return false;
    if (pass->url.uri.len > 0 && !check_uri_place(call, location))
        return false;
    pass->upstream = upstream_for(call, 1, pass->url.authority,
                                  pass->url.tls ? SECURE_PORT : DEFAULT_PORT);
    pass->text = text;
    return pass->upstream != NULL;
}

static bool set_variable(struct conf_call *call, struct proxy_pass *pass)
{
    struct slice text = conf_arg(call, 1);

    if (!proxy_ssl_prepare(call, pass->kind->ssl)) /* the scheme may come out of a variable, too */
        return false;
    pass->variable_url = proxy_template(call, 1, text);
    pass->upstreams = upstreams_of(call->loader);
    if (pass->upstreams == NULL)
        return conf_error(call, 1, "no memory");
    return pass->variable_url != NULL;
}

static void start(struct exchange *x, void *data);

static bool set_pass(struct conf_call *call, const struct proxy_kind *kind)
{
    struct http_location *location = conf_location(call);
    struct proxy_pass *pass = arena_zalloc(call->loader->arena, sizeof *pass);
    bool has_variables = slice_find(conf_arg(call, 1), '$') >= 0;

    if (pass == NULL)
        return conf_error(call, 0, "no memory");
    if (location == NULL)
        return conf_error(call, 0, "\"%s\" is not allowed here", kind->directive);
    pass->kind = kind;
    pass->location = location->name;
    if (!(has_variables ? set_variable(call, pass) : set_fixed(call, pass, location)))
        return false;
    location->content = (struct content_handler){
        .name = kind->directive, .start = start, .data = pass};
    return true;
}

bool proxy_set_pass(struct conf_call *call)
{
    return set_pass(call, &proxy_kind);
}

bool grpc_set_pass(struct conf_call *call)
{
    return set_pass(call, &grpc_kind);
}

const struct proxy_pass *proxy_pass_of(const struct exchange *x)
{
    const struct http_location *location = x->location;

    return location != NULL && location->content.start == start ? location->content.data : NULL;
}

/* ---- the URI for the peer */

/* Path and arguments as the client sent them. */
static struct slice target_of(const struct exchange *x)
{
    struct slice target = x->request.target;

    if (target.len > 0 && target.data[0] != '?')
        return target;
    return arena_printf(x->subject.arena, "/%.*s", SLICE_ARG(target));
}

/* "prefix" + the rest of the path, escaped again + "?args". */
static struct slice compose(const struct exchange *x, struct slice prefix, struct slice rest)
{
    struct slice args = x->request.args;
    size_t escapes = x->request.uri_plain ? 0 : uri_escape_count(rest, ESCAPE_PATH);
    size_t room = prefix.len + rest.len + 2 * escapes + 1 + args.len;
    char *out = arena_bytes(x->subject.arena, room + 1);
    size_t len = prefix.len;

    if (out == NULL)
        return slice_make(NULL, 0);
    if (prefix.len > 0)
        memcpy(out, prefix.data, prefix.len);
    if (escapes > 0) {
        len += uri_escape(out + len, rest, ESCAPE_PATH);
    } else if (rest.len > 0) {
        memcpy(out + len, rest.data, rest.len);
        len += rest.len;
    }
    if (args.len > 0) {
        out[len++] = '?';
        memcpy(out + len, args.data, args.len);
        len += args.len;
    }
    return slice_make(out, len);
}

struct slice proxy_request_uri(const struct relay *r)
{
    const struct exchange *x = r->x;
    const struct proxy_state *state = proxy_state_of(r);
    struct slice uri = state->url.uri;
    size_t skip = state->pass->location.len;

    if (uri.len > 0 && uri.data[0] == '?') {
        uri = arena_printf(x->subject.arena, "/%.*s", SLICE_ARG(uri));
        if (uri.data == NULL)
            return uri;
    }
    if (uri.len > 0 && state->pass->variable_url != NULL)
        return uri;
    if (uri.len == 0 && !x->request.uri_moved)
        return target_of(x);
    if (uri.len == 0 || x->request.uri_detached)
        return compose(x, slice_make(NULL, 0), x->request.uri);
    return compose(x, uri, slice_skip(x->request.uri, skip));
}

/* ---- at run time */

static void use(struct relay *r, struct upstream *upstream)
{
    if (upstream == NULL) {
        relay_refuse(r, 500);
        return;
    }
    r->upstream = upstream;
    relay_begin(r);
}

static void use_addresses(struct relay *r, const struct address *addresses, size_t count)
{
    struct proxy_state *state = proxy_state_of(r);
    struct upstream_target target = {
        .name = state->url.authority, .addresses = addresses, .address_count = count};

    use(r, upstream_transient(state->pass->upstreams, relay_arena(r), &target));
}

/* The DNS knows no such name: perhaps an app is called so. */
static bool is_known_app(const struct upstreams *upstreams, struct slice name)
{
    char reason[1];
    enum app_status status;

    if (slice_find(name, ':') >= 0 || slice_find(name, '.') >= 0)
        return false;
    status = roster_status(balance_roster(upstreams->balance), name, reason, sizeof reason);
    return status != APP_UNKNOWN && status != APP_GONE;
}

static void on_lookup(struct relay *r, enum lookup_result result)
{
    struct proxy_state *state = proxy_state_of(r);

    if (result != LOOKUP_DONE && is_known_app(state->pass->upstreams, state->url.authority)) {
        use_addresses(r, NULL, 0);
        return;
    }

    if (result == LOOKUP_DONE) {
        use_addresses(r, state->lookup.addresses, state->lookup.address_count);
        return;
    }
    log_about(&r->x->log, LOG_LEVEL_ERROR, 0, "\"%.*s\" could not be resolved (%s); answering 502",
              SLICE_ARG(state->url.name), state->lookup.error);
    relay_refuse(r, 502);
}

static void on_lookup_done(struct lookup *lookup)
{
    struct proxy_state *state = container_of(lookup, struct proxy_state, lookup);

    if (state->relay != NULL && state->relay->x->handler_data == state->relay)
        on_lookup(state->relay, lookup->address_count > 0 ? LOOKUP_DONE : LOOKUP_FAILED);
}

static void cancel_lookup(void *data)
{
    lookup_cancel(data);
}

static void resolve(struct relay *r)
{
    struct proxy_state *state = proxy_state_of(r);
    struct exchange *x = r->x;
    enum lookup_result result;

    state->lookup = (struct lookup){.name = state->url.name,
                                    .port = state->url.port_number,
                                    .conf = core_of(x)->resolver,
                                    .timeout_ms = core_of(x)->resolver_timeout,
                                    .arena = relay_arena(r),
                                    .on_done = on_lookup_done};
    state->relay = r;
    if (!state->cancels && !arena_on_drop(relay_arena(r), cancel_lookup, &state->lookup)) {
        relay_refuse(r, 500);
        return;
    }
    state->cancels = true;
    x->doing = "resolving the upstream's name";
    result = resolver_lookup(balance_resolver(state->pass->upstreams->balance), x->loop,
                             &state->lookup);
    if (result != LOOKUP_PENDING)
        on_lookup(r, result);
}

void proxy_find_upstream(struct relay *r)
{
    struct proxy_state *state = proxy_state_of(r);
    struct exchange *x = r->x;
    struct upstream *upstream;
    struct address *address;
    struct slice text;
    const char *error = "no memory";

    if (!template_eval(state->pass->variable_url, &x->subject, &text) ||
        !proxy_parse_url(text, state->pass->kind, &state->url, &error) ||
        (state->url.tls && !proxy_ssl_use(r, state->pass->kind->ssl, state->url.name))) {
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "%s in \"%.*s\"; answering 500", error,
                  SLICE_ARG(text));
        relay_refuse(r, 500);
        return;
    }
    upstream = upstream_find(state->pass->upstreams, state->url.authority);
    if (upstream != NULL) {
        use(r, upstream);
        return;
    }
    if (upstreams_has_app(state->pass->upstreams, state->url.authority)) {
        use_addresses(r, NULL, 0);
        return;
    }
    address = arena_zalloc(relay_arena(r), sizeof *address);
    if (address != NULL && address_parse(state->url.authority, state->url.port_number, address) &&
        address->len > 0)
        use_addresses(r, address, 1);
    else
        resolve(r);
}

static const struct relay_hooks hooks = {
    .make_head = proxy_make_head,
    .rewrite = proxy_rewrite,
};

static const struct relay_hooks storing_hooks = {
    .make_head = proxy_make_head,
    .rewrite = proxy_rewrite,
    .on_answer = proxy_store_begin,
    .on_body = proxy_store_bytes,
    .on_end = proxy_store_end,
};

/* Method and body as the settings want them. False: no memory. */
static bool set_request(struct relay *r, const struct proxy_conf *conf)
{
    struct exchange *x = r->x;

    r->method = x->request.method_name;
    r->method_id = x->request.method;
    r->needs_length = conf->http_version < 11;
    if (conf->method != NULL) {
        if (!template_eval(conf->method, &x->subject, &r->method))
            return false;
        r->method_id = method_of(r->method);
    }
    if (conf->body == NULL)
        return true;
    if (!template_eval(conf->body, &x->subject, &r->own_body))
        return false;
    if (r->own_body.data == NULL)
        r->own_body = slice_make("", 0);
    return true;
}

const struct proxy_kind proxy_kind = {
    .directive = "proxy_pass",
    .plain = "http://",
    .secure = "https://",
    .takes_uri = true,
    .feature = &http_proxy_feature,
    .ssl = &proxy_ssl_feature,
    .headers = &http_proxy_headers_feature,
    .hooks = &hooks,
};

static enum relay_version version_of(const struct proxy_pass *pass, const struct proxy_conf *conf)
{
    if (pass->kind == &grpc_kind)
        return RELAY_H2_ONLY;
    return conf->http_version == 20 ? RELAY_H2 : RELAY_H1;
}

static void start(struct exchange *x, void *data)
{
    const struct proxy_pass *pass = data;
    const struct feature *feature = pass->kind->feature;
    const struct proxy_conf *conf = settings_at(x->settings, feature->index);
    struct proxy_state *state = exchange_slot(x, feature, sizeof *state);
    struct relay_start begin = {.conf = &conf->relay,
                                .codec = &upstream_h1,
                                .hooks = conf->store_on ? &storing_hooks : pass->kind->hooks,
                                .feature = feature,
                                .feature_state = state};
    struct relay *r;

    if (state == NULL) {
        exchange_fail_now(x, 500);
        return;
    }
    r = relay_new(x, &begin);
    if (r == NULL)
        return;
    state->conf = conf;
    state->pass = pass;
    state->url = pass->url;
    r->h2 = version_of(pass, conf);
    bool secure = pass->upstream != NULL && state->url.tls;

    if (!set_request(r, conf) || (secure && !proxy_ssl_use(r, pass->kind->ssl, state->url.name)))
        relay_refuse(r, 500);
    else if (pass->upstream == NULL)
        proxy_find_upstream(r);
    else
        use(r, pass->upstream);
}
