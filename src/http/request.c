#include "http/request.h"

#include "base/arena.h"
#include "http/core_conf.h"
#include "http/uri.h"

bool request_check_names(struct exchange *x, struct header_list *headers,
                         const struct core_conf *core)
{
    uint32_t at = 0;

    for (struct header *h; (h = header_list_next(headers, &at)) != NULL;) {
        bool underscore = (h->flags & HEADER_NAME_UNDERSCORE) != 0 && !core->underscores_in_headers;
        bool unusual = (h->flags & HEADER_NAME_UNUSUAL) != 0 && core->ignore_invalid_headers;
        bool invalid = (h->flags & HEADER_NAME_INVALID) != 0;

        if (invalid && !core->ignore_invalid_headers)
            return false;
        if (!invalid && !unusual && !(underscore && core->ignore_invalid_headers))
            continue;
        log_about(&x->log, LOG_LEVEL_INFO, 0, "client sent invalid header line: \"%.*s\"",
                  SLICE_ARG(slice_head(h->name, 128)));
        header_list_remove(headers, h);
    }
    return true;
}

struct slice request_lower_host(struct exchange *x, struct slice host)
{
    if (!slice_has_upper(host))
        return host;
    char *copy = arena_bytes(x->subject.arena, host.len);

    for (size_t i = 0; copy != NULL && i < host.len; i++)
        copy[i] = ascii_lower(host.data[i]);
    return slice_make(copy, copy == NULL ? 0 : host.len);
}

bool request_take_target(struct exchange *x, struct slice target, bool merge_slashes)
{
    struct uri uri = {0};

    if (target.len > 0 && target.data[0] == '?')
        target = arena_printf(x->subject.arena, "/%.*s", SLICE_ARG(target));
    char *scratch = arena_bytes(x->subject.arena, target.len + 1);
    enum uri_result result = scratch == NULL ? URI_BAD_BYTE
                                             : parse_uri(target, merge_slashes, scratch, &uri);

    if (result != URI_OK) {
        log_about(&x->log, LOG_LEVEL_INFO, 0, "client sent invalid URI: %s",
                  uri_result_text(result));
        return false;
    }
    bool whole = uri.plain && uri.path.len == target.len;
    ptrdiff_t mark = whole ? -1 : slice_find(target, '?');

    x->request.path = mark < 0 ? target : slice_head(target, (size_t)mark);
    x->request.uri = uri.path;
    x->request.args = uri.args;
    x->request.args_in_target = uri.args.data != NULL;
    x->request.uri_plain = uri.plain;
    return true;
}
