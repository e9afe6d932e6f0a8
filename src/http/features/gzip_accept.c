/* Whether a client gets a compressed response. Runs in: worker, loop thread. */
#include "base/arena.h"
#include "base/clock.h"
#include "config/regex.h"
#include "event/loop.h"
#include "http/features/gzip.h"

/* "0", "0.", "0.000": the client does not want it. */
static bool weight_is_zero(struct slice parameters)
{
    struct slice part;

    while (slice_split(&parameters, ';', &part)) {
        part = slice_trim(part);
        if (part.len < 2 || ascii_lower(part.data[0]) != 'q')
            continue;
        part = slice_trim(slice_skip(part, 1));
        if (part.len == 0 || part.data[0] != '=')
            continue;
        part = slice_trim(slice_skip(part, 1));
        if (part.len == 0 || part.data[0] != '0')
            return false;
        for (size_t i = 1; i < part.len; i++)
            if (part.data[i] != '.' && part.data[i] != '0')
                return false;
        return true;
    }
    return false;
}

bool parse_accepts_gzip(struct slice field)
{
    struct slice part;

    while (slice_split(&field, ',', &part)) {
        struct slice name;
        struct slice rest = part;

        if (slice_split(&rest, ';', &name) && slice_eq_nocase(slice_trim(name), slice_of("gzip")))
            return rest.data == NULL || !weight_is_zero(rest);
    }
    return false;
}

/* What a proxy in front of us may keep should not be one client's encoding, unless gzip_proxied
 * says so. */
static bool proxied_may(struct exchange *x, unsigned rules)
{
    const struct header_list *headers = &x->response.headers;
    struct slice expires = header_list_value(headers, HEADER_EXPIRES);
    struct slice cache = header_list_value(headers, HEADER_CACHE_CONTROL);
    time_t when;

    if ((rules & GZIP_PROXIED_ANY) != 0)
        return true;
    if ((rules & GZIP_PROXIED_AUTH) != 0 && exchange_header(x, HEADER_AUTHORIZATION).data != NULL)
        return true;
    if (expires.data != NULL)
        return (rules & GZIP_PROXIED_EXPIRED) != 0 && clock_parse_http_date(expires, &when) &&
               (when < 0 || (uint64_t)when < loop_clock(x->loop)->wall_ms / 1000);
    if (cache.data != NULL)
        return ((rules & GZIP_PROXIED_NO_CACHE) != 0 &&
                header_has_token(cache, slice_of("no-cache"))) ||
               ((rules & GZIP_PROXIED_NO_STORE) != 0 &&
                header_has_token(cache, slice_of("no-store"))) ||
               ((rules & GZIP_PROXIED_PRIVATE) != 0 &&
                header_has_token(cache, slice_of("private")));
    if (rules == 0 || ((rules & GZIP_PROXIED_NO_LAST_MODIFIED) != 0 &&
                       (x->response.last_modified >= 0 ||
                        header_list_find(headers, HEADER_LAST_MODIFIED) != NULL)))
        return false;
    return (rules & GZIP_PROXIED_NO_ETAG) == 0 || header_list_find(headers, HEADER_ETAG) == NULL;
}

/* Internet Explorer 4 to 6, but not 6 with SV1, which can. */
static bool is_old_msie(struct slice agent)
{
    ptrdiff_t at = slice_search(agent, slice_of("MSIE "));

    if (at < 0)
        return false;
    struct slice version = slice_skip(agent, (size_t)at + 5);

    if (version.len < 2 || version.data[1] != '.')
        return false;
    if (version.data[0] == '4' || version.data[0] == '5')
        return true;
    return version.data[0] == '6' && slice_search(version, slice_of("SV1")) < 0;
}

static bool is_disabled(struct exchange *x, const struct gzip_conf *conf)
{
    struct slice agent = exchange_header(x, HEADER_USER_AGENT);

    for (const struct gzip_disable *one = conf->disable; one != NULL && agent.data != NULL;
         one = one->next)
        if (one->regex == NULL ? is_old_msie(agent)
                               : regex_match(one->regex, agent, NULL) == REGEX_YES)
            return true;
    return false;
}

bool gzip_is_accepted(struct exchange *x)
{
    const struct gzip_conf *conf = gzip_of(x);

    if ((x->flags & X_SUBREQUEST) != 0 || x->request.version < (unsigned)conf->http_version)
        return false;
    if (!parse_accepts_gzip(exchange_header(x, HEADER_ACCEPT_ENCODING)))
        return false;
    if (exchange_header(x, HEADER_VIA).data != NULL && !proxied_may(x, conf->proxied))
        return false;
    return !is_disabled(x, conf);
}

bool gzip_add_vary(struct exchange *x)
{
    struct header_list *headers = &x->response.headers;
    uint32_t at = 0;

    if (!gzip_of(x)->vary)
        return true;
    for (const struct header *h; (h = header_list_next_id(headers, HEADER_VARY, &at)) != NULL;)
        if (header_has_token(h->value, slice_of("Accept-Encoding")))
            return true;
    return header_list_add_id(headers, HEADER_VARY, slice_of("Accept-Encoding")) != NULL;
}

bool gzip_weaken_etag(struct exchange *x)
{
    struct header *etag = header_list_find(&x->response.headers, HEADER_ETAG);

    if (etag == NULL || slice_starts(etag->value, slice_of("W/")))
        return true;
    if (!slice_starts(etag->value, slice_of("\""))) {
        header_list_remove(&x->response.headers, etag);
        return true;
    }
    etag->value = arena_printf(x->subject.arena, "W/%.*s", SLICE_ARG(etag->value));
    return etag->value.data != NULL;
}
