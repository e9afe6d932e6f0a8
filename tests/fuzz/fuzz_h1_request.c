/* Request heads: whole and byte by byte give the same; what is accepted, written and read again is
 * the same; the wide scans agree with their scalar twins. */
#include "base/arena.h"
#include "http/h1/lines_internal.h"
#include "http/h1/parse.h"
#include "http/h1/scan_internal.h"
#include "http/h1/write.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small, so that the fuzzer meets them. */
static const struct h1_limits limits = {
    .line_bytes_max = 64, .header_bytes_max = 48, .head_bytes_max = 400, .headers_max = 40};

static void check_scans(const char *at, const char *end)
{
    for (const char *p = at; p < end; p += 7) {
        assert(scan_value(p, end) == scan_value_scalar(p, end));
        assert(scan_name(p, end) == scan_name_scalar(p, end));
        assert(scan_target(p, end) == scan_target_scalar(p, end));
    }
}

/* The short cut for usual lines and its slow twin. */
static void check_lines(struct slice in)
{
    struct lines quick = lines_make(in, &limits);
    struct lines slow = quick;
    struct header a = {.id = HEADER_OTHER};
    struct header b = {.id = HEADER_OTHER};
    enum line_kind kind = parse_field_line(&quick, &a);

    assert(kind == parse_field_line_slowly(&slow, &b));
    assert(quick.at == slow.at && quick.error == slow.error);
    if (kind != LINE_FIELD)
        return;
    assert(a.name.data == b.name.data && a.name.len == b.name.len && a.id == b.id);
    assert(a.value.data == b.value.data && a.value.len == b.value.len);
    assert((a.flags & ~(unsigned)HEADER_VERBATIM) == b.flags);
}

static void check_same(const struct h1_request *a, const struct h1_request *b)
{
    assert(a->head_bytes == b->head_bytes);
    assert(a->method == b->method);
    assert(a->version == b->version);
    assert(a->body_kind == b->body_kind);
    assert(a->body_bytes == b->body_bytes);
    assert(a->keep_alive == b->keep_alive);
    assert(slice_eq(a->line, b->line));
    assert(slice_eq(a->path_query, b->path_query));
    assert(slice_eq(a->host.name, b->host.name));
    assert(a->headers.slot_count == b->headers.slot_count);
    for (uint32_t i = 0; i < a->headers.slot_count; i++) {
        const struct header *x = header_list_slot(&a->headers, i);
        const struct header *y = header_list_slot(&b->headers, i);

        assert(x->id == y->id && ((x->flags ^ y->flags) & ~(unsigned)HEADER_VERBATIM) == 0);
        assert(slice_eq(x->name, y->name) && slice_eq(x->value, y->value));
    }
}

/* Each call gets an allocation of its own: a byte read beyond it is seen. */
static char *exact_copy(struct slice s)
{
    char *copy = malloc(s.len + 1);

    assert(copy != NULL);
    if (s.len > 0)
        memcpy(copy + 1, s.data, s.len);
    return copy;
}

static void check_bytewise(struct slice in, const struct h1_request *whole, enum parse_result want,
                           struct arena *arena)
{
    struct h1_request r;
    enum parse_result result = PARSE_MORE;
    char *place = exact_copy(in);

    h1_request_init(&r, arena);
    for (size_t len = 0; len <= in.len && result == PARSE_MORE; len++) {
        free(place);
        place = exact_copy(slice_head(in, len));
        result = parse_request_head(slice_make(place + 1, len), &limits, &r);
    }
    assert(result == want || (result == PARSE_MORE && want == PARSE_ERROR));
    if (result == PARSE_ERROR)
        assert(r.error == whole->error);
    if (result == PARSE_OK)
        check_same(&r, whole);
    free(place);
}

/* What may be forwarded survives being written: all but the fragment (RFC 9110, 7.1). */
static void check_written(const struct h1_request *whole, struct arena *arena)
{
    static char text[8192];
    struct writer w = writer_make(text, sizeof text);
    struct h1_request expected = *whole;
    ptrdiff_t fragment = slice_find(whole->path_query, '#');
    struct h1_request r;

    if (whole->has_odd_names)
        return;
    write_request_line(&w, whole->method_text, whole->target, whole->version);
    write_headers(&w, &whole->headers);
    write_end(&w);
    assert(!w.overflow);
    h1_request_init(&r, arena);
    assert(parse_request_head(slice_make(text, w.len), &h1_default_limits, &r) == PARSE_OK);
    r.head_bytes = whole->head_bytes; /* blanks and empty lines are not written */
    r.line = whole->line;             /* nor is a version above 1.1 */
    if (fragment >= 0)
        expected.path_query = slice_head(whole->path_query, (size_t)fragment);
    check_same(&r, &expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(4096);
    struct h1_request r;
    struct slice in = slice_make((const char *)data, size < 600 ? size : 600);
    enum parse_result result;

    assert(arena != NULL);
    check_scans(in.data, in.data + in.len);
    check_lines(in);
    h1_request_init(&r, arena);
    result = parse_request_head(in, &limits, &r);
    check_bytewise(in, &r, result, arena);
    if (result == PARSE_OK)
        check_written(&r, arena);
    arena_drop(arena);
    return 0;
}
