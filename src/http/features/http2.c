/* HTTP/2: directives and $http2. The protocol itself is in http/h2/.
 * Runs in: worker, loop thread; any process at load time. */
#include "http/features/http2.h"

#include "base/list.h"
#include "http/conf.h"

bool http2_wanted(const struct http_listen *listen, const struct http_server *server)
{
    const struct http2_conf *conf = server == NULL
                                        ? NULL
                                        : settings_at(server->settings, http2_feature.index);

    return listen->http2 || (conf != NULL && conf->on);
}

static bool get_http2(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct exchange *x = exchange_of(subject);

    (void)v;
    if (x->request.version != 20)
        *text = slice_of("");
    else
        *text = exchange_is_secure(x) ? slice_of("h2") : slice_of("h2c");
    return true;
}

static const struct variable variables[] = {{.name = SLICE("http2"), .get = get_http2}};

#define SERVER_LEVEL (CTX_HTTP | CTX_SERVER)
#define PUSH "server push has left browsers, and nginx; Link fields and 103 do its work"
#define IDLE "keepalive_timeout rules here, as in nginx since 1.19.7"
#define HEADS "large_client_header_buffers rules here, as in nginx since 1.19.7"
#define T struct http2_conf

static const struct directive directives[] = {
    {"http2", SERVER_LEVEL, FLAG(T, on), .def = "off",
     .doc = "Speak HTTP/2: over TLS to clients that offer it, in clear text to those that know "
            "beforehand (there the default server's setting counts)."},
    {"http2_max_concurrent_streams", SERVER_LEVEL, INT(T, max_concurrent_streams), .def = "128",
     .min = 1, .max = 65535, .doc = "How many requests of one connection run at once."},
    {"http2_chunk_size", CTX_HTTP_ALL, BYTES(T, chunk_size), .def = "16k", .min = 1,
     .max = 16 * 1024 * 1024,
     .doc = "The largest piece of an answer in one frame: smaller ones let urgent answers in "
            "between sooner. Above what the client takes (usually 16k) it has no effect."},
    {"http2_body_preread_size", SERVER_LEVEL, BYTES(T, body_preread_size), .def = "64k",
     .max = 16 * 1024 * 1024,
     .doc = "How much of a request's body may arrive and wait until it is taken: the window of "
            "each stream. A larger one makes uploads over long distances faster."},
    {"http2_recv_buffer_size", CTX_HTTP, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .def = "256k", .noop = "buffers come from a pool, and go back when they are empty",
     .doc = "Without effect: there is no such buffer."},
    {"http2_idle_timeout", SERVER_LEVEL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .def = "3m", .noop = IDLE, .doc = "Without effect: see keepalive_timeout."},
    {"http2_recv_timeout", SERVER_LEVEL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .def = "30s", .noop = "client_header_timeout rules here, as in nginx since 1.19.7",
     .doc = "Without effect: see client_header_timeout."},
    {"http2_max_requests", SERVER_LEVEL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .def = "1000", .noop = "keepalive_requests rules here, as in nginx since 1.19.7",
     .doc = "Without effect: see keepalive_requests."},
    {"http2_max_field_size", SERVER_LEVEL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .def = "4k", .noop = HEADS, .doc = "Without effect: see large_client_header_buffers."},
    {"http2_max_header_size", SERVER_LEVEL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .def = "16k", .noop = HEADS, .doc = "Without effect: see large_client_header_buffers."},
    {"http2_max_concurrent_pushes", SERVER_LEVEL, NOTHING, .args_min = 1, .args_max = 1,
     .quiet = true, .def = "10", .noop = PUSH, .doc = "Without effect: nothing is pushed."},
    {"http2_push", CTX_HTTP_ALL, NOTHING, .args_min = 1, .args_max = 1, .repeatable = true,
     .quiet = true, .def = "off", .noop = PUSH, .doc = "Without effect: nothing is pushed."},
    {"http2_push_preload", CTX_HTTP_ALL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .def = "off", .noop = PUSH, .doc = "Without effect: nothing is pushed."},
    {"http2_pool_size", SERVER_LEVEL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .def = "4k", .noop = "memory is sized by itself", .doc = "Without effect."},
    {"http2_streams_index_size", SERVER_LEVEL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .def = "32", .noop = "tables are sized by themselves", .doc = "Without effect."},
};

struct feature http2_feature = {
    .conf = {.name = "http_v2",
             .conf_bytes = sizeof(T),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .variables = variables,
    .variable_count = COUNT(variables),
    .on_loop_end = h2_loop_free,
};
