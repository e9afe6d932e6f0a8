/* The words of `resolver`. Runs in: any process, at load time. */
#include "balance/resolver.h"

#include "base/arena.h"
#include "config/directive.h"
#include "config/loader.h"

#include <stdio.h>
#include <string.h>

enum { DNS_PORT = 53 };

static bool take_server(struct conf_call *call, size_t index, struct slice *list)
{
    struct arena *arena = call->loader->arena;
    struct slice word = conf_arg(call, index);
    struct slice text;
    char shown[ADDRESS_TEXT_BYTES];
    struct address address;

    if (!address_parse(word, DNS_PORT, &address) || address.any.sa_family == AF_UNIX ||
        address_is_wildcard(&address)) {
        conf_error(call, index, "\"%.*s\" is not the address of a DNS server", SLICE_ARG(word));
        conf_hint(call, "names cannot be used here: nobody could resolve them yet");
        return false;
    }
    text = slice_make(shown, address_text(&address, shown));
    *list = list->len == 0 ? arena_copy(arena, text)
                           : arena_printf(arena, "%.*s,%.*s", SLICE_ARG(*list), SLICE_ARG(text));
    return list->data != NULL || conf_error(call, index, "out of memory");
}

static bool take_flag(struct conf_call *call, size_t index, struct slice value, bool *flag)
{
    if (conf_parse_flag(value, flag))
        return true;
    return conf_error(call, index, "invalid parameter \"%.*s\"", SLICE_ARG(conf_arg(call, index)));
}

static bool take_word(struct conf_call *call, size_t index, struct resolver_conf *conf)
{
    struct slice word = conf_arg(call, index);

    if (slice_starts(word, (struct slice)SLICE("valid="))) {
        if (conf_parse_msec(slice_skip(word, 6), &conf->valid_ms) && conf->valid_ms > 0)
            return true;
        return conf_error(call, index, "invalid parameter \"%.*s\"", SLICE_ARG(word));
    }
    if (slice_starts(word, (struct slice)SLICE("ipv4=")))
        return take_flag(call, index, slice_skip(word, 5), &conf->ipv4);
    if (slice_starts(word, (struct slice)SLICE("ipv6=")))
        return take_flag(call, index, slice_skip(word, 5), &conf->ipv6);
    if (slice_starts(word, (struct slice)SLICE("status_zone=")))
        return true; /* counted without a zone */
    return take_server(call, index, &conf->servers);
}

const struct resolver_conf *resolver_conf_parse(struct conf_call *call)
{
    struct resolver_conf *conf = arena_zalloc(call->loader->arena, sizeof(*conf));

    if (conf == NULL) {
        conf_error(call, 0, "out of memory");
        return NULL;
    }
    conf->ipv4 = conf->ipv6 = true;
    for (size_t i = 1; i < conf_arg_count(call); i++) {
        if (!take_word(call, i, conf))
            return NULL;
    }
    if (conf->servers.len == 0) {
        conf_error(call, 0, "no name servers defined");
        return NULL;
    }
    if (!conf->ipv4 && !conf->ipv6) {
        conf_error(call, 0, "\"ipv4\" and \"ipv6\" cannot both be \"off\"");
        return NULL;
    }
    return conf;
}
