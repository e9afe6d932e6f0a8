/* A request's head from HTTP/1.1's text to HTTP/2's fields: pseudo fields first, nothing of a
 * connection's own, nothing that was not in the text; and back to text again without loss. */
#include "base/arena.h"
#include "http/h1/parse.h"
#include "http/h1/write.h"
#include "http/relay/h2_internal.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice name_of(const nghttp2_nv *field)
{
    return slice_make((const char *)field->name, field->namelen);
}

static struct slice value_of(const nghttp2_nv *field)
{
    return slice_make((const char *)field->value, field->valuelen);
}

static bool is_pseudo(struct slice name)
{
    return name.len > 0 && name.data[0] == ':';
}

static void check_field(struct slice name, struct slice value)
{
    enum header_id id = header_id_of(name);

    assert(name.len > 0);
    assert(slice_find(value, '\n') < 0 || slice_find(value, '\r') < 0 ||
           slice_search(value, slice_of("\r\n")) < 0);
    assert(id != HEADER_HOST);
    assert((header_traits(id) & HEADER_HOP) == 0 || id == HEADER_TE);
    assert(id != HEADER_TE || slice_eq_nocase(value, slice_of("trailers")));
}

static void check(const struct h2_head *head)
{
    bool regular = false;

    assert(head->count >= 3);
    for (size_t i = 0; i < head->count; i++) {
        struct slice name = name_of(&head->fields[i]);

        if (i < 3)
            assert(is_pseudo(name));
        regular = regular || !slice_eq(slice_head(name, 1), slice_of(":"));
        if (regular)
            check_field(name, value_of(&head->fields[i]));
    }
}

/* What a parser of ours accepts goes over whole. */
static void check_parsed(struct slice text, struct arena *arena, const struct h2_head *head)
{
    struct h1_request request;
    const struct header *field;
    size_t kept = 0;
    uint32_t at = 0;

    h1_request_init(&request, arena);
    if (parse_request_head(text, &h1_default_limits, &request) != PARSE_OK || request.has_odd_names)
        return;
    while ((field = header_list_next(&request.headers, &at)) != NULL) {
        bool hop = (header_traits(field->id) & HEADER_HOP) != 0;
        bool te = field->id == HEADER_TE && slice_eq_nocase(field->value, slice_of("trailers"));

        kept += (!hop || te) && field->id != HEADER_HOST;
    }
    assert(head->count >= kept + 3);
    assert(slice_eq(value_of(&head->fields[0]), request.method_text));
    assert(slice_eq(value_of(&head->fields[2]), request.target));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(4096);
    struct slice text = slice_make((const char *)data, size);
    struct h2_head_form form = {.secure = (size & 1) != 0, .upgrade = (size & 2) != 0};
    struct h2_head head;

    assert(arena != NULL);
    if (h2_head_from_text(arena, text, form, &head)) {
        check(&head);
        if (!form.upgrade)
            check_parsed(text, arena, &head);
    }
    arena_drop(arena);
    return 0;
}
