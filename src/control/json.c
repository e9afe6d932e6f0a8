/* JSON as a tree. Runs in: master; cli. */
#include "control/json.h"

#include "base/arena.h"

#include <stdlib.h>

struct parser {
    struct arena *arena;
    struct slice rest;
    unsigned depth;
};

static struct json *parse_value(struct parser *parser);

static void skip_space(struct parser *parser)
{
    while (parser->rest.len > 0 && parser->rest.data[0] != '\0' &&
           strchr(" \t\r\n", parser->rest.data[0]) != NULL)
        parser->rest = slice_skip(parser->rest, 1);
}

static bool accept(struct parser *parser, const char *word)
{
    struct slice wanted = slice_of(word);

    if (!slice_starts(parser->rest, wanted))
        return false;
    parser->rest = slice_skip(parser->rest, wanted.len);
    return true;
}

static struct json *make(struct parser *parser, enum json_kind kind)
{
    struct json *value = arena_zalloc(parser->arena, sizeof *value);

    if (value != NULL)
        value->kind = kind;
    return value;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex4(struct parser *parser, uint32_t *code)
{
    *code = 0;
    if (parser->rest.len < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(parser->rest.data[i]);

        if (digit < 0)
            return false;
        *code = *code * 16 + (uint32_t)digit;
    }
    parser->rest = slice_skip(parser->rest, 4);
    return true;
}

static size_t put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* Behind "\u". Halves of a pair must stand together (RFC 8259, 7). 0: malformed; an escape of 6 or
 * 12 bytes becomes 4 at most. */
static size_t parse_unicode(struct parser *parser, char *out)
{
    uint32_t code;
    uint32_t low;

    if (!parse_hex4(parser, &code) || (code >= 0xdc00 && code < 0xe000))
        return 0;
    if (code >= 0xd800 && code < 0xdc00) {
        if (!accept(parser, "\\u") || !parse_hex4(parser, &low) || low < 0xdc00 || low > 0xdfff)
            return 0;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return put_utf8(out, code);
}

static size_t parse_escape(struct parser *parser, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = parser->rest.len > 0 ? parser->rest.data[0] : '\0';
    const char *at = c == '\0' ? NULL : strchr(from, c);

    parser->rest = slice_skip(parser->rest, 1);
    if (c == 'u')
        return parse_unicode(parser, out);
    if (at == NULL)
        return 0;
    *out = to[at - from];
    return 1;
}

/* How far it is to the closing quote: what the text needs at most. */
static size_t text_bound(struct slice rest)
{
    size_t bound = 0;

    while (bound < rest.len && rest.data[bound] != '"')
        bound += rest.data[bound] == '\\' ? 2 : 1;
    return bound < rest.len ? bound : rest.len;
}

/* Behind the opening quote. What comes out is never longer than what stands there. */
static bool parse_text(struct parser *parser, struct slice *text)
{
    char *out = arena_bytes(parser->arena, text_bound(parser->rest) + 4);
    size_t len = 0;

    while (out != NULL && parser->rest.len > 0) {
        char c = parser->rest.data[0];
        size_t put = 1;

        parser->rest = slice_skip(parser->rest, 1);
        if (c == '"') {
            *text = slice_make(out, len);
            return true;
        }
        if ((unsigned char)c < 0x20)
            return false;
        if (c == '\\')
            put = parse_escape(parser, out + len);
        else
            out[len] = c;
        if (put == 0)
            return false;
        len += put;
    }
    return false;
}

static struct json *parse_string(struct parser *parser)
{
    struct json *value = make(parser, JSON_STRING);

    return value != NULL && parse_text(parser, &value->text) ? value : NULL;
}

static size_t digits(struct parser *parser)
{
    size_t count = 0;

    while (count < parser->rest.len && parser->rest.data[count] >= '0' &&
           parser->rest.data[count] <= '9')
        count++;
    parser->rest = slice_skip(parser->rest, count);
    return count;
}

static bool skip_exponent(struct parser *parser)
{
    if (!accept(parser, "e") && !accept(parser, "E"))
        return true;
    if (!accept(parser, "+"))
        accept(parser, "-");
    return digits(parser) > 0;
}

static struct json *parse_number(struct parser *parser)
{
    struct json *value = make(parser, JSON_NUMBER);
    struct slice from = parser->rest;
    struct slice text;

    accept(parser, "-");
    if (!accept(parser, "0") && digits(parser) == 0)
        return NULL;
    if (accept(parser, ".") && digits(parser) == 0)
        return NULL;
    if (!skip_exponent(parser))
        return NULL;
    text = arena_copy(parser->arena, slice_head(from, from.len - parser->rest.len));
    if (value == NULL || text.data == NULL)
        return NULL;
    value->number = strtod(text.data, NULL);
    return value;
}

static bool parse_member(struct parser *parser, struct json **value)
{
    struct slice name;

    skip_space(parser);
    if (!accept(parser, "\"") || !parse_text(parser, &name))
        return false;
    skip_space(parser);
    if (!accept(parser, ":"))
        return false;
    *value = parse_value(parser);
    if (*value != NULL)
        (*value)->name = name;
    return *value != NULL;
}

/* Behind the opening bracket. */
static struct json *parse_items(struct parser *parser, enum json_kind kind)
{
    const char *end = kind == JSON_OBJECT ? "}" : "]";
    struct json *list = make(parser, kind);
    struct json **last = list == NULL ? NULL : &list->first;

    skip_space(parser);
    if (list == NULL || accept(parser, end))
        return list;
    do {
        if (kind == JSON_OBJECT) {
            if (!parse_member(parser, last))
                return NULL;
        } else {
            *last = parse_value(parser);
            if (*last == NULL)
                return NULL;
        }
        last = &(*last)->next;
        skip_space(parser);
    } while (accept(parser, ","));
    return accept(parser, end) ? list : NULL;
}

static struct json *parse_nested(struct parser *parser, enum json_kind kind)
{
    struct json *list;

    if (parser->depth == JSON_DEPTH_MAX)
        return NULL;
    parser->depth++;
    list = parse_items(parser, kind);
    parser->depth--;
    return list;
}

static struct json *parse_value(struct parser *parser)
{
    struct json *value;

    skip_space(parser);
    if (accept(parser, "\""))
        return parse_string(parser);
    if (accept(parser, "{"))
        return parse_nested(parser, JSON_OBJECT);
    if (accept(parser, "["))
        return parse_nested(parser, JSON_ARRAY);
    if (accept(parser, "null"))
        return make(parser, JSON_NULL);
    if (accept(parser, "false"))
        return make(parser, JSON_BOOL);
    if (!accept(parser, "true"))
        return parse_number(parser);
    value = make(parser, JSON_BOOL);
    if (value != NULL)
        value->truth = true;
    return value;
}

struct json *json_parse(struct arena *arena, struct slice text)
{
    struct parser parser = {.arena = arena, .rest = text};
    struct json *value = parse_value(&parser);

    skip_space(&parser);
    return parser.rest.len == 0 ? value : NULL;
}

const struct json *json_member(const struct json *object, const char *name)
{
    const struct json *found = NULL;

    if (object == NULL || object->kind != JSON_OBJECT)
        return NULL;
    for (const struct json *member = object->first; member != NULL; member = member->next) {
        if (slice_eq(member->name, slice_of(name)))
            found = member;
    }
    return found;
}

struct slice json_member_text(const struct json *object, const char *name)
{
    const struct json *member = json_member(object, name);

    return member != NULL && member->kind == JSON_STRING ? member->text : slice_make("", 0);
}

void json_write_text(FILE *out, struct slice text)
{
    putc('"', out);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            putc(c, out);
    }
    putc('"', out);
}
