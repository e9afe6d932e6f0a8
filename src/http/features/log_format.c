#include "http/features/log_format.h"

#include "base/arena.h"
#include "base/list.h"
#include "config/variable.h"
#include "event/address.h"
#include "event/loop.h"
#include "http/exchange.h"
#include "http/features/response_facts.h"

#include <stdlib.h>

enum { TEXT_BYTES_FIRST = 4096, OPS_FIRST = 16 };

/* ---- text */

bool log_text_reserve(struct log_text *text, size_t bytes)
{
    size_t capacity = text->capacity == 0 ? TEXT_BYTES_FIRST : text->capacity;
    char *grown;

    if (text->capacity - text->len >= bytes)
        return true;
    while (capacity - text->len < bytes)
        capacity *= 2;
    grown = realloc(text->data, capacity);
    if (grown == NULL)
        return false;
    text->data = grown;
    text->capacity = capacity;
    return true;
}

bool log_text_add(struct log_text *text, struct slice piece)
{
    if (!log_text_reserve(text, piece.len))
        return false;
    if (piece.len > 0)
        memcpy(text->data + text->len, piece.data, piece.len);
    text->len += piece.len;
    return true;
}

void log_text_free(struct log_text *text)
{
    free(text->data);
    *text = (struct log_text){0};
}

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Bit 7 of each byte that is 0. Above the first such byte it may be set for others. */
static inline uint64_t zero_bytes(uint64_t word)
{
    return (word - EACH_BYTE(1)) & ~word & EACH_BYTE(0x80);
}

/* How many of the first bytes stand in a line as they are, whatever the escaping: eight at a time,
 * with the last few left to whoever looks at single ones. */
static size_t plain_len(struct slice piece)
{
    size_t i = 0;

    for (; i + 8 <= piece.len; i += 8) {
        uint64_t word;

        memcpy(&word, piece.data + i, sizeof word);
        uint64_t odd = zero_bytes(word ^ EACH_BYTE('"')) | zero_bytes(word ^ EACH_BYTE('\\'));
        uint64_t low = (word - EACH_BYTE(0x20)) & ~word;
        uint64_t high = (word + EACH_BYTE(1)) | word; /* from 0x7f on */

        if (((odd | low | high) & EACH_BYTE(0x80)) != 0)
            break;
    }
    return i;
}

static bool needs_hex(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\' || c > 0x7e;
}

static char *put_hex(char *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";

    *out++ = '\\';
    *out++ = 'x';
    *out++ = digits[c >> 4];
    *out++ = digits[c & 15];
    return out;
}

/* The letter of a two-byte JSON escape (RFC 8259, 7), or 0. */
static char json_letter(unsigned char c)
{
    switch (c) {
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '"':
    case '\\':
        return (char)c;
    default:
        return '\0';
    }
}

static char *put_json(char *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    char letter = json_letter(c);

    *out++ = '\\';
    if (letter != '\0') {
        *out++ = letter;
        return out;
    }
    memcpy(out, "u00", 3);
    out[3] = digits[c >> 4];
    out[4] = digits[c & 15];
    return out + 5;
}

bool log_text_escaped(struct log_text *text, struct slice piece, enum log_escape escape)
{
    enum { ESCAPED_BYTES_MAX = 6 };
    char *out;

    if (escape == LOG_ESCAPE_NONE)
        return log_text_add(text, piece);
    if (!log_text_reserve(text, piece.len * ESCAPED_BYTES_MAX))
        return false;
    size_t plain = plain_len(piece);

    (void)log_text_add(text, slice_head(piece, plain));
    out = text->data + text->len;
    for (size_t i = plain; i < piece.len; i++) {
        unsigned char c = (unsigned char)piece.data[i];

        if (escape == LOG_ESCAPE_DEFAULT && needs_hex(c))
            out = put_hex(out, c);
        else if (escape == LOG_ESCAPE_JSON && (c < 0x20 || c == '"' || c == '\\'))
            out = put_json(out, c);
        else
            *out++ = (char)c;
    }
    text->len = (size_t)(out - text->data);
    return true;
}

/* ---- operations */

static bool write_literal(struct log_text *text, struct exchange *x, const struct log_op *op)
{
    (void)x;
    return log_text_add(text, op->literal);
}

static bool write_variable(struct log_text *text, struct exchange *x, const struct log_op *op)
{
    struct slice value;

    if (variable_value(&x->subject, op->variable, &value))
        return log_text_escaped(text, value, op->escape);
    return op->escape != LOG_ESCAPE_DEFAULT || log_text_add(text, slice_of("-"));
}

/* With at least so many digits. */
static bool write_number(struct log_text *text, uint64_t number, size_t digits_min)
{
    char digits[20];
    size_t at = sizeof digits;

    while (number > 0 || sizeof digits - at < digits_min) {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    }
    return log_text_add(text, slice_make(digits + at, sizeof digits - at));
}

static bool write_seconds(struct log_text *text, uint64_t ms)
{
    return write_number(text, ms / 1000, 1) && log_text_add(text, slice_of(".")) &&
           write_number(text, ms % 1000, 3);
}

static bool write_time_local(struct log_text *text, struct exchange *x, const struct log_op *op)
{
    (void)op;
    return log_text_add(text, slice_of(loop_clock(x->loop)->log_local));
}

static bool write_time_iso(struct log_text *text, struct exchange *x, const struct log_op *op)
{
    (void)op;
    return log_text_add(text, slice_of(loop_clock(x->loop)->log_iso));
}

static bool write_msec(struct log_text *text, struct exchange *x, const struct log_op *op)
{
    (void)op;
    return write_seconds(text, loop_clock(x->loop)->wall_ms);
}

static bool write_request_time(struct log_text *text, struct exchange *x, const struct log_op *op)
{
    (void)op;
    return write_seconds(text, loop_now_ms(x->loop) - x->start_ms);
}

static bool write_status(struct log_text *text, struct exchange *x, const struct log_op *op)
{
    (void)op;
    return write_number(text, response_final_status(x), 3);
}

static bool write_bytes_sent(struct log_text *text, struct exchange *x, const struct log_op *op)
{
    (void)op;
    return write_number(text, x->response.bytes_sent, 1);
}

static bool write_body_bytes_sent(struct log_text *text, struct exchange *x,
                                  const struct log_op *op)
{
    (void)op;
    return write_number(text, x->response.body_bytes_sent, 1);
}

static bool write_remote_addr(struct log_text *text, struct exchange *x, const struct log_op *op)
{
    char address[ADDRESS_TEXT_BYTES];

    (void)op;
    if (x->subject.client == NULL || x->subject.client->len == 0)
        return op->escape != LOG_ESCAPE_DEFAULT || log_text_add(text, slice_of("-"));
    return log_text_add(text, slice_make(address, address_host_text(x->subject.client, address)));
}

/* What nearly every format has, written without the detour over the exchange's arena. */
static const struct {
    const char *name;
    bool (*write)(struct log_text *text, struct exchange *x, const struct log_op *op);
} direct[] = {
    {"time_local", write_time_local},
    {"time_iso8601", write_time_iso},
    {"msec", write_msec},
    {"request_time", write_request_time},
    {"status", write_status},
    {"bytes_sent", write_bytes_sent},
    {"body_bytes_sent", write_body_bytes_sent},
    {"remote_addr", write_remote_addr},
};

/* ---- compiling */

static struct log_op *add_op(struct log_format *format, struct arena *arena)
{
    size_t count = format->op_count;
    bool full = count == 0 || (count >= OPS_FIRST && (count & (count - 1)) == 0);

    if (full) {
        size_t capacity = count == 0 ? OPS_FIRST : count * 2;
        struct log_op *grown = arena_alloc(arena, capacity * sizeof *grown);

        if (grown == NULL)
            return NULL;
        if (count > 0)
            memcpy(grown, format->ops, count * sizeof *grown);
        format->ops = grown;
    }
    format->ops[count] = (struct log_op){.escape = format->escape};
    format->op_count = count + 1;
    return &format->ops[count];
}

static bool is_name_byte(char c)
{
    char lower = ascii_lower(c);

    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* Cuts "$name" or "${name}" off `*text`. False: malformed. */
static bool take_name(struct slice *text, struct slice *name)
{
    bool braces = text->len > 1 && text->data[1] == '{';
    struct slice rest = slice_skip(*text, braces ? 2 : 1);
    size_t n = 0;

    while (n < rest.len && is_name_byte(rest.data[n]))
        n++;
    if (n == 0 || (braces && (n == rest.len || rest.data[n] != '}')))
        return false;
    *name = slice_head(rest, n);
    *text = slice_skip(rest, n + (braces ? 1 : 0));
    return true;
}

static bool name_op(struct log_op *op, struct slice name, struct variables *variables)
{
    for (size_t i = 0; i < COUNT(direct); i++) {
        if (slice_eq_nocase(name, slice_of(direct[i].name))) {
            op->write = direct[i].write;
            return true;
        }
    }
    op->write = write_variable;
    op->variable = variables_find(variables, name);
    return op->variable != NULL;
}

bool log_format_compile(struct log_format *format, struct slice text, struct variables *variables,
                        struct arena *arena, const char **error)
{
    struct slice rest = arena_copy(arena, text);

    *error = "no memory";
    while (rest.data != NULL && rest.len > 0) {
        struct log_op *op = add_op(format, arena);
        ptrdiff_t dollar = slice_find(rest, '$');
        struct slice name;

        if (op == NULL)
            return false;
        if (dollar != 0) {
            size_t n = dollar < 0 ? rest.len : (size_t)dollar;

            op->write = write_literal;
            op->literal = slice_head(rest, n);
            rest = slice_skip(rest, n);
            continue;
        }
        if (!take_name(&rest, &name)) {
            *error = "invalid variable name";
            return false;
        }
        if (!name_op(op, name, variables)) {
            struct slice message = arena_printf(arena, "unknown \"%.*s\" variable",
                                                SLICE_ARG(name));

            *error = message.data == NULL ? *error : message.data;
            return false;
        }
    }
    return rest.data != NULL;
}

bool log_format_write(const struct log_format *format, struct log_text *text, struct exchange *x)
{
    for (size_t i = 0; i < format->op_count; i++) {
        if (!format->ops[i].write(text, x, &format->ops[i]))
            return false;
    }
    return log_text_add(text, slice_of("\n"));
}
