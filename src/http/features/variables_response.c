/* Variables about the response, as in nginx's ngx_http_variables.c: status, sizes, headers,
 * trailers. Runs in: worker, loop thread. */
#include "base/arena.h"
#include "base/clock.h"
#include "event/loop.h"
#include "http/feature.h"
#include "http/features/response_facts.h"
#include "http/features/variable_text.h"

#include <inttypes.h>

unsigned response_final_status(const struct exchange *x)
{
    if (x->response.status != 0)
        return (unsigned)x->response.status;
    if (x->error_status != 0)
        return (unsigned)x->error_status;
    return x->request.version == 9 ? 9 : 0;
}

static bool get_status(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    *text = arena_printf(subject->arena, "%03u", response_final_status(exchange_of(subject)));
    return text->data != NULL;
}

static bool get_bytes_sent(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    (void)v;
    return text_decimal(x, x->response.bytes_sent, text);
}

static bool get_body_bytes_sent(struct subject *subject, const struct variable *v,
                                struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    (void)v;
    return text_decimal(x, x->response.body_bytes_sent, text);
}

static bool get_completion(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct exchange *x = exchange_of(subject);

    (void)v;
    *text = slice_of(x->response.ended && x->response.queued_bytes == 0 ? "OK" : "");
    return true;
}

static bool get_request_time(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    (void)v;
    return text_seconds(x, loop_now_ms(x->loop) - x->start_ms, text);
}

static bool get_sent(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    return text_headers(x, &x->response.headers, slice_skip(v->name, strlen("sent_http_")), text);
}

static bool get_sent_type(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct response *response = &exchange_of(subject)->response;

    if (response->content_type.len == 0)
        return get_sent(subject, v, text);
    *text = response->content_type;
    if (response->charset.len > 0)
        *text = arena_printf(subject->arena, "%.*s; charset=%.*s",
                             SLICE_ARG(response->content_type), SLICE_ARG(response->charset));
    return text->data != NULL;
}

static bool get_sent_length(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    if (x->response.content_length < 0)
        return get_sent(subject, v, text);
    return text_decimal(x, (uint64_t)x->response.content_length, text);
}

static bool get_sent_location(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct exchange *x = exchange_of(subject);

    if (x->response.location.len == 0)
        return get_sent(subject, v, text);
    *text = x->response.location;
    return true;
}

static bool get_sent_modified(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct exchange *x = exchange_of(subject);
    char date[30];

    if (x->response.last_modified < 0)
        return get_sent(subject, v, text);
    clock_http_date(x->response.last_modified, date);
    *text = arena_copy(subject->arena, slice_of(date));
    return text->data != NULL;
}

static bool get_sent_connection(struct subject *subject, const struct variable *v,
                                struct slice *text)
{
    const struct exchange *x = exchange_of(subject);

    (void)v;
    if (x->response.status == 101)
        *text = slice_of("upgrade");
    else
        *text = slice_of(x->flags & X_CLOSE_AFTER ? "close" : "keep-alive");
    return x->response.begun;
}

static bool get_sent_coding(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct exchange *x = exchange_of(subject);

    (void)v;
    *text = slice_of("chunked");
    return x->response.begun && x->response.content_length < 0 && !x->response.no_body &&
           x->request.version == 11 && x->response.chunked_allowed;
}

static bool get_sent_trailer(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    return text_headers(x, &x->response.trailers, slice_skip(v->name, strlen("sent_trailer_")),
                        text);
}

#define SENT(name_, get_)                                                                          \
    {                                                                                              \
        .name = SLICE("sent_http_" name_), .get = get_, .flags = VARIABLE_VOLATILE                 \
    }
#define FINAL(name_, get_)                                                                         \
    {                                                                                              \
        .name = SLICE(name_), .get = get_, .flags = VARIABLE_VOLATILE                              \
    }

static const struct variable variables[] = {
    FINAL("status", get_status),
    FINAL("bytes_sent", get_bytes_sent),
    FINAL("body_bytes_sent", get_body_bytes_sent),
    FINAL("request_completion", get_completion),
    FINAL("request_time", get_request_time),
    SENT("content_type", get_sent_type),
    SENT("content_length", get_sent_length),
    SENT("location", get_sent_location),
    SENT("last_modified", get_sent_modified),
    SENT("connection", get_sent_connection),
    SENT("transfer_encoding", get_sent_coding),
    {.name = SLICE("sent_http_"), .get = get_sent, .flags = VARIABLE_PREFIX | VARIABLE_VOLATILE},
    {.name = SLICE("sent_trailer_"),
     .get = get_sent_trailer,
     .flags = VARIABLE_PREFIX | VARIABLE_VOLATILE},
};

struct feature variables_response_feature = {
    .conf = {.name = "http_variables_response"},
    .variables = variables,
    .variable_count = COUNT(variables),
};
