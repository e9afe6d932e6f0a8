#include "policy/geo.h"

#include "base/arena.h"
#include "config/loader.h"
#include "config/variable.h"
#include "policy/forwarded.h"
#include "policy/networks.h"

struct geo {
    const struct variable *source;    /* NULL: the client */
    const struct variable *forwarded; /* X-Forwarded-For; NULL: no proxy is trusted */
    struct access_rules proxies;
    bool recursive;
    bool by_ranges;
    struct networks networks; /* -> struct slice */
    struct slice fallback;
    bool has_fallback;
};

static bool address_of(const struct geo *geo, struct subject *subject, struct address *address)
{
    struct slice text;

    if (geo->source != NULL)
        return variable_value(subject, geo->source, &text) && address_parse_ip(text, 0, address);
    if (subject->client == NULL)
        return false;
    *address = *subject->client;
    if (geo->forwarded != NULL && variable_value(subject, geo->forwarded, &text))
        (void)forwarded_client(text, &geo->proxies, geo->recursive, address);
    return true;
}

static bool get(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct geo *geo = (const struct geo *)v->data;
    const struct slice *value = NULL;
    struct address address;

    if (address_of(geo, subject, &address))
        value = networks_find(&geo->networks, &address);
    *text = value == NULL ? geo->fallback : *value;
    return true;
}

/* ---- loading: `call` is about one entry of the block */

static bool add_range(struct conf_call *call, struct geo *geo, const struct slice *value)
{
    struct address_range range = {.value = value};

    if (!parse_address_range(conf_arg(call, 0), &range))
        return conf_error(call, 0, "invalid range \"%.*s\"", SLICE_ARG(conf_arg(call, 0)));
    return networks_add_range(&geo->networks, &range) || conf_error(call, 0, "no memory");
}

static bool add_network(struct conf_call *call, struct geo *geo, size_t index,
                        const struct slice *value)
{
    struct slice text = conf_arg(call, index);
    struct address_block block;
    bool had_host_bits = false;

    if (!address_block_parse(text, &block, &had_host_bits) || block.family == AF_UNIX)
        return conf_error(call, index, "invalid network \"%.*s\"", SLICE_ARG(text));
    if (had_host_bits)
        conf_warn(call, index, "low address bits of %.*s are meaningless", SLICE_ARG(text));
    switch (networks_add(&geo->networks, &block, value)) {
    case NETWORK_NO_MEMORY:
        return conf_error(call, 0, "no memory");
    case NETWORK_REPLACED:
        if (value != NULL)
            conf_warn(call, index, "duplicate network \"%.*s\"", SLICE_ARG(text));
        return true;
    default:
        return true;
    }
}

static bool add_proxy(struct conf_call *call, struct geo *geo)
{
    if (call->scope->context != CTX_HTTP)
        return conf_error(call, 0, "\"proxy\" is about HTTP");
    geo->forwarded = variables_find(call->loader->variables, slice_of("http_x_forwarded_for"));
    return access_rules_add(call, &geo->proxies, false);
}

static bool load_pair(struct conf_call *call, struct geo *geo)
{
    struct slice name = conf_arg(call, 0);
    struct slice *value;

    if (slice_eq(name, slice_of("delete")))
        return geo->by_ranges || add_network(call, geo, 1, NULL);
    if (slice_eq(name, slice_of("proxy")))
        return add_proxy(call, geo);
    value = arena_alloc(call->loader->arena, sizeof *value);
    if (value == NULL)
        return conf_error(call, 0, "no memory");
    *value = arena_copy(call->loader->arena, conf_arg(call, 1));
    if (slice_eq(name, slice_of("default"))) {
        if (geo->has_fallback)
            conf_warn(call, 0, "duplicate default geo value");
        geo->fallback = *value;
        geo->has_fallback = true;
        return true;
    }
    return geo->by_ranges ? add_range(call, geo, value) : add_network(call, geo, 0, value);
}

static bool load_flag(struct conf_call *call, struct geo *geo)
{
    if (slice_eq(conf_arg(call, 0), slice_of("ranges"))) {
        if (geo->networks.v4 != NULL || geo->networks.v6 != NULL)
            return conf_error(call, 0,
                              "the \"ranges\" directive must be the first directive "
                              "inside \"geo\" block");
        geo->by_ranges = true;
    } else if (slice_eq(conf_arg(call, 0), slice_of("proxy_recursive"))) {
        geo->recursive = true;
    } else if (!slice_eq(conf_arg(call, 0), slice_of("volatile"))) {
        return conf_error(call, 0, "invalid number of the geo parameters");
    }
    return true;
}

static bool load_entries(struct conf_call *call, struct geo *geo)
{
    const struct address_range *overlap;

    for (const struct node *node = call->node->children; node != NULL; node = node->next) {
        struct conf_call entry = *call;

        entry.node = node;
        if (node->is_block || node->word_count > 2)
            return conf_error(&entry, 0, "invalid number of the geo parameters");
        if (!(node->word_count == 1 ? load_flag(&entry, geo) : load_pair(&entry, geo)))
            return false;
    }
    if (networks_finish(&geo->networks, &overlap))
        return true;
    return conf_error(call, 0, overlap == NULL ? "no memory" : "ranges overlap in part");
}

static bool set_source(struct conf_call *call, struct geo *geo)
{
    struct slice name = conf_arg(call, 1);

    if (conf_arg_count(call) == 2)
        return true;
    if (name.len < 2 || name.data[0] != '$')
        return conf_error(call, 1, "invalid variable name \"%.*s\"", SLICE_ARG(name));
    geo->source = variables_find(call->loader->variables, slice_skip(name, 1));
    return geo->source != NULL ||
           conf_error(call, 1, "unknown \"%.*s\" variable", SLICE_ARG(slice_skip(name, 1)));
}

static bool set_geo(struct conf_call *call)
{
    struct loader *loader = call->loader;
    struct geo *geo = arena_zalloc(loader->arena, sizeof *geo);
    size_t last = conf_arg_count(call) - 1;
    struct slice name = conf_arg(call, last);
    struct variable variable = {.get = get, .flags = VARIABLE_CHANGEABLE};

    if (geo == NULL)
        return conf_error(call, 0, "no memory");
    networks_init(&geo->networks, loader->arena);
    geo->fallback = slice_make("", 0);
    if (name.len < 2 || name.data[0] != '$')
        return conf_error(call, last, "invalid variable name \"%.*s\"", SLICE_ARG(name));
    if (!set_source(call, geo) || !load_entries(call, geo))
        return false;
    variable.name = slice_skip(name, 1);
    variable.data = (uintptr_t)geo;
    return variables_add(loader->variables, &variable) ||
           conf_error(call, last, "the duplicate \"%.*s\" variable", SLICE_ARG(variable.name));
}

const struct directive geo_directives[GEO_DIRECTIVES] = {
    {.name = "geo",
     .contexts = CTX_HTTP | CTX_STREAM,
     .field = CUSTOM,
     .args_min = 1,
     .args_max = 2,
     .block = true,
     .early = true,
     .repeatable = true,
     .set = set_geo,
     .doc =
         "Makes a variable whose value depends on the client's address, or on one in a variable: "
         "by networks (the longest prefix counts) or, with `ranges`, by ranges. `proxy`: "
         "X-Forwarded-For of these networks is believed.",
     .example = "geo $country {\n    default ZZ;\n    127.0.0.0/24 US;\n}"},
};
