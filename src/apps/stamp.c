/* Time and JSON around a line. Runs in: master. */
#include "apps/stamp.h"

#include "apps/sink.h"
#include "base/list.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NAME_SHOWN_MAX = 128, TIME_BYTES = 128 };

/* day.js's token -> strftime's; longest first. NULL: made here. */
static const struct {
    const char *token;
    const char *format;
} tokens[] = {
    {"YYYY", "%Y"}, {"MMMM", "%B"}, {"dddd", "%A"}, {"SSS", NULL}, {"MMM", "%b"}, {"ddd", "%a"},
    {"YY", "%y"},   {"MM", "%m"},   {"DD", "%d"},   {"HH", "%H"},  {"hh", "%I"},  {"mm", "%M"},
    {"ss", "%S"},   {"ZZ", "%z"},   {"M", "%-m"},   {"D", "%-d"},  {"H", "%-H"},  {"h", "%-I"},
    {"m", "%-M"},   {"s", "%-S"},   {"Z", NULL},    {"A", "%p"},   {"a", "%P"},   {"X", "%s"},
};

static size_t put_token(size_t index, const struct tm *when, unsigned ms, char out[64])
{
    char zone[8] = "";

    if (tokens[index].format != NULL)
        return strftime(out, 64, tokens[index].format, when);
    if (tokens[index].token[0] == 'S')
        return (size_t)snprintf(out, 64, "%03u", ms);
    strftime(zone, sizeof zone, "%z", when);
    return (size_t)snprintf(out, 64, "%.3s:%s", zone, zone + 3);
}

static size_t put_literal(struct slice text, char out[64])
{
    size_t len = text.len < 64 ? text.len : 64;

    memcpy(out, text.data, len);
    return len;
}

size_t stamp_time(const char *format, uint64_t wall_ms, char *out, size_t out_bytes)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm when = {0};
    size_t len = 0;

    localtime_r(&seconds, &when);
    while (*format != '\0' && len + 64 < out_bytes) {
        const char *end = *format == '[' ? strchr(format, ']') : NULL;
        size_t i = 0;

        if (end != NULL) { /* [as it is] */
            len += put_literal(slice_make(format + 1, (size_t)(end - format - 1)), out + len);
            format = end + 1;
            continue;
        }
        while (i < COUNT(tokens) && strncmp(format, tokens[i].token, strlen(tokens[i].token)) != 0)
            i++;
        if (i == COUNT(tokens)) {
            out[len++] = *format++;
            continue;
        }
        len += put_token(i, &when, (unsigned)(wall_ms % 1000), out + len);
        format += strlen(tokens[i].token);
    }
    out[len] = '\0';
    return len;
}

static size_t put_escaped(struct slice text, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c == '"' || c == '\\') {
            out[len++] = '\\';
            out[len++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            len += (size_t)snprintf(out + len, 7, "\\u%04x", c);
        } else {
            out[len++] = (char)c;
        }
    }
    return len;
}

static size_t put_text(const char *text, char *out)
{
    size_t len = strlen(text);

    memcpy(out, text, len);
    return len;
}

static size_t json_line(const struct output_style *style, uint64_t wall_ms, struct slice line,
                        char *out)
{
    const char *format = style->date_format != NULL ? style->date_format
                                                    : "YYYY-MM-DDTHH:mm:ss.SSSZ";
    char time_text[TIME_BYTES];
    size_t len = put_text("{\"message\":\"", out);
    size_t time_len = stamp_time(format, wall_ms, time_text, sizeof time_text);

    len += put_escaped(line, out + len);
    len += put_text("\",\"timestamp\":\"", out + len);
    len += put_escaped(slice_make(time_text, time_len), out + len);
    len += (size_t)snprintf(out + len, 96, "\",\"type\":\"%s\",\"process_id\":%d,\"app_name\":\"",
                            style->type, style->process_id);
    len += put_escaped(slice_head(slice_of(style->app_name), NAME_SHOWN_MAX), out + len);
    len += put_text("\"}\n", out + len);
    return len;
}

size_t stamp_line(const struct output_style *style, uint64_t wall_ms, struct slice line, char *out)
{
    size_t len = 0;

    if (style->form == OUTPUT_JSON)
        return json_line(style, wall_ms, line, out);
    if (style->form == OUTPUT_STAMPED) {
        len = stamp_time(style->date_format, wall_ms, out, TIME_BYTES);
        len += put_text(": ", out + len);
    }
    if (line.len > 0)
        memcpy(out + len, line.data, line.len);
    out[len + line.len] = '\n';
    return len + line.len + 1;
}
