#include "http/features/variable_text.h"

#include "base/arena.h"
#include "http/exchange.h"

#include <inttypes.h>

bool text_decimal(struct exchange *x, uint64_t number, struct slice *text)
{
    *text = arena_printf(x->subject.arena, "%" PRIu64, number);
    return text->data != NULL;
}

bool text_seconds(struct exchange *x, uint64_t ms, struct slice *text)
{
    *text = arena_printf(x->subject.arena, "%" PRIu64 ".%03u", ms / 1000, (unsigned)(ms % 1000));
    return text->data != NULL;
}

/* "user-agent" is asked for as "user_agent". */
static bool same_name(struct slice header, struct slice name)
{
    if (header.len != name.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = header.data[i] == '-' ? '_' : ascii_lower(header.data[i]);

        if (c != name.data[i])
            return false;
    }
    return true;
}

static size_t joined_bytes(const struct header_list *list, struct slice name, unsigned *count,
                           struct slice *first)
{
    uint32_t at = 0;
    size_t bytes = 0;

    *count = 0;
    for (const struct header *h; (h = header_list_next(list, &at)) != NULL;) {
        if (!same_name(h->name, name))
            continue;
        if ((*count)++ == 0)
            *first = h->value;
        bytes += h->value.len + 2;
    }
    return bytes;
}

bool text_headers(struct exchange *x, const struct header_list *list, struct slice name,
                  struct slice *text)
{
    static const struct slice cookie = SLICE("cookie");
    const char *separator = slice_eq(name, cookie) ? "; " : ", ";
    unsigned count;
    size_t bytes = list == NULL ? 0 : joined_bytes(list, name, &count, text);

    if (bytes == 0)
        return false;
    if (count == 1)
        return true;
    char *out = arena_bytes(x->subject.arena, bytes);
    size_t used = 0;
    uint32_t at = 0;

    if (out == NULL)
        return false;
    for (const struct header *h; (h = header_list_next(list, &at)) != NULL;) {
        if (!same_name(h->name, name))
            continue;
        memcpy(out + used, separator, used == 0 ? 0 : 2);
        used += used == 0 ? 0 : 2;
        if (h->value.len > 0)
            memcpy(out + used, h->value.data, h->value.len);
        used += h->value.len;
    }
    *text = slice_make(out, used);
    return true;
}
