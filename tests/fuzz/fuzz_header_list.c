/* Lists in header values: elements lie inside, in order, and hold no comma and no outer blank; what
 * Connection names is not passed on, unless it must be. */
#include "base/arena.h"
#include "http/header.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void check_tokens(struct slice value)
{
    struct slice rest = value, token;
    const char *before = value.data;

    while (header_next_token(&rest, &token)) {
        assert(token.len > 0 && token.data >= before);
        assert(token.data + token.len <= value.data + value.len);
        assert(memchr(token.data, ',', token.len) == NULL);
        assert(!is_blank(token.data[0]) && !is_blank(token.data[token.len - 1]));
        assert(header_has_token(value, token));
        before = token.data + token.len;
    }
}

/* Names that decide where a message ends or who it is for cannot be taken out by a client. */
static void check_connection(struct slice value, struct arena *arena)
{
    static const enum header_id kept[] = {HEADER_HOST, HEADER_CONTENT_LENGTH, HEADER_COOKIE,
                                          HEADER_AUTHORIZATION};
    struct header_list list;
    bool added = true;

    header_list_init(&list, arena);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        added = added && header_list_add_id(&list, kept[i], slice_make("1", 1)) != NULL;
    added = added && header_list_add_id(&list, HEADER_CONNECTION, value) != NULL;
    if (!added)
        return;
    header_list_mark_hop_by_hop(&list);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        assert((header_list_find(&list, kept[i])->flags & HEADER_HOP_BY_HOP) == 0);
    assert((header_list_find(&list, HEADER_CONNECTION)->flags & HEADER_HOP_BY_HOP) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = slice_make((const char *)data, size);
    struct arena *arena = arena_new(1024);

    assert(arena != NULL);
    if (size > 0) {
        check_tokens(value);
        check_connection(value, arena);
    }
    arena_drop(arena);
    return 0;
}
