/* Response heads, and header sections without a line before them. Runs in: worker, loop thread. */
#include "http/h1/lines_internal.h"
#include "http/h1/parse.h"
#include "http/h1/scan_internal.h"

#include <assert.h>

void h1_response_init(struct h1_response *response, struct arena *arena)
{
    response->error = H1_NONE;
    response->head_bytes = 0;
    response->line = slice_make(NULL, 0);
    response->progress = (struct h1_progress){.seen_bytes = 0};
    header_list_init(&response->headers, arena);
}

static void forget(struct h1_response *r)
{
    r->error = H1_NONE;
    r->head_bytes = 0;
    r->line = r->reason = slice_make(NULL, 0);
    r->status = r->version = 0;
    r->body_kind = BODY_NONE;
    r->body_bytes = 0;
    r->has_length = r->keep_alive = r->has_odd_names = false;
    header_list_clear(&r->headers);
}

static bool fits_pattern(char c, char pattern)
{
    return pattern == '0' ? c >= '0' && c <= '9' : c == pattern;
}

/* "HTTP/1.x ddd"; moves `*at` behind it. */
static enum parse_result parse_status(struct lines *lines, const char **at, const char *window,
                                      struct h1_response *r)
{
    static const char pattern[] = "HTTP/1.0 000";
    const size_t len = sizeof pattern - 1;
    const char *p = *at;
    bool usual = window - p >= (ptrdiff_t)len && memcmp(p, "HTTP/1.1 ", 9) == 0 &&
                 fits_pattern(p[9], '0') && fits_pattern(p[10], '0') && fits_pattern(p[11], '0');

    for (size_t i = 0; i < len && !usual; i++) {
        if (p + i == window)
            return lines_ran_out(lines, lines->limits->line_bytes_max, H1_BAD_STATUS_LINE);
        if (!fits_pattern(p[i], pattern[i]))
            return lines_fail(lines, H1_BAD_STATUS_LINE);
    }
    r->version = p[7] == '0' ? 10 : 11;
    r->status = (unsigned)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    if (r->status < 100)
        return lines_fail(lines, H1_BAD_STATUS_LINE);
    *at = p + len;
    return PARSE_OK;
}

/* The blank before the reason is required, but many leave it out together with the reason. */
static enum parse_result parse_reason(struct lines *lines, const char *at, const char *window,
                                      struct h1_response *r)
{
    const char *stop = scan_value(at, window);

    if (at < window && *at != ' ' && *at != '\r')
        return lines_fail(lines, *at == '\n' ? H1_BARE_LF : H1_BAD_STATUS_LINE);
    if (stop == window)
        return lines_ran_out(lines, lines->limits->line_bytes_max, H1_BAD_STATUS_LINE);
    r->line = slice_make(lines->at, (size_t)(stop - lines->at));
    if (stop > at)
        r->reason = slice_make(at + 1, (size_t)(stop - at - 1));
    return lines_end(lines, stop);
}

static enum parse_result parse_status_line(struct lines *lines, struct h1_response *r)
{
    const char *at = lines->at;
    const char *window = line_window(lines, lines->limits->line_bytes_max);
    enum parse_result result = parse_status(lines, &at, window, r);

    return result == PARSE_OK ? parse_reason(lines, at, window, r) : result;
}

/* Unlike a client's, a backend's repeated lines are its own affair: only framing is looked at. */
static enum parse_result parse_section(struct lines *lines, struct header_list *headers,
                                       bool *has_odd_names)
{
    for (;;) {
        struct header field;

        switch (parse_field_line(lines, &field)) {
        case LINE_EMPTY:
            return PARSE_OK;
        case LINE_MORE:
            return PARSE_MORE;
        case LINE_BAD:
            return PARSE_ERROR;
        case LINE_FIELD:
            break;
        }
        if (headers->slot_count >= lines->limits->headers_max)
            return lines_fail(lines, H1_TOO_MANY_HEADERS);
        if (header_list_push(headers, &field) == NULL)
            return lines_fail(lines, H1_NO_MEMORY);
        *has_odd_names |= (field.flags & HEADER_NAME_ODD) != 0;
    }
}

enum parse_result parse_response_head(struct slice in, const struct h1_limits *limits,
                                      struct h1_response *r)
{
    struct lines lines = lines_make(in, limits);
    enum parse_result result;

    if (!head_worth_parsing(&r->progress, in, limits))
        return PARSE_MORE;
    forget(r);
    result = parse_status_line(&lines, r);
    if (result == PARSE_OK)
        result = parse_section(&lines, &r->headers, &r->has_odd_names);
    if (result == PARSE_OK)
        r->head_bytes = (size_t)(lines.at - lines.begin);
    if (result == PARSE_ERROR) {
        r->error = lines.error;
        r->line = h1_first_line(slice_make(lines.begin, (size_t)(lines.end - lines.begin)));
    }
    assert((result == PARSE_ERROR) == (r->error != H1_NONE));
    return result;
}

enum parse_result parse_fields(struct slice in, struct h1_fields *fields)
{
    struct lines lines = lines_make(in, fields->limits);
    enum parse_result result;

    lines.line_end = fields->line_end;
    fields->error = H1_NONE;
    fields->head_bytes = 0;
    fields->has_odd_names = false;
    header_list_clear(fields->headers);
    result = parse_section(&lines, fields->headers, &fields->has_odd_names);
    if (result == PARSE_OK)
        fields->head_bytes = (size_t)(lines.at - lines.begin);
    if (result == PARSE_ERROR)
        fields->error = lines.error;
    return result;
}
