/* Request heads. Runs in: worker, loop thread. */
#include "http/h1/parse.h"

#include "http/h1/frame_internal.h"
#include "http/h1/lines_internal.h"
#include "http/h1/scan_internal.h"

#include <assert.h>

const struct h1_limits h1_default_limits = {
    .line_bytes_max = 8192,
    .header_bytes_max = 8192,
    .head_bytes_max = 4 * 8192 + 1024,
    .headers_max = 1000,
};

static const struct {
    unsigned status;
    const char *text;
} errors[H1_ERROR_COUNT] = {
#define H1_ERROR_ROW(id, code, sentence) [H1_##id] = {code, sentence},
    H1_ERRORS(H1_ERROR_ROW)
#undef H1_ERROR_ROW
};

unsigned h1_error_status(enum h1_error error)
{
    assert((unsigned)error < H1_ERROR_COUNT);
    return errors[error].status;
}

const char *h1_error_text(enum h1_error error)
{
    assert((unsigned)error < H1_ERROR_COUNT);
    return errors[error].text;
}

void h1_request_init(struct h1_request *request, struct arena *arena)
{
    request->error = H1_NONE;
    request->head_bytes = 0;
    request->line = slice_make(NULL, 0);
    request->progress = (struct h1_progress){.seen_bytes = 0};
    header_list_init(&request->headers, arena);
}

/* Everything that a call may find, as if nothing had been. */
static void forget(struct h1_request *r)
{
    struct slice none = slice_make(NULL, 0);

    r->error = H1_NONE;
    r->head_bytes = 0;
    r->line = r->method_text = r->target = none;
    r->path_query = r->scheme = r->authority = none;
    r->host = (struct host){.name = none, .port = none};
    r->method = METHOD_OTHER;
    r->form = TARGET_ORIGIN;
    r->version = 0;
    r->body_kind = BODY_NONE;
    r->body_bytes = 0;
    r->has_length = r->keep_alive = r->wants_upgrade = r->expects_continue = false;
    r->has_odd_names = false;
    header_list_clear(&r->headers);
}

/* nginx's set: what is used as a method somewhere, and none of what a confused client may send. */
static inline bool is_method_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

static enum h1_error method_error(const char *begin, const char *stop)
{
    if (stop == begin && *stop == 0x16)
        return H1_TLS_ON_PLAIN;
    return *stop == '\n' ? H1_BARE_LF : H1_BAD_METHOD;
}

static enum parse_result parse_method(struct lines *lines, const char **at, const char *window,
                                      struct h1_request *r)
{
    const char *begin = *at, *stop = begin;

    if (window - begin >= 4 && memcmp(begin, "GET ", 4) == 0) {
        r->method_text = slice_make(begin, 3);
        r->method = METHOD_GET;
        *at = begin + 4;
        return PARSE_OK;
    }
    while (stop < window && is_method_byte(*stop))
        stop++;
    if (stop == window)
        return lines_ran_out(lines, lines->limits->line_bytes_max, H1_LINE_TOO_LONG);
    if (*stop != ' ' || stop == begin)
        return lines_fail(lines, method_error(begin, stop));
    r->method_text = slice_make(begin, (size_t)(stop - begin));
    r->method = method_of(r->method_text);
    *at = stop + 1;
    return PARSE_OK;
}

/* The length of "http://" or "https://" at the beginning, or 0. */
static size_t scheme_prefix(struct slice target)
{
    static const struct slice prefixes[] = {SLICE("http://"), SLICE("https://")};

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (slice_eq_nocase(slice_head(target, prefixes[i].len), prefixes[i]))
            return prefixes[i].len;
    }
    return 0;
}

static enum h1_error read_absolute_target(struct h1_request *r)
{
    size_t prefix = scheme_prefix(r->target);
    struct slice rest = slice_skip(r->target, prefix);
    size_t len = 0;

    if (prefix == 0)
        return H1_BAD_TARGET;
    while (len < rest.len && rest.data[len] != '/' && rest.data[len] != '?')
        len++;
    r->form = TARGET_ABSOLUTE;
    r->scheme = slice_head(r->target, prefix - 3);
    r->authority = slice_head(rest, len);
    r->path_query = slice_skip(rest, len);
    if (r->path_query.len ==
        0) /* a slice of the input all the same: the first of the two slashes */
        r->path_query = slice_make(r->target.data + prefix - 2, 1);
    return parse_host(r->authority, &r->host) ? H1_NONE : H1_BAD_HOST;
}

static enum h1_error read_authority_target(struct h1_request *r)
{
    r->form = TARGET_AUTHORITY;
    r->authority = r->target;
    if (!parse_host(r->authority, &r->host) || r->host.port.len == 0)
        return H1_BAD_TARGET;
    return H1_NONE;
}

/* RFC 9112, 3.2: the form goes with the method. */
static enum h1_error read_target(struct h1_request *r)
{
    if (r->target.len == 0)
        return H1_BAD_TARGET;
    if (r->method == METHOD_CONNECT)
        return read_authority_target(r);
    r->path_query = r->target;
    if (r->target.data[0] == '/')
        return H1_NONE;
    if (r->target.data[0] != '*')
        return read_absolute_target(r);
    r->form = TARGET_ASTERISK;
    if (r->target.len > 1)
        return H1_BAD_TARGET;
    if (slice_eq(r->method_text, slice_make("PRI", 3)))
        return H1_H2_PREFACE;
    return r->method == METHOD_OPTIONS ? H1_NONE : H1_BAD_TARGET;
}

static enum h1_error target_error(char stop)
{
    switch (stop) {
    case '\r':
        return H1_HTTP09;
    case '\n':
        return H1_BARE_LF;
    default:
        return H1_BAD_TARGET;
    }
}

static enum parse_result parse_target(struct lines *lines, const char **at, const char *window,
                                      struct h1_request *r)
{
    const char *stop = scan_target(*at, window);
    enum h1_error error;

    if (stop == window)
        return lines_ran_out(lines, lines->limits->line_bytes_max, H1_LINE_TOO_LONG);
    if (*stop != ' ')
        return lines_fail(lines, target_error(*stop));
    r->target = slice_make(*at, (size_t)(stop - *at));
    error = read_target(r);
    if (error != H1_NONE)
        return lines_fail(lines, error);
    *at = stop + 1;
    return PARSE_OK;
}

/* "HTTP/d.d" and nothing more before the end of the line. */
static enum parse_result parse_version(struct lines *lines, const char *at, const char *window,
                                       struct h1_request *r)
{
    static const char pattern[] = "HTTP/0.0";
    const size_t len = sizeof pattern - 1;

    if (window - at >= 10 && memcmp(at, "HTTP/1.1\r\n", 10) == 0) {
        r->version = 11;
        r->line = slice_make(lines->at, (size_t)(at + len - lines->at));
        lines->at = at + 10;
        return PARSE_OK;
    }
    for (size_t i = 0; i < len; i++) {
        bool digit = pattern[i] == '0';

        if (at + i == window)
            return lines_ran_out(lines, lines->limits->line_bytes_max, H1_LINE_TOO_LONG);
        if (digit ? at[i] < '0' || at[i] > '9' : at[i] != pattern[i])
            return lines_fail(lines, at[i] == '\n' ? H1_BARE_LF : H1_BAD_VERSION);
    }
    if (at + len == window)
        return lines_ran_out(lines, lines->limits->line_bytes_max, H1_LINE_TOO_LONG);
    if (at[5] != '1' || (at[len] != '\r' && at[len] != '\n'))
        return lines_fail(lines, at[5] > '1' ? H1_VERSION_UNSUPPORTED : H1_BAD_VERSION);
    r->version = at[7] == '0' ? 10 : 11;
    r->line = slice_make(lines->at, (size_t)(at + len - lines->at));
    return lines_end(lines, at + len);
}

static enum parse_result skip_empty_lines(struct lines *lines)
{
    for (int count = 0; lines->at < lines->end && *lines->at == '\r'; count++) {
        enum parse_result result = lines_end(lines, lines->at);

        if (result != PARSE_OK)
            return result;
        if (count == EMPTY_LINES_MAX)
            return lines_fail(lines, H1_EMPTY_LINES);
    }
    return PARSE_OK;
}

static enum parse_result parse_request_line(struct lines *lines, struct h1_request *r)
{
    enum parse_result result = skip_empty_lines(lines);
    const char *at = lines->at;
    const char *window = line_window(lines, lines->limits->line_bytes_max);

    if (result == PARSE_OK)
        result = parse_method(lines, &at, window, r);
    if (result == PARSE_OK)
        result = parse_target(lines, &at, window, r);
    if (result == PARSE_OK)
        result = parse_version(lines, at, window, r);
    return result;
}

/* Whether a request may have this line besides those it has. */
static enum h1_error check_repetition(const struct header_list *headers, enum header_id id)
{
    if (id == HEADER_OTHER || !header_list_has(headers, id))
        return H1_NONE;
    if (id == HEADER_HOST)
        return H1_DUPLICATE_HOST;
    if (id == HEADER_CONTENT_LENGTH)
        return H1_DUPLICATE_LENGTH;
    return (header_traits(id) & HEADER_SINGLE) != 0 ? H1_DUPLICATE_HEADER : H1_NONE;
}

static enum h1_error take_field(struct h1_request *r, const struct header *field,
                                const struct h1_limits *limits)
{
    enum h1_error error = check_repetition(&r->headers, field->id);

    if (error != H1_NONE)
        return error;
    if (r->headers.slot_count >= limits->headers_max)
        return H1_TOO_MANY_HEADERS;
    if (header_list_push(&r->headers, field) == NULL)
        return H1_NO_MEMORY;
    r->has_odd_names |= (field->flags & HEADER_NAME_ODD) != 0;
    return H1_NONE;
}

static enum parse_result parse_request_fields(struct lines *lines, struct h1_request *r)
{
    for (;;) {
        struct header field;
        enum h1_error error;

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
        error = take_field(r, &field, lines->limits);
        if (error != H1_NONE)
            return lines_fail(lines, error);
    }
}

/* RFC 9112, 3.2: a Host line must be there and valid even if the target names another host. */
static enum h1_error read_host(struct h1_request *r)
{
    const struct header *field = header_list_find(&r->headers, HEADER_HOST);
    struct host host;

    if (field == NULL)
        return r->version >= 11 ? H1_NO_HOST : H1_NONE;
    if (!parse_host(field->value, &host))
        return H1_BAD_HOST;
    if (r->host.name.len == 0)
        r->host = host;
    return H1_NONE;
}

static enum h1_error read_body_kind(struct h1_request *r)
{
    struct framing framing;
    enum h1_error error = read_framing(&r->headers, r->version, &framing);

    r->has_length = framing.has_length;
    r->body_bytes = framing.length;
    if (framing.chunked)
        r->body_kind = BODY_CHUNKED;
    else if (framing.length > 0)
        r->body_kind = BODY_LENGTH;
    return error;
}

static void read_connection(struct h1_request *r)
{
    unsigned options = connection_options(&r->headers);
    struct slice expect = header_list_value(&r->headers, HEADER_EXPECT);

    r->keep_alive = connection_persists(options, r->version);
    if (r->version < 11)
        return;
    r->wants_upgrade = (options & CONNECTION_UPGRADE) != 0 &&
                       header_list_value(&r->headers, HEADER_UPGRADE).len > 0;
    r->expects_continue = slice_eq_nocase(expect, slice_make("100-continue", 12));
}

/* What can only be judged when all lines are there. */
static enum parse_result judge(struct lines *lines, struct h1_request *r)
{
    enum h1_error error = read_host(r);

    if (error == H1_NONE)
        error = read_body_kind(r);
    if (error != H1_NONE)
        return lines_fail(lines, error);
    read_connection(r);
    return PARSE_OK;
}

struct slice h1_first_line(struct slice in)
{
    const char *end = in.data == NULL ? NULL : in.data + in.len;
    const char *at = in.data;

    while (at < end && (*at == '\r' || *at == '\n'))
        at++;
    return slice_make(at, (size_t)(scan_value(at, end) - at));
}

enum parse_result parse_request_head(struct slice in, const struct h1_limits *limits,
                                     struct h1_request *r)
{
    struct lines lines = lines_make(in, limits);
    enum parse_result result;

    if (!head_worth_parsing(&r->progress, in, limits))
        return PARSE_MORE;
    forget(r);
    result = parse_request_line(&lines, r);
    if (result == PARSE_OK)
        result = parse_request_fields(&lines, r);
    if (result == PARSE_OK)
        result = judge(&lines, r);
    if (result == PARSE_OK)
        r->head_bytes = (size_t)(lines.at - lines.begin);
    if (result == PARSE_ERROR) {
        r->error = lines.error;
        r->line = h1_first_line(slice_make(lines.begin, (size_t)(lines.end - lines.begin)));
    }
    assert((result == PARSE_ERROR) == (r->error != H1_NONE));
    return result;
}
