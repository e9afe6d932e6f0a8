/* Conditional requests: what the client has already is answered with 304, and what it expected to
 * be otherwise with 412 (RFC 9110, 13). The order of the conditions is nginx's: with both
 * If-Modified-Since and If-None-Match a response is new if either says so.
 * Runs in: worker, loop thread. */
#include "http/features/not_modified.h"

#include "base/clock.h"
#include "http/core_conf.h"
#include "http/response.h"

static struct slice without_weakness(struct slice etag)
{
    return slice_starts(etag, slice_of("W/")) ? slice_skip(etag, 2) : etag;
}

/* Cuts the next tag off a list. Commas may stand inside the quotes. */
static struct slice take_etag(struct slice *rest)
{
    struct slice s = *rest;
    size_t n = 0;

    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t' || s.data[0] == ','))
        s = slice_skip(s, 1);
    if (slice_starts(s, slice_of("W/")))
        n = 2;
    if (n < s.len && s.data[n] == '"') {
        ptrdiff_t end = slice_find(slice_skip(s, n + 1), '"');

        n = end < 0 ? s.len : n + 1 + (size_t)end + 1;
    }
    while (n < s.len && s.data[n] != ',')
        n++;
    *rest = slice_skip(s, n);
    return slice_trim(slice_head(s, n));
}

bool etag_list_has(struct slice list, struct slice etag, bool weak)
{
    if (slice_eq(slice_trim(list), slice_of("*")))
        return true;
    if (etag.len == 0 || (!weak && slice_starts(etag, slice_of("W/"))))
        return false;
    while (list.len > 0) {
        struct slice one = take_etag(&list);

        if (weak ? slice_eq(without_weakness(one), without_weakness(etag)) : slice_eq(one, etag))
            return true;
    }
    return false;
}

static bool is_unmodified(const struct exchange *x, struct slice since)
{
    time_t when;

    return x->response.last_modified >= 0 && clock_parse_http_date(since, &when) &&
           when >= x->response.last_modified;
}

static bool is_modified(const struct exchange *x, struct slice since)
{
    int rule = core_of(x)->if_modified_since;
    time_t when;

    if (x->response.last_modified < 0 || rule == MODIFIED_OFF ||
        !clock_parse_http_date(since, &when))
        return true;
    if (when == x->response.last_modified)
        return false;
    return rule == MODIFIED_EXACT || when < x->response.last_modified;
}

static void make_not_modified(struct exchange *x)
{
    struct response *response = &x->response;

    response->status = 304;
    response->reason = slice_make(NULL, 0);
    response->content_type = slice_make(NULL, 0);
    response->charset = slice_make(NULL, 0);
    response->content_length = -1;
    response->no_body = true;
    response->allow_ranges = false;
    (void)header_list_remove_id(&response->headers, HEADER_CONTENT_ENCODING);
    (void)header_list_remove_id(&response->headers, HEADER_ACCEPT_RANGES);
}

static bool on_head(struct exchange *x)
{
    struct slice etag = header_list_value(&x->response.headers, HEADER_ETAG);
    struct slice text;

    /* A peer has seen the conditions. To refuse what it did would also be too late: of a PUT it
     * tells the new ETag, which If-Match cannot have named. */
    if (x->response.status != 200 || x->response.of_peer || (x->flags & X_SUBREQUEST) != 0)
        return true;
    text = exchange_header(x, HEADER_IF_UNMODIFIED_SINCE);
    if (text.data != NULL && !is_unmodified(x, text))
        return response_replace(x, 412);
    text = exchange_header(x, HEADER_IF_MATCH);
    if (text.data != NULL && !etag_list_has(text, etag, false))
        return response_replace(x, 412);

    struct slice since = exchange_header(x, HEADER_IF_MODIFIED_SINCE);
    struct slice none_of = exchange_header(x, HEADER_IF_NONE_MATCH);

    if (since.data == NULL && none_of.data == NULL)
        return true;
    if (since.data != NULL && is_modified(x, since))
        return true;
    if (none_of.data != NULL && !etag_list_has(none_of, etag, true))
        return true;
    make_not_modified(x);
    return true;
}

struct feature not_modified_feature = {
    .conf = {.name = "http_not_modified_filter"},
    .on_head = on_head,
};
