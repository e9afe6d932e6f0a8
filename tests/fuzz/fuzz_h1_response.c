/* Response heads: whole and byte by byte give the same, and framing never leaves a contradiction.
 */
#include "base/arena.h"
#include "http/h1/parse.h"
#include "http/h1/write.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct h1_limits limits = {
    .line_bytes_max = 64, .header_bytes_max = 48, .head_bytes_max = 400, .headers_max = 40};

static enum parse_result parse_bytewise(struct slice in, struct h1_response *r)
{
    enum parse_result result = PARSE_MORE;

    for (size_t len = 0; len <= in.len && result == PARSE_MORE; len++)
        result = parse_response_head(slice_head(in, len), &limits, r);
    return result;
}

static void check_frame(struct h1_response *r, enum method method)
{
    bool coded = header_list_find(&r->headers, HEADER_TRANSFER_ENCODING) != NULL;
    bool sized = header_list_find(&r->headers, HEADER_CONTENT_LENGTH) != NULL;

    if (h1_response_frame(r, method) != H1_NONE)
        return;
    assert(!(coded && sized));
    assert(r->body_kind != BODY_LENGTH || (sized && r->body_bytes > 0));
    assert(r->body_kind != BODY_CHUNKED || coded);
    assert(r->body_kind != BODY_UNTIL_CLOSE || !r->keep_alive);
    assert(method != METHOD_HEAD || r->body_kind == BODY_NONE || r->status == 101);
}

static void check_written(const struct h1_response *whole, struct arena *arena)
{
    static char text[8192];
    struct writer w = writer_make(text, sizeof text);
    struct h1_response r;

    if (whole->has_odd_names)
        return;
    write_status_line(&w, whole->status, whole->reason);
    write_headers(&w, &whole->headers);
    write_end(&w);
    assert(!w.overflow);
    h1_response_init(&r, arena);
    assert(parse_response_head(slice_make(text, w.len), &h1_default_limits, &r) == PARSE_OK);
    assert(r.headers.slot_count == whole->headers.slot_count);
    assert(r.status == whole->status || (whole->status >= 494 && whole->status <= 497));
}

static void check_fields(struct slice in, enum h1_line_end line_end, struct arena *arena)
{
    struct header_list list;
    struct h1_fields fields = {.line_end = line_end, .limits = &limits, .headers = &list};
    enum parse_result result;

    header_list_init(&list, arena);
    result = parse_fields(in, &fields);
    assert((result == PARSE_ERROR) == (fields.error != H1_NONE));
    assert(fields.head_bytes <= in.len);
    assert((result == PARSE_OK) == (fields.head_bytes > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(4096);
    struct slice in = slice_make((const char *)data, size < 600 ? size : 600);
    struct h1_response whole, pieces;
    enum parse_result result, again;

    assert(arena != NULL);
    h1_response_init(&whole, arena);
    h1_response_init(&pieces, arena);
    result = parse_response_head(in, &limits, &whole);
    again = parse_bytewise(in, &pieces);
    assert(again == result || (again == PARSE_MORE && result == PARSE_ERROR));
    if (again == PARSE_ERROR)
        assert(pieces.error == whole.error);
    if (again == PARSE_OK) {
        assert(pieces.head_bytes == whole.head_bytes);
        assert(pieces.headers.slot_count == whole.headers.slot_count);
        check_frame(&whole, METHOD_GET);
        check_frame(&whole, METHOD_HEAD);
        check_written(&whole, arena);
    }
    check_fields(in, LINES_CRLF, arena);
    check_fields(in, LINES_LF_OR_CRLF, arena);
    arena_drop(arena);
    return 0;
}
