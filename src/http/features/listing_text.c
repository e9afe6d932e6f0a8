#include "http/features/listing_text.h"

#include "base/clock.h"
#include "http/features/listing.h"
#include "http/uri.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    NAME_COLUMNS = 50, /* of a name in HTML; a longer one ends with dots */
    NAME_KEPT = 47,
};

static void put(FILE *out, struct slice s)
{
    if (s.len > 0)
        fwrite(s.data, 1, s.len, out);
}

static void put_html(FILE *out, struct slice s)
{
    static const struct {
        char byte;
        const char *text;
    } entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};

    for (size_t i = 0; i < s.len; i++) {
        const char *text = NULL;

        for (size_t k = 0; k < sizeof entities / sizeof entities[0]; k++)
            if (entities[k].byte == s.data[i])
                text = entities[k].text;
        if (text != NULL)
            fputs(text, out);
        else
            putc(s.data[i], out);
    }
}

static void put_href(FILE *out, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        char lower = ascii_lower((char)c);

        if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
            (c != 0 && strchr("-._~/!$()*+,=@", c) != NULL))
            putc(c, out);
        else
            fprintf(out, "%%%c%c", hex[c >> 4], hex[c & 15]);
    }
}

/* How many bytes the character at the beginning has, if it is well-formed UTF-8; else 1. */
static size_t character_bytes(struct slice s)
{
    unsigned char c = (unsigned char)s.data[0];
    size_t n = c >= 0xf0 && c < 0xf5 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;

    if (c >= 0xf5 || n > s.len)
        return 1;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s.data[i] & 0xc0) != 0x80)
            return 1;
    return n;
}

static size_t columns(struct slice s)
{
    size_t count = 0;

    for (; s.len > 0; count++)
        s = slice_skip(s, character_bytes(s));
    return count;
}

static struct slice head_columns(struct slice s, size_t wanted)
{
    struct slice rest = s;

    for (size_t i = 0; i < wanted && rest.len > 0; i++)
        rest = slice_skip(rest, character_bytes(rest));
    return slice_head(s, s.len - rest.len);
}

/* ---- HTML */

/* "1023", "12K", "3M", "2G": rounded, as people read it. */
static void put_size(FILE *out, uint64_t size)
{
    static const char units[] = {'K', 'M', 'G'};
    uint64_t value = size;
    int unit = -1;

    while (value > 1023 && unit < 2) {
        unit++;
        value = (value + 512) / 1024;
    }
    if (unit < 0)
        fprintf(out, "%7llu", (unsigned long long)value);
    else
        fprintf(out, "%6llu%c", (unsigned long long)value, units[unit]);
}

static void put_html_entry(FILE *out, const struct listing_entry *entry,
                           const struct listing_style *style)
{
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct slice name = slice_make(entry->name, entry->name_len);
    const char *slash = entry->is_folder ? "/" : "";
    size_t width = columns(name) + strlen(slash);
    struct tm tm;

    fputs("<a href=\"", out);
    put_href(out, name);
    fprintf(out, "%s\">", slash);
    put_html(out, width > NAME_COLUMNS ? head_columns(name, NAME_KEPT) : name);
    fprintf(out, "%s</a>%*s", width > NAME_COLUMNS ? "..&gt;" : slash,
            width > NAME_COLUMNS ? 1 : (int)(NAME_COLUMNS - width) + 1, "");
    if (style->local_time)
        localtime_r(&entry->modified, &tm);
    else
        gmtime_r(&entry->modified, &tm);
    fprintf(out, "%02d-%s-%d %02d:%02d ", tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
            tm.tm_hour, tm.tm_min);
    if (entry->is_folder)
        fprintf(out, "%*s", style->exact_size ? 19 : 7, "-");
    else if (style->exact_size)
        fprintf(out, "%19llu", (unsigned long long)entry->size);
    else
        put_size(out, entry->size);
    fputs("\r\n", out);
}

static void put_html_page(FILE *out, const struct listing *listing, struct slice uri,
                          const struct listing_style *style)
{
    fputs("<html>\r\n<head><title>Index of ", out);
    put_html(out, uri);
    fputs("</title></head>\r\n<body>\r\n<h1>Index of ", out);
    put_html(out, uri);
    fputs("</h1><hr><pre><a href=\"../\">../</a>\r\n", out);
    for (size_t i = 0; i < listing->count; i++)
        put_html_entry(out, &listing->entries[i], style);
    fputs("</pre><hr></body>\r\n</html>\r\n", out);
}

/* ---- JSON and XML */

/* Bytes that are no UTF-8 become U+FFFD: JSON has no other bytes (RFC 8259, 8.1). */
static void put_json(FILE *out, struct slice s)
{
    while (s.len > 0) {
        unsigned char c = (unsigned char)s.data[0];
        size_t n = character_bytes(s);

        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else if (c >= 0x80 && n == 1)
            fputs("\xef\xbf\xbd", out);
        else
            put(out, slice_head(s, n));
        s = slice_skip(s, n);
    }
}

static const char *kind_of(const struct listing_entry *entry)
{
    return entry->is_folder ? "directory" : entry->is_regular ? "file" : "other";
}

static void put_json_list(FILE *out, const struct listing *listing)
{
    fputs("[\r\n", out);
    for (size_t i = 0; i < listing->count; i++) {
        const struct listing_entry *entry = &listing->entries[i];
        char date[30];

        clock_http_date(entry->modified, date);
        fputs("{ \"name\":\"", out);
        put_json(out, slice_make(entry->name, entry->name_len));
        fprintf(out, "\", \"type\":\"%s\", \"mtime\":\"%s\"", kind_of(entry), date);
        if (entry->is_regular)
            fprintf(out, ", \"size\":%llu", (unsigned long long)entry->size);
        fprintf(out, " }%s\r\n", i + 1 < listing->count ? "," : "");
    }
    fputs("]", out);
}

static void put_xml_list(FILE *out, const struct listing *listing)
{
    fputs("<?xml version=\"1.0\"?>\r\n<list>\r\n", out);
    for (size_t i = 0; i < listing->count; i++) {
        const struct listing_entry *entry = &listing->entries[i];
        struct tm tm;

        gmtime_r(&entry->modified, &tm);
        fprintf(out, "<%s mtime=\"%04d-%02d-%02dT%02d:%02d:%02dZ\"", kind_of(entry),
                tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        if (entry->is_regular)
            fprintf(out, " size=\"%llu\"", (unsigned long long)entry->size);
        fputs(">", out);
        put_html(out, slice_make(entry->name, entry->name_len));
        fprintf(out, "</%s>\r\n", kind_of(entry));
    }
    fputs("</list>\r\n", out);
}

struct slice listing_text(const struct listing *listing, struct slice uri,
                          const struct listing_style *style)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL)
        return slice_make(NULL, 0);
    switch (style->format) {
    case LISTING_HTML:
        put_html_page(out, listing, uri, style);
        break;
    case LISTING_JSONP:
        /* The comment keeps the file from being taken for something else by its first bytes. */
        fprintf(out, "/* callback */\r\n%.*s(", SLICE_ARG(style->callback));
        put_json_list(out, listing);
        fputs(");", out);
        break;
    case LISTING_JSON:
        put_json_list(out, listing);
        break;
    case LISTING_XML:
        put_xml_list(out, listing);
        break;
    }
    bool ok = ferror(out) == 0;

    if (fclose(out) != 0 || !ok) {
        free(text);
        return slice_make(NULL, 0);
    }
    return slice_make(text, len);
}
