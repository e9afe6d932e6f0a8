/* proxy_*: requests passed on to HTTP servers. The rows; what they do is in proxy_*.c and in
 * relay/. Runs in: load: any. */
#include "base/list.h"
#include "config/loader.h"
#include "http/features/proxy_internal.h"
#include "http/relay/settings.h"

#define T struct proxy_conf

static bool set_version(struct conf_call *call)
{
    struct proxy_conf *conf = call->conf;
    struct slice text = conf_arg(call, 1);

    if (slice_eq(text, slice_of("2")) || slice_eq(text, slice_of("2.0")))
        conf->http_version = 20;
    else if (slice_eq(text, slice_of("1.1")))
        conf->http_version = 11;
    else if (slice_eq(text, slice_of("1.0")))
        conf->http_version = 10;
    else
        return conf_error(call, 1, "invalid value \"%.*s\": \"1.0\", \"1.1\" or \"2\"",
                          SLICE_ARG(text));
    return true;
}

static const struct directive directives[] = {
    RELAY_ROWS("proxy", T),
    {"proxy_method", CTX_HTTP_ALL, TEMPLATE(T, method),
     .doc = "The method of requests to peers, instead of the client's.",
     .example = "proxy_method GET;"},
    {"proxy_set_body", CTX_HTTP_ALL, TEMPLATE(T, body),
     .doc = "The body of requests to peers, instead of the client's.",
     .example = "proxy_set_body $request_id;"},
    {"proxy_http_version", CTX_HTTP_ALL, CUSTOM, .def = "1.1", .args_min = 1, .args_max = 1,
     .set = set_version,
     .doc = "The version of HTTP spoken to peers: 1.0, 1.1 or 2. With 2, requests share few "
            "connections; peers of https:// may choose 1.1 (ALPN), those of http:// must "
            "know beforehand.",
     .example = "proxy_http_version 2;"},
    {"proxy_redirect", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 2, .repeatable = true,
     .set = proxy_set_redirect,
     .doc = "Replaces the beginning (or a regular expression's match) of the Location and Refresh "
            "fields of answers. Without any, or with default: the URL of proxy_pass by the "
            "location's name.",
     .example = "proxy_redirect http://backend:8000/ /;"},
    {"proxy_cookie_domain", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 2, .repeatable = true,
     .set = proxy_set_cookie_domain, .doc = "Replaces the Domain of cookies that answers set.",
     .example = "proxy_cookie_domain localhost example.org;"},
    {"proxy_cookie_path", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 2, .repeatable = true,
     .set = proxy_set_cookie_path,
     .doc = "Replaces the beginning of the Path of cookies that answers set.",
     .example = "proxy_cookie_path /two/ /;"},
    {"proxy_cookie_flags", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 8, .repeatable = true,
     .set = proxy_set_cookie_flags,
     .doc = "Adds flags to a cookie that answers set, or takes them away: secure, httponly, "
            "samesite=strict|lax|none, nosecure, nohttponly, nosamesite.",
     .example = "proxy_cookie_flags session secure samesite=lax;"},
    {"proxy_pass_trailers", CTX_HTTP_ALL, FLAG(T, relay.pass_trailers), .def = "off",
     .doc = "Whether trailer fields of answers are passed to the client."},
    {"proxy_store", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 1, .set = proxy_set_store,
     .doc = "Keeps a copy of answers with status 200 as files: on (below root), off, or a path "
            "with variables.",
     .example = "proxy_store /data/www$uri;"},
    {"proxy_store_access", CTX_HTTP_ALL, CUSTOM, .def = "user:rw", .args_min = 1, .args_max = 3,
     .set = proxy_set_store_access, .doc = "Permissions of files and folders made by proxy_store.",
     .example = "proxy_store_access user:rw group:rw all:r;"},
    {"proxy_headers_hash_max_size", CTX_HTTP_ALL, NOTHING, .def = "512", .args_min = 1,
     .args_max = 1, .quiet = true, .noop = "headers are found by a perfect hash of fixed size",
     .doc = "Accepted; the table needs no tuning."},
    {"proxy_headers_hash_bucket_size", CTX_HTTP_ALL, NOTHING, .def = "64", .args_min = 1,
     .args_max = 1, .quiet = true, .noop = "headers are found by a perfect hash of fixed size",
     .doc = "Accepted; the table needs no tuning."},
};

static bool finish(struct loader *loader, struct scope *scope, void *settings)
{
    struct proxy_conf *conf = settings;

    if (scope->parent == NULL) /* nobody has said anything yet */
        conf->redirect_default = true;
    return relay_conf_finish(loader, scope, &conf->relay, "proxy");
}

struct feature http_proxy_feature = {
    .conf = {.name = "http_proxy",
             .conf_bytes = sizeof(struct proxy_conf),
             .directives = directives,
             .directive_count = COUNT(directives),
             .finish = finish},
    .variables = proxy_variables,
    .variable_count = PROXY_VARIABLE_COUNT,
};

static const struct directive pass_directives[] = {
    {"proxy_pass", CTX_LOCATION | CTX_LOCATION_IF | CTX_LIMIT_EXCEPT, CUSTOM, .args_min = 1,
     .args_max = 1, .set = proxy_set_pass,
     .doc =
         "Where requests are passed on to: http(s)://HOST[:PORT][URI], http(s)://UPSTREAM[URI], or "
         "http(s)://unix:/PATH[:URI]; may have variables. With a URI, the part of the path that "
         "the location matched is replaced by it; without one, the path is passed on as it "
         "came.",
     .example = "location /api/ { proxy_pass http://app; }"},
};

/* A feature without settings of its own: what proxy_pass says is kept with the location, so that
 * one that only names its peer copies no settings. */
struct feature http_proxy_pass_feature = {
    .conf = {.name = "http_proxy",
             .directives = pass_directives,
             .directive_count = COUNT(pass_directives)},
};
