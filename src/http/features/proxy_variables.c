/* $proxy_host and its kin. Runs in: worker, loop thread. */
#include "base/arena.h"
#include "event/address.h"
#include "http/features/proxy_internal.h"
#include "http/features/variable_text.h"

/* What the exchange's proxy_pass names; NULL: it has none. */
static const struct proxy_url *url_of(struct subject *subject)
{
    struct exchange *x = exchange_of(subject);
    const struct proxy_state *state = exchange_slot_used(x, &http_proxy_feature);

    if (state != NULL && state->pass != NULL)
        return &state->url;
    const struct proxy_pass *pass = proxy_pass_of(x);

    return pass == NULL || pass->variable_url != NULL ? NULL : &pass->url;
}

static bool get_host(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct proxy_url *url = url_of(subject);

    (void)v;
    *text = url == NULL ? slice_make(NULL, 0) : url->host_header;
    return url != NULL;
}

static bool get_port(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct proxy_url *url = url_of(subject);

    (void)v;
    *text = url == NULL ? slice_make(NULL, 0) : url->port;
    return url != NULL && text->len > 0;
}

/* "what the client sent, own word", or the own word alone. */
static bool append_to(struct exchange *x, const char *name, struct slice own, struct slice *text)
{
    struct slice before;

    if (!text_headers(x, x->request.headers, slice_of(name), &before) || before.len == 0) {
        *text = arena_copy(x->subject.arena, own);
        return text->data != NULL;
    }
    *text = arena_printf(x->subject.arena, "%.*s, %.*s", SLICE_ARG(before), SLICE_ARG(own));
    return text->data != NULL;
}

static bool get_forwarded(struct subject *subject, const struct variable *v, struct slice *text)
{
    char address[ADDRESS_TEXT_BYTES];
    size_t len = subject->client == NULL ? 0 : address_host_text(subject->client, address);

    (void)v;
    return append_to(exchange_of(subject), "x_forwarded_for", slice_make(address, len), text);
}

/* RFC 9110, 7.6.3: the protocol the request came with, and who passed it on. */
static bool get_via(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    unsigned version = x->request.version;
    struct slice own = arena_printf(subject->arena, "%u.%u pelayan", version / 10, version % 10);

    (void)v;
    return own.data != NULL && append_to(x, "via", own, text);
}

const struct variable proxy_variables[PROXY_VARIABLE_COUNT] = {
    {.name = SLICE("proxy_host"), .get = get_host, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("proxy_port"), .get = get_port, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("proxy_add_x_forwarded_for"), .get = get_forwarded, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("proxy_add_via"), .get = get_via, .flags = VARIABLE_VOLATILE},
};
