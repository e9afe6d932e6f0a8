/* Lines of a head. Runs in: worker, loop thread. */
#include "http/h1/lines_internal.h"

#include "http/h1/scan_internal.h"

#include <assert.h>

struct lines lines_make(struct slice in, const struct h1_limits *limits)
{
    bool cut = in.len >= limits->head_bytes_max;
    size_t len = cut ? limits->head_bytes_max : in.len;

    if (in.data == NULL)
        in.data = "";
    return (struct lines){
        .begin = in.data, .at = in.data, .end = in.data + len, .limits = limits, .cut = cut};
}

enum parse_result lines_fail(struct lines *lines, enum h1_error error)
{
    assert(error != H1_NONE);
    lines->error = error;
    return PARSE_ERROR;
}

enum parse_result lines_ran_out(struct lines *lines, uint32_t bytes_max, enum h1_error too_long)
{
    if ((size_t)(lines->end - lines->at) > bytes_max)
        return lines_fail(lines, too_long);
    return lines->cut ? lines_fail(lines, H1_HEAD_TOO_LARGE) : PARSE_MORE;
}

enum parse_result lines_end(struct lines *lines, const char *stop)
{
    assert(stop < lines->end);
    if (*stop == '\r') {
        if (stop + 1 == lines->end)
            return lines->cut ? lines_fail(lines, H1_HEAD_TOO_LARGE) : PARSE_MORE;
        if (stop[1] != '\n')
            return lines_fail(lines, H1_BARE_CR);
        lines->at = stop + 2;
        return PARSE_OK;
    }
    if (*stop != '\n')
        return lines_fail(lines, H1_CONTROL_BYTE);
    if (lines->line_end != LINES_LF_OR_CRLF)
        return lines_fail(lines, H1_BARE_LF);
    lines->at = stop + 1;
    return PARSE_OK;
}

static enum line_kind line_from(enum parse_result result, enum line_kind kind)
{
    if (result == PARSE_OK)
        return kind;
    return result == PARSE_MORE ? LINE_MORE : LINE_BAD;
}

static enum line_kind bad_line(struct lines *lines, enum h1_error error)
{
    lines->error = error;
    return LINE_BAD;
}

/* What is wrong with a line whose name was not ended by a colon. */
static enum h1_error name_error(char stop, enum h1_line_end line_end)
{
    switch (stop) {
    case ' ':
    case '\t':
        return H1_SPACE_BEFORE_COLON;
    case '\r':
        return H1_NO_COLON;
    case '\n':
        return line_end == LINES_CRLF ? H1_BARE_LF : H1_NO_COLON;
    default:
        return H1_CONTROL_BYTE;
    }
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline void set_name(struct header *field, const char *at, const char *end)
{
    field->name = slice_make(at, (size_t)(end - at));
    field->id = header_id_of(field->name);
    field->flags = field->id == HEADER_OTHER ? header_name_flags(field->name) : 0;
}

/* The value begins at `at`, behind the colon. */
static enum line_kind parse_value(struct lines *lines, const char *at, struct slice *value)
{
    uint32_t bytes_max = lines->limits->header_bytes_max;
    const char *window = line_window(lines, bytes_max);
    const char *stop, *last;

    while (at < window && is_blank(*at))
        at++;
    stop = scan_value(at, window);
    if (stop == window)
        return line_from(lines_ran_out(lines, bytes_max, H1_HEADER_TOO_LONG), LINE_FIELD);
    for (last = stop; last > at && is_blank(last[-1]);)
        last--;
    *value = slice_make(at, (size_t)(last - at));
    return line_from(lines_end(lines, stop), LINE_FIELD);
}

enum line_kind parse_field_line_slowly(struct lines *lines, struct header *field)
{
    uint32_t bytes_max = lines->limits->header_bytes_max;
    const char *window = line_window(lines, bytes_max);
    const char *at = lines->at, *stop;

    if (at < lines->end && (*at == '\r' || *at == '\n'))
        return line_from(lines_end(lines, at), LINE_EMPTY);
    if (at < lines->end && is_blank(*at))
        return bad_line(lines, H1_OBS_FOLD);
    stop = scan_name(at, window);
    if (stop == window)
        return line_from(lines_ran_out(lines, bytes_max, H1_HEADER_TOO_LONG), LINE_FIELD);
    if (*stop != ':')
        return bad_line(lines, name_error(*stop, lines->line_end));
    if (stop == at)
        return bad_line(lines, H1_EMPTY_NAME);
    set_name(field, at, stop);
    return parse_value(lines, stop + 1, &field->value);
}

/* "name: value" CRLF, whole, with at most that blank: nearly every line. False: it is something
 * else, and nothing was done. */
static inline bool take_usual_line(struct lines *lines, struct header *field)
{
    const char *window = line_window(lines, lines->limits->header_bytes_max);
    const char *at = lines->at;
    const char *colon = scan_name(at, window);

    if (colon == at || window - colon < 4 || *colon != ':')
        return false;
    const char *value = colon + 1 + (colon[1] == ' ');
    const char *stop = scan_value(value, window);

    if (window - stop < 2 || stop[0] != '\r' || stop[1] != '\n')
        return false;
    if (is_blank(*value) || is_blank(stop[-1]))
        return false;
    set_name(field, at, colon);
    field->value = slice_make(value, (size_t)(stop - value));
    if (value == colon + 2)
        field->flags |= HEADER_VERBATIM;
    lines->at = stop + 2;
    return true;
}

enum line_kind parse_field_line(struct lines *lines, struct header *field)
{
    if (lines->end - lines->at >= 2 && lines->at[0] == '\r' && lines->at[1] == '\n') {
        lines->at += 2;
        return LINE_EMPTY;
    }
    return take_usual_line(lines, field) ? LINE_FIELD : parse_field_line_slowly(lines, field);
}

/* A complete line ends at `line_end_at`. True: there is something to parse now. */
static bool count_line(struct h1_progress *progress, size_t line_end_at)
{
    bool empty = line_end_at == progress->line_start;

    progress->seen_bytes = line_end_at + 2;
    progress->line_start = progress->seen_bytes;
    if (empty)
        return progress->lines > 0 || progress->seen_bytes > 2 * EMPTY_LINES_MAX;
    progress->lines++;
    return progress->lines == 1;
}

/* Goes on where the last search ended. True: the end, or something that will be refused. */
static bool search_end(struct h1_progress *progress, struct slice in,
                       const struct h1_limits *limits)
{
    const char *end = in.data + in.len;

    for (;;) {
        const char *stop = scan_value(in.data + progress->seen_bytes, end);
        uint32_t bytes_max = progress->lines == 0 ? limits->line_bytes_max
                                                  : limits->header_bytes_max;

        progress->seen_bytes = (size_t)(stop - in.data);
        if (progress->seen_bytes - progress->line_start > bytes_max)
            return true;
        if (stop == end || (stop + 1 == end && *stop == '\r'))
            return false;
        if (*stop != '\r' || stop[1] != '\n')
            return true;
        if (count_line(progress, progress->seen_bytes))
            return true;
    }
}

bool head_worth_parsing(struct h1_progress *progress, struct slice in,
                        const struct h1_limits *limits)
{
    /* The first call parses at once: nearly always the whole head is there. */
    bool grown = in.len / 2 >= progress->parsed_bytes;

    if (in.len == 0)
        return false;
    if (!grown && in.len < limits->head_bytes_max && !search_end(progress, in, limits))
        return false;
    progress->parsed_bytes = in.len;
    return true;
}
