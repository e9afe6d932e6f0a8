/* $upstream_*: what became of a request at its peers, whichever feature relayed it. Runs in:
 * worker, loop thread. */
#include "base/arena.h"
#include "base/list.h"
#include "http/feature.h"
#include "http/features/variable_text.h"
#include "http/relay/relay.h"
#include "http/relay/tries.h"

extern struct feature http_upstream_feature;

static bool get_fact(struct subject *subject, const struct variable *v, struct slice *text)
{
    return tries_text(exchange_of(subject), (enum try_fact)v->data, text);
}

static bool get_header(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    const struct tries *tries = x->upstream_state;
    struct slice name = slice_skip(v->name, strlen("upstream_http_"));

    return tries != NULL && tries->headers != NULL && text_headers(x, tries->headers, name, text);
}

static bool get_trailer(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    const struct tries *tries = x->upstream_state;
    struct slice name = slice_skip(v->name, strlen("upstream_trailer_"));

    return tries != NULL && tries->trailers != NULL && text_headers(x, tries->trailers, name, text);
}

/* The value of the cookie the answer sets under that name: up to the first semicolon. */
static bool get_cookie(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct tries *tries = exchange_of(subject)->upstream_state;
    struct slice name = slice_skip(v->name, strlen("upstream_cookie_"));
    const struct header *field;
    uint32_t at = 0;

    if (tries == NULL || tries->headers == NULL)
        return false;
    while ((field = header_list_next_id(tries->headers, HEADER_SET_COOKIE, &at)) != NULL) {
        struct slice value = field->value;
        ptrdiff_t equals = slice_find(value, '=');
        ptrdiff_t end;

        if (equals < 0 || !slice_eq(slice_head(value, (size_t)equals), name))
            continue;
        value = slice_skip(value, (size_t)equals + 1);
        end = slice_find(value, ';');
        *text = slice_trim(end < 0 ? value : slice_head(value, (size_t)end));
        return true;
    }
    return false;
}

/* Known so that log formats that name them load; there is no cache whose business they were. */
static bool get_nothing(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)subject;
    (void)v;
    *text = slice_make(NULL, 0);
    return false;
}

#define FACT(text, fact)                                                                           \
    {                                                                                              \
        .name = SLICE(text), .get = get_fact, .data = fact, .flags = VARIABLE_VOLATILE             \
    }

static const struct variable variables[] = {
    FACT("upstream_addr", TRY_ADDR),
    FACT("upstream_status", TRY_STATUS),
    FACT("upstream_connect_time", TRY_CONNECT_TIME),
    FACT("upstream_header_time", TRY_HEADER_TIME),
    FACT("upstream_response_time", TRY_RESPONSE_TIME),
    FACT("upstream_response_length", TRY_RESPONSE_LENGTH),
    FACT("upstream_bytes_received", TRY_BYTES_RECEIVED),
    FACT("upstream_bytes_sent", TRY_BYTES_SENT),
    {.name = SLICE("upstream_http_"),
     .get = get_header,
     .flags = VARIABLE_PREFIX | VARIABLE_VOLATILE},
    {.name = SLICE("upstream_trailer_"),
     .get = get_trailer,
     .flags = VARIABLE_PREFIX | VARIABLE_VOLATILE},
    {.name = SLICE("upstream_cookie_"),
     .get = get_cookie,
     .flags = VARIABLE_PREFIX | VARIABLE_VOLATILE},
    {.name = SLICE("upstream_cache_status"), .get = get_nothing},
    {.name = SLICE("upstream_cache_last_modified"), .get = get_nothing},
    {.name = SLICE("upstream_cache_etag"), .get = get_nothing},
};

struct feature http_upstream_feature = {
    .conf = {.name = "http_upstream"},
    .variables = variables,
    .variable_count = COUNT(variables),
    .on_loop_end = relay_loop_end,
};
