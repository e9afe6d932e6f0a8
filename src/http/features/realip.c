/* The client's address as proxies in front of us tell it. Runs in: load: any; run: worker, loop
 * thread. */
#include "base/arena.h"
#include "config/loader.h"
#include "http/feature.h"
#include "http/features/variable_text.h"
#include "http/proxy_protocol.h"
#include "policy/forwarded.h"

#include <netdb.h>

struct realip_conf {
    const struct realip_conf
        *self; /* whose list `trusted` is: a copy made for a block inside differs */
    struct access_rules trusted;
    struct slice header; /* as a variable's name: lower case, '_' for '-' */
    bool proxy_protocol;
    bool recursive;
};

/* What an exchange remembers: the address that really connected. */
struct realip_state {
    const struct address *connected; /* NULL: not replaced */
};

extern struct feature realip_feature;

/* ---- loading */

/* The call's two words, to be changed. */
static struct node *copy_node(const struct conf_call *call)
{
    size_t bytes = sizeof(struct node) + 2 * sizeof(struct word);
    struct node *node = arena_alloc(call->loader->scratch, bytes);

    return node == NULL ? NULL : memcpy(node, call->node, bytes);
}

static bool add_host(struct conf_call *call, struct access_rules *trusted)
{
    struct slice name = arena_copy(call->loader->scratch, conf_arg(call, 1));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    bool added = true;

    if (name.data == NULL || getaddrinfo(name.data, NULL, &hints, &found) != 0)
        return conf_error(call, 1, "host not found in set_real_ip_from \"%.*s\"",
                          SLICE_ARG(conf_arg(call, 1)));
    for (const struct addrinfo *it = found; it != NULL && added; it = it->ai_next) {
        struct address address = {.len = it->ai_addrlen};
        char text[ADDRESS_TEXT_BYTES];
        struct conf_call one = *call;
        struct node *node = copy_node(call);

        memcpy(&address.any, it->ai_addr, it->ai_addrlen);
        if (node != NULL)
            node->words[1] = word_make(slice_make(text, address_host_text(&address, text)));
        one.node = node;
        added = node != NULL && access_rules_add(&one, trusted, false);
    }
    freeaddrinfo(found);
    return added;
}

static bool set_from(struct conf_call *call)
{
    struct realip_conf *conf = call->conf;
    struct address_block block;
    bool host_bits;

    if (conf->self != conf) {
        conf->self = conf;
        conf->trusted = (struct access_rules){0};
    }
    if (address_block_parse(conf_arg(call, 1), &block, &host_bits))
        return access_rules_add(call, &conf->trusted, false);
    return add_host(call, &conf->trusted);
}

static bool set_header(struct conf_call *call)
{
    struct realip_conf *conf = call->conf;
    struct slice name = conf_arg(call, 1);
    char *copy = arena_bytes(call->loader->arena, name.len + 1);

    if (copy == NULL)
        return conf_error(call, 0, "no memory");
    for (size_t i = 0; i < name.len; i++)
        copy[i] = name.data[i] == '-' ? '_' : ascii_lower(name.data[i]);
    conf->header = slice_make(copy, name.len);
    conf->proxy_protocol = slice_eq(name, slice_of("proxy_protocol"));
    return true;
}

static const struct directive directives[] = {
    {.name = "set_real_ip_from",
     .contexts = CTX_HTTP_ALL,
     .field = CUSTOM,
     .args_min = 1,
     .args_max = 1,
     .repeatable = true,
     .set = set_from,
     .doc = "A proxy (address, network, host name or unix:) whose word about the client's address "
            "is taken.",
     .example = "set_real_ip_from 192.168.1.0/24;"},
    {.name = "real_ip_header",
     .contexts = CTX_HTTP_ALL,
     .field = CUSTOM,
     .def = "X-Real-IP",
     .args_min = 1,
     .args_max = 1,
     .set = set_header,
     .doc = "The request header that has the client's address, or proxy_protocol.",
     .example = "real_ip_header X-Forwarded-For;"},
    {.name = "real_ip_recursive",
     .contexts = CTX_HTTP_ALL,
     .field = FLAG(struct realip_conf, recursive),
     .def = "off",
     .doc = "Of a list of addresses the last one that is not trusted counts; off: the last one."},
};

/* ---- running */

static bool told_address(struct exchange *x, const struct realip_conf *conf, struct address *client)
{
    struct slice list;

    if (!conf->proxy_protocol)
        return text_headers(x, x->request.headers, conf->header, &list) &&
               forwarded_client(list, &conf->trusted, conf->recursive, client);
    if (x->proxy_protocol == NULL || x->proxy_protocol->source.len == 0 ||
        access_check(&conf->trusted, client) != ACCESS_ALLOWED)
        return false;
    *client = x->proxy_protocol->source;
    return true;
}

static enum phase_verdict run(struct exchange *x)
{
    const struct realip_conf *conf = exchange_conf(x, realip_feature);
    struct realip_state *state;
    struct address client;
    struct address *kept;

    if (conf->trusted.first == NULL || x->subject.client == NULL)
        return PHASE_PASS;
    state = exchange_slot(x, &realip_feature, sizeof *state);
    if (state == NULL)
        return exchange_fail(x, 500);
    client = *x->subject.client;
    if (state->connected != NULL || !told_address(x, conf, &client))
        return PHASE_PASS;
    kept = arena_alloc(x->subject.arena, sizeof *kept);
    if (kept == NULL)
        return exchange_fail(x, 500);
    *kept = client;
    state->connected = x->subject.client;
    x->subject.client = kept;
    return PHASE_PASS;
}

static const struct address *connected(struct exchange *x)
{
    const struct realip_state *state = exchange_slot_used(x, &realip_feature);

    return state == NULL || state->connected == NULL ? x->subject.client : state->connected;
}

static bool get_addr(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct address *address = connected(exchange_of(subject));
    char buffer[ADDRESS_TEXT_BYTES];

    (void)v;
    if (address == NULL)
        return false;
    *text = arena_copy(subject->arena, slice_make(buffer, address_host_text(address, buffer)));
    return text->data != NULL;
}

static bool get_port(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct address *address = connected(exchange_of(subject));

    (void)v;
    return address != NULL && address_port(address) != 0 &&
           text_decimal(exchange_of(subject), address_port(address), text);
}

static const struct variable variables[] = {
    {.name = SLICE("realip_remote_addr"), .get = get_addr, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("realip_remote_port"), .get = get_port, .flags = VARIABLE_VOLATILE},
};

struct feature realip_feature = {
    .conf = {.name = "http_realip",
             .conf_bytes = sizeof(struct realip_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &realip_feature,
    .phase = STEP_POST_READ,
    .run = run,
    .variables = variables,
    .variable_count = COUNT(variables),
};

/* Again where the location is known, for what is set there. */
struct feature realip_location_feature = {
    .conf = {.name = "http_realip_location"},
    .idle_without = &realip_feature,
    .phase = STEP_PREACCESS,
    .run = run,
};
