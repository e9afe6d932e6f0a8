/* `charset`: the charset parameter of Content-Type. Bytes are not converted: what is not UTF-8 by
 * now is converted best where it is made. Runs in: worker, loop thread. */
#include "http/features/charset.h"

#include "base/arena.h"
#include "config/loader.h"
#include "http/response.h"
#include "http/type_set.h"

struct charset_conf {
    struct template *charset; /* "off": none */
    bool override;
    struct type_set types;
};

/* Where " charset=..." begins in a Content-Type, or -1. */
static ptrdiff_t find_parameter(struct slice type)
{
    ptrdiff_t at = slice_find(type, ';');

    while (at >= 0) {
        struct slice rest = slice_skip(type, (size_t)at + 1);
        struct slice text = slice_trim(rest);

        if (slice_eq_nocase(slice_head(text, 8), slice_of("charset=")))
            return at;
        ptrdiff_t next = slice_find(rest, ';');

        at = next < 0 ? -1 : at + 1 + next;
    }
    return -1;
}

bool charset_tell(struct exchange *x)
{
    const struct charset_conf *conf = exchange_conf(x, charset_feature);
    struct response *response = &x->response;
    struct slice charset;

    if (conf->charset->constant && slice_eq(conf->charset->source, slice_of("off")))
        return true;
    if (response->content_type.len == 0 || (x->flags & X_SUBREQUEST) != 0 ||
        header_list_find(&response->headers, HEADER_CONTENT_ENCODING) != NULL ||
        response->status == 301 || response->status == 302) /* nobody reads their bodies */
        return true;
    ptrdiff_t own = find_parameter(response->content_type);

    if (own >= 0 || response->charset.len > 0 ? !conf->override
                                              : !type_set_has(&conf->types, response->content_type))
        return true;
    if (!template_eval(conf->charset, &x->subject, &charset))
        return false;
    if (charset.len == 0 || slice_eq(charset, slice_of("off")))
        return true;
    if (own >= 0)
        response->content_type = slice_head(response->content_type, (size_t)own);
    response->charset = charset;
    return true;
}

static bool set_types(struct conf_call *call)
{
    struct charset_conf *conf = call->conf;

    return conf_type_set(call, &conf->types, slice_of("text/html"));
}

#define EVERYWHERE (CTX_HTTP_ALL | CTX_LOCATION_IF)

static const struct directive directives[] = {
    {"charset", EVERYWHERE, TEMPLATE(struct charset_conf, charset), .def = "off",
     .doc = "The charset told in Content-Type; off: none is added.", .example = "charset utf-8;"},
    {"charset_types", CTX_HTTP_ALL, CUSTOM,
     .def = "text/html text/xml text/plain text/vnd.wap.wml application/javascript "
            "application/rss+xml",
     .args_min = 1, .args_max = 255, .repeatable = true, .set = set_types,
     .doc = "Media types that get it, text/html in any case; * is all.",
     .example = "charset_types text/css application/json;"},
    {"override_charset", EVERYWHERE, FLAG(struct charset_conf, override), .def = "off",
     .doc = "Replace the charset that a backend's response has."},
};

struct feature charset_feature = {
    .conf = {.name = "http_charset_filter",
             .conf_bytes = sizeof(struct charset_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &charset_feature,
    .on_head = charset_tell,
};
