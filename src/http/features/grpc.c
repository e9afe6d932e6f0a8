/* grpc_*: requests passed on to servers of gRPC. The rows; what they do is what proxy_pass does,
 * over HTTP/2 only, with bodies and trailers that go by as they come. Runs in: load: any. */
#include "base/list.h"
#include "config/loader.h"
#include "http/features/proxy_internal.h"
#include "http/features/proxy_ssl.h"
#include "http/relay/settings.h"

#define T struct proxy_conf

enum { WAITING_BUFFERS = 8 }; /* of grpc_buffer_size: what may wait for the client */

static const struct directive directives[] = {
    RELAY_COMMON_ROWS("grpc", T),
};

/* What gRPC leaves no choice about. */
static void set_fixed(struct relay_conf *conf)
{
    conf->buffering = false;
    conf->request_buffering = false;
    conf->pass_request_headers = true;
    conf->pass_request_body = true;
    conf->pass_trailers = true;
    conf->buffers = (struct conf_buffers){.count = WAITING_BUFFERS, .bytes = conf->buffer_size};
}

static bool finish(struct loader *loader, struct scope *scope, void *settings)
{
    struct proxy_conf *conf = settings;

    conf->http_version = 20;
    set_fixed(&conf->relay);
    return relay_conf_finish(loader, scope, &conf->relay, "grpc");
}

static const struct relay_hooks hooks = {.make_head = proxy_make_head};

const struct proxy_kind grpc_kind = {
    .directive = "grpc_pass",
    .plain = "grpc://",
    .secure = "grpcs://",
    .bare = true,
    .feature = &http_grpc_feature,
    .ssl = &grpc_ssl_feature,
    .headers = &http_grpc_headers_feature,
    .hooks = &hooks,
};

struct feature http_grpc_feature = {
    .conf = {.name = "http_grpc",
             .conf_bytes = sizeof(struct proxy_conf),
             .directives = directives,
             .directive_count = COUNT(directives),
             .finish = finish},
};

static const struct directive header_directives[] = {
    {"grpc_set_header", CTX_HTTP_ALL, CUSTOM, .args_min = 2, .args_max = 2, .repeatable = true,
     .set = proxy_set_set_header,
     .doc =
         "A header field (metadata) of the request to the peer, instead of the client's; an empty "
         "value drops it. Inherited only where none is given. Without any, the authority is the "
         "host of grpc_pass.",
     .example = "grpc_set_header Host $host;"},
};

struct feature http_grpc_headers_feature = {
    .conf = {.name = "http_grpc",
             .conf_bytes = sizeof(struct proxy_headers_conf),
             .directives = header_directives,
             .directive_count = COUNT(header_directives),
             .finish = proxy_finish_headers},
};

static const struct directive pass_directives[] = {
    {"grpc_pass", CTX_LOCATION | CTX_LOCATION_IF, CUSTOM, .args_min = 1, .args_max = 1,
     .set = grpc_set_pass,
     .doc =
         "The server of gRPC that requests are passed on to: grpc(s)://HOST[:PORT], "
         "grpc(s)://UPSTREAM, unix:/PATH; the scheme may be left out, and there may be variables. "
         "Messages go by in both directions as they come.",
     .example = "location /helloworld.Greeter { grpc_pass grpc://app; }"},
};

/* Kept with the location, as what proxy_pass says. */
struct feature http_grpc_pass_feature = {
    .conf = {.name = "http_grpc",
             .directives = pass_directives,
             .directive_count = COUNT(pass_directives)},
};
