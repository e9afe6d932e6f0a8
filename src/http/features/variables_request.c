/* Variables about the request, as in nginx's ngx_http_variables.c: its line, URI, arguments,
 * headers, cookies and body. Runs in: worker, loop thread. */
#include "base/arena.h"
#include "event/address.h"
#include "http/body.h"
#include "http/conf.h"
#include "http/features/basic_auth.h"
#include "http/features/lookup.h"
#include "http/features/variable_text.h"

#include <sys/random.h>

/* A slice kept in struct exchange: `data` is its offset. */
static bool get_slice(struct subject *subject, const struct variable *v, struct slice *text)
{
    const char *base = (const char *)exchange_of(subject);

    *text = *(const struct slice *)(const void *)(base + v->data);
    return text->data != NULL;
}

/* A slice that reads as empty rather than as missing. */
static bool get_present(struct subject *subject, const struct variable *v, struct slice *text)
{
    if (!get_slice(subject, v, text))
        *text = slice_make("", 0);
    return true;
}

/* Missing without a '?', empty with nothing behind it. */
static bool get_args(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    *text = exchange_of(subject)->request.args;
    return text->data != NULL;
}

static bool set_args(struct subject *subject, const struct variable *v, struct slice text)
{
    (void)v;
    exchange_of(subject)->request.args = text;
    exchange_of(subject)->request.uri_moved = true;
    return true;
}

static bool get_is_args(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    *text = slice_of(exchange_of(subject)->request.args.len > 0 ? "?" : "");
    return true;
}

/* A header by its number: the common ones need no search. Several lines are joined. */
static bool get_known(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    const struct header_list *list = x->request.headers;
    uint32_t at = 0;

    if (list == NULL || header_list_next_id(list, (enum header_id)v->data, &at) == NULL)
        return false;
    if (header_list_next_id(list, (enum header_id)v->data, &at) != NULL)
        return text_headers(x, list, slice_skip(v->name, strlen("http_")), text);
    *text = exchange_header(x, (enum header_id)v->data);
    return true;
}

static bool get_single(struct subject *subject, const struct variable *v, struct slice *text)
{
    *text = exchange_header(exchange_of(subject), (enum header_id)v->data);
    return text->data != NULL;
}

static bool get_http(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    return text_headers(x, x->request.headers, slice_skip(v->name, strlen("http_")), text);
}

static bool get_cookie(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct header_list *list = exchange_of(subject)->request.headers;
    struct slice name = slice_skip(v->name, strlen("cookie_"));
    uint32_t at = 0;

    if (list == NULL)
        return false;
    for (const struct header *h; (h = header_list_next_id(list, HEADER_COOKIE, &at)) != NULL;) {
        if (parse_cookie_value(h->value, name, text))
            return true;
    }
    return false;
}

static bool get_arg(struct subject *subject, const struct variable *v, struct slice *text)
{
    return parse_query_value(exchange_of(subject)->request.args,
                             slice_skip(v->name, strlen("arg_")), text);
}

static bool get_host(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct exchange *x = exchange_of(subject);

    (void)v;
    *text = x->request.host;
    if (text->len == 0 && x->server != NULL)
        *text = x->server->name;
    return true;
}

static bool get_server_name(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct exchange *x = exchange_of(subject);

    (void)v;
    *text = x->server == NULL ? slice_make("", 0) : x->server->name;
    return true;
}

/* The port the client believes in: the one it wrote, none if it wrote none. */
static bool get_request_port(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    (void)v;
    return x->request.host_port != 0 && text_decimal(x, x->request.host_port, text);
}

static bool get_is_request_port(struct subject *subject, const struct variable *v,
                                struct slice *text)
{
    (void)v;
    *text = slice_of(exchange_of(subject)->request.host_port != 0 ? ":" : "");
    return true;
}

static bool get_protocol(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    switch (exchange_of(subject)->request.version) {
    case 10:
        *text = slice_of("HTTP/1.0");
        return true;
    case 11:
        *text = slice_of("HTTP/1.1");
        return true;
    case 20:
        *text = slice_of("HTTP/2.0");
        return true;
    case 30:
        *text = slice_of("HTTP/3.0");
        return true;
    default:
        return false;
    }
}

static bool get_remote_user(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    struct basic_credentials credentials;

    (void)v;
    if (!exchange_credentials(x, &credentials))
        return false;
    *text = credentials.user;
    return text->len > 0;
}

static bool get_request_length(struct subject *subject, const struct variable *v,
                               struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    (void)v;
    return text_decimal(x, x->request.head_bytes + x->body.wire_bytes, text);
}

static bool get_request_body(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    (void)v;
    return x->body.complete && x->body.temp_fd < 0 && body_text(x, text);
}

static bool get_request_body_file(struct subject *subject, const struct variable *v,
                                  struct slice *text)
{
    (void)v;
    *text = exchange_of(subject)->body.temp_path;
    return text->len > 0;
}

enum { REQUEST_ID_BYTES = 16, RANDOM_BYTES = 512 };

/* 16 bytes nobody can guess. The kernel is asked once for many of them. */
static bool random_id(unsigned char id[REQUEST_ID_BYTES])
{
    static _Thread_local unsigned char pool[RANDOM_BYTES];
    static _Thread_local size_t left;

    if (left == 0) {
        if (getrandom(pool, sizeof pool, 0) != sizeof pool)
            return false;
        left = sizeof pool;
    }
    left -= REQUEST_ID_BYTES;
    memcpy(id, pool + left, REQUEST_ID_BYTES);
    return true;
}

static bool get_request_id(struct subject *subject, const struct variable *v, struct slice *text)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char id[REQUEST_ID_BYTES];
    char *out = arena_bytes(subject->arena, sizeof id * 2);

    (void)v;
    if (out == NULL || !random_id(id))
        return false;
    for (size_t i = 0; i < sizeof id; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    *text = slice_make(out, sizeof id * 2);
    return true;
}

#define KNOWN(name_, id)                                                                           \
    {                                                                                              \
        .name = SLICE("http_" name_), .get = get_known, .data = HEADER_##id                        \
    }
#define FIELD(name_, get_, member, flags_)                                                         \
    {                                                                                              \
        .name = SLICE(name_), .get = get_, .data = offsetof(struct exchange, member),              \
        .flags = flags_                                                                            \
    }

static const struct variable variables[] = {
    KNOWN("host", HOST),
    KNOWN("user_agent", USER_AGENT),
    KNOWN("referer", REFERER),
    KNOWN("via", VIA),
    KNOWN("x_forwarded_for", X_FORWARDED_FOR),
    KNOWN("cookie", COOKIE),
    KNOWN("upgrade", UPGRADE),
    KNOWN("origin", ORIGIN),
    KNOWN("accept_encoding", ACCEPT_ENCODING),
    FIELD("request", get_slice, request.line, 0),
    FIELD("request_method", get_slice, request.method_name,
          VARIABLE_VOLATILE), /* an error page is asked for with GET */
    FIELD("request_uri", get_slice, request.target, 0),
    FIELD("uri", get_present, request.uri, VARIABLE_VOLATILE),
    FIELD("document_uri", get_present, request.uri, VARIABLE_VOLATILE),
    {.name = SLICE("content_length"), .get = get_single, .data = HEADER_CONTENT_LENGTH},
    {.name = SLICE("content_type"), .get = get_single, .data = HEADER_CONTENT_TYPE},
    {.name = SLICE("args"),
     .get = get_args,
     .assign = set_args,
     .flags = VARIABLE_VOLATILE | VARIABLE_CHANGEABLE},
    {.name = SLICE("query_string"), .get = get_args, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("is_args"), .get = get_is_args, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("host"), .get = get_host, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("server_name"), .get = get_server_name, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("request_port"), .get = get_request_port},
    {.name = SLICE("is_request_port"), .get = get_is_request_port},
    {.name = SLICE("server_protocol"), .get = get_protocol},
    {.name = SLICE("remote_user"), .get = get_remote_user},
    {.name = SLICE("request_length"), .get = get_request_length, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("request_body"), .get = get_request_body, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("request_body_file"), .get = get_request_body_file, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("request_id"), .get = get_request_id},
    {.name = SLICE("http_"), .get = get_http, .flags = VARIABLE_PREFIX},
    {.name = SLICE("cookie_"), .get = get_cookie, .flags = VARIABLE_PREFIX},
    {.name = SLICE("arg_"), .get = get_arg, .flags = VARIABLE_PREFIX | VARIABLE_VOLATILE},
};

struct feature variables_request_feature = {
    .conf = {.name = "http_variables_request"},
    .variables = variables,
    .variable_count = COUNT(variables),
};
