/* Where a request ends: our decision against a slow second reader, written from RFC 9112 alone.
 *
 * What we take, the other takes too, and sees the same head, the same body and the same end. What
 * the other takes and we refuse is refused for a reason that RFC 9112 leaves to us: a limit, a
 * method, a host, a coding. Nothing is shared between the two but the input. */
#include "base/arena.h"
#include "http/h1/chunked.h"
#include "http/h1/parse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4000 };

/* ---- the second reader: one byte after the other, no table, no shortcut */

struct reading {
    const char *at;
    const char *end;
    bool bad;  /* no proper request */
    bool more; /* the beginning of one */
};

struct message {
    size_t head_bytes;
    size_t total_bytes; /* with the body; 0: it is not whole */
    size_t fields;
    size_t body_len;
    char body[INPUT_MAX];
    bool bad;
    bool more;
};

static int peek(struct reading *r)
{
    if (r->bad || r->more)
        return -1;
    if (r->at == r->end) {
        r->more = true;
        return -1;
    }
    return (unsigned char)*r->at;
}

static void expect(struct reading *r, const char *text)
{
    for (; *text != '\0'; text++) {
        if (peek(r) == (unsigned char)*text)
            r->at++;
        else if (!r->more)
            r->bad = true;
    }
}

/* RFC 9110, 5.6.2 */
static bool is_tchar(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c > 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static struct slice read_while(struct reading *r, bool (*fits)(int c))
{
    const char *begin = r->at;

    while (fits(peek(r)))
        r->at++;
    return slice_make(begin, (size_t)(r->at - begin));
}

static bool is_target(int c)
{
    return c > ' ' && c != 127;
}

/* RFC 9110, 5.5: visible bytes, blanks, and what is above ASCII */
static bool is_value(int c)
{
    return c == '\t' || (c >= ' ' && c != 127);
}

/* Of names we are more lenient than a token: such fields are told apart and not passed on. */
static bool is_name(int c)
{
    return c > ' ' && c != ':' && c != 127;
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t';
}

static struct slice trimmed(struct slice s)
{
    while (s.len > 0 && is_blank((unsigned char)s.data[0]))
        s = slice_make(s.data + 1, s.len - 1);
    while (s.len > 0 && is_blank((unsigned char)s.data[s.len - 1]))
        s.len--;
    return s;
}

static bool same_word(struct slice s, const char *word)
{
    if (s.len != strlen(word))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != word[i])
            return false;
    }
    return true;
}

struct facts {
    bool has_length, has_coding;
    unsigned long long length;
    int minor;
};

/* RFC 9112, 6.3: what is not 1*DIGIT, or does not fit, or comes twice, cannot be trusted. */
static void take_length(struct reading *r, struct facts *facts, struct slice value)
{
    if (facts->has_length || value.len == 0)
        r->bad = true;
    facts->has_length = true;
    facts->length = 0;
    for (size_t i = 0; i < value.len && !r->bad; i++) {
        unsigned digit = (unsigned char)value.data[i] - (unsigned)'0';

        if (digit > 9 || facts->length > (INT64_MAX - (unsigned long long)digit) / 10)
            r->bad = true;
        else
            facts->length = facts->length * 10 + digit;
    }
}

static void take_field(struct reading *r, struct facts *facts, struct slice name,
                       struct slice value)
{
    if (same_word(name, "content-length"))
        take_length(r, facts, value);
    if (same_word(name, "transfer-encoding")) {
        if (facts->has_coding || !same_word(value, "chunked"))
            r->bad = true;
        facts->has_coding = true;
    }
}

/* *( field-line CRLF ) CRLF */
static size_t read_fields(struct reading *r, struct facts *facts)
{
    size_t count = 0;

    while (peek(r) >= 0 && peek(r) != '\r') {
        struct slice name = read_while(r, is_name);
        struct slice value;

        if (name.len == 0)
            r->bad = r->bad || !r->more;
        expect(r, ":");
        value = trimmed(read_while(r, is_value));
        expect(r, "\r\n");
        if (!r->bad && !r->more && facts != NULL)
            take_field(r, facts, name, value);
        count++;
    }
    expect(r, "\r\n");
    return count;
}

static void read_line(struct reading *r, struct facts *facts)
{
    for (int i = 0; i < 8 && peek(r) == '\r'; i++) /* RFC 9112, 2.2 */
        expect(r, "\r\n");
    if (read_while(r, is_tchar).len == 0)
        r->bad = r->bad || !r->more;
    expect(r, " ");
    if (read_while(r, is_target).len == 0)
        r->bad = r->bad || !r->more;
    expect(r, " HTTP/1.");
    facts->minor = peek(r) >= '0' && peek(r) <= '9' ? peek(r) - '0' : -1;
    if (facts->minor < 0)
        r->bad = r->bad || !r->more;
    else
        r->at++;
    expect(r, "\r\n");
}

static void add_body(struct reading *r, struct message *message, unsigned long long bytes)
{
    size_t there = (size_t)(r->end - r->at);
    size_t taken = bytes < there ? (size_t)bytes : there;

    memcpy(message->body + message->body_len, r->at, taken);
    message->body_len += taken;
    r->at += taken;
    if (taken < bytes)
        r->more = true;
}

static int hex_of(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 9112, 7.1; an extension is anything after a semicolon. False: that was the last one. */
static bool read_chunk(struct reading *r, struct message *message)
{
    unsigned long long size = 0;
    int digits = 0;

    for (; hex_of(peek(r)) >= 0; digits++) {
        if (size > (INT64_MAX >> 4))
            r->bad = true;
        size = size * 16 + (unsigned)hex_of(peek(r));
        r->at++;
    }
    if (digits == 0)
        r->bad = r->bad || !r->more;
    if (is_blank(peek(r)))
        (void)read_while(r, is_blank);
    else if (peek(r) != ';' && peek(r) != '\r')
        r->bad = r->bad || !r->more;
    if (peek(r) == ';')
        (void)read_while(r, is_value);
    else if (r->at[-1] == ' ' || r->at[-1] == '\t')
        r->bad = r->bad || !r->more;
    expect(r, "\r\n");
    if (r->bad || r->more || size == 0)
        return false;
    add_body(r, message, size);
    expect(r, "\r\n");
    return !r->bad && !r->more;
}

static void read_message(struct slice in, struct message *message)
{
    struct reading r = {.at = in.data, .end = in.data + in.len};
    struct facts facts = {.minor = 0};

    *message = (struct message){.head_bytes = 0};
    read_line(&r, &facts);
    message->fields = read_fields(&r, &facts);
    if (facts.has_coding && (facts.has_length || facts.minor == 0))
        r.bad = true;
    message->head_bytes = (size_t)(r.at - in.data);
    message->more = r.more;
    message->bad = r.bad;
    if (r.bad || r.more)
        return;
    if (facts.has_coding) {
        while (read_chunk(&r, message))
            ;
        if (!r.bad && !r.more)
            (void)read_fields(&r, NULL);
    } else if (facts.has_length) {
        add_body(&r, message, facts.length);
    }
    message->bad = r.bad;
    message->total_bytes = r.bad || r.more ? 0 : (size_t)(r.at - in.data);
}

/* ---- ours */

static bool is_ours_to_refuse(enum h1_error error)
{
    switch (error) {
    case H1_BAD_METHOD:
    case H1_BAD_TARGET:
    case H1_H2_PREFACE:
    case H1_LINE_TOO_LONG:
    case H1_HEADER_TOO_LONG:
    case H1_HEAD_TOO_LARGE:
    case H1_TOO_MANY_HEADERS:
    case H1_NO_HOST:
    case H1_DUPLICATE_HOST:
    case H1_BAD_HOST:
    case H1_DUPLICATE_HEADER:
    case H1_EMPTY_LINES:
    case H1_BAD_LENGTH: /* above 2^63 */
    case H1_TRAILERS_TOO_LARGE:
    case H1_CHUNK_EXT_TOO_LONG:
    case H1_BAD_CHUNK_SIZE: /* more than 16 digits */
        return true;
    default:
        return false;
    }
}

/* The body of what parse_request_head() took. Its end in `in`, or 0; `error` as we see it. */
static size_t read_our_body(struct slice in, const struct h1_request *request, char *body,
                            size_t *body_len, enum h1_error *error)
{
    struct slice rest = slice_skip(in, request->head_bytes);
    struct chunked decoder;
    enum chunked_result result;

    *body_len = 0;
    *error = H1_NONE;
    if (request->body_kind == BODY_NONE)
        return request->head_bytes;
    if (request->body_kind == BODY_LENGTH) {
        if (request->body_bytes > rest.len)
            return 0;
        *body_len = (size_t)request->body_bytes;
        memcpy(body, rest.data, *body_len);
        return request->head_bytes + *body_len;
    }
    chunked_init(&decoder, &h1_default_limits, NULL);
    do {
        struct slice data = {0};
        size_t used = 0;

        result = chunked_next(&decoder, rest, &data, &used);
        rest = slice_skip(rest, used);
        if (result == CHUNKED_DATA) {
            memcpy(body + *body_len, data.data, data.len);
            *body_len += data.len;
        }
    } while (result == CHUNKED_DATA);
    *error = decoder.error;
    return result == CHUNKED_END ? in.len - rest.len : 0;
}

static void compare(struct slice in, const struct h1_request *ours, enum parse_result result)
{
    static struct message other;
    static char body[INPUT_MAX];
    enum h1_error error = H1_NONE;
    size_t body_len, end;

    read_message(in, &other);
    if (result == PARSE_MORE) {
        assert(other.more || other.bad);
        return;
    }
    if (result == PARSE_ERROR) {
        assert(other.bad || other.more || is_ours_to_refuse(ours->error));
        return;
    }
    assert(other.head_bytes == ours->head_bytes && other.fields == ours->headers.slot_count);
    assert(!other.bad || ours->body_kind == BODY_CHUNKED);
    end = read_our_body(in, ours, body, &body_len, &error);
    if (error != H1_NONE) {
        assert(other.total_bytes == 0 || is_ours_to_refuse(error));
        return;
    }
    assert(end == other.total_bytes);
    if (end > 0)
        assert(body_len == other.body_len && memcmp(body, other.body, body_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(4096);
    struct slice in = slice_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
    struct h1_request request;

    assert(arena != NULL);
    h1_request_init(&request, arena);
    compare(in, &request, parse_request_head(in, &h1_default_limits, &request));
    arena_drop(arena);
    return 0;
}
