/* A request's head, made once in the form of HTTP/1.1, in the form of HTTP/2.
 *
 * So proxy_set_header and its kin know one form only, and a peer that speaks HTTP/1.1 after all
 * gets the same head. Runs in: worker, loop thread. */
#include "base/arena.h"
#include "http/header.h"
#include "http/mux/mux.h"
#include "http/relay/h2_internal.h"
#include "http/relay/relay_internal.h"

#include <assert.h>

enum { PSEUDO_FIELDS = 5 };

static bool next_line(struct slice *text, struct slice *line)
{
    ptrdiff_t end = slice_find(*text, '\r');

    if (end < 0 || (size_t)end + 1 >= text->len || text->data[end + 1] != '\n')
        return false;
    *line = slice_head(*text, (size_t)end);
    *text = slice_skip(*text, (size_t)end + 2);
    return true;
}

static size_t count_lines(struct slice text)
{
    struct slice line;
    size_t count = 0;

    while (next_line(&text, &line))
        count++;
    return count;
}

static void add(struct h2_head *head, struct slice name, struct slice value)
{
    head->fields[head->count++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.data,
                                               .namelen = name.len,
                                               .value = (uint8_t *)(uintptr_t)value.data,
                                               .valuelen = value.len};
}

/* "METHOD target HTTP/1.1" */
static bool add_line(struct h2_head *head, struct slice line, struct h2_head_form form)
{
    ptrdiff_t first = slice_find(line, ' ');
    struct slice rest = first < 0 ? slice_make(NULL, 0) : slice_skip(line, (size_t)first + 1);
    ptrdiff_t second = slice_find(rest, ' ');

    if (first <= 0 || second <= 0)
        return false;
    add(head, slice_of(":method"),
        form.upgrade ? slice_of("CONNECT") : slice_head(line, (size_t)first));
    add(head, slice_of(":scheme"), slice_of(form.secure ? "https" : "http"));
    add(head, slice_of(":path"), slice_head(rest, (size_t)second));
    return true;
}

/* Of the fields of one connection only "TE: trailers" has a meaning here (RFC 9113, 8.2.2). */
static bool is_for_stream(enum header_id id, struct slice value)
{
    if (id == HEADER_TE)
        return slice_eq_nocase(value, slice_of("trailers"));
    return (header_traits(id) & HEADER_HOP) == 0;
}

static bool split_field(struct slice line, struct slice *name, struct slice *value)
{
    ptrdiff_t colon = slice_find(line, ':');

    if (colon <= 0)
        return false;
    *name = slice_head(line, (size_t)colon);
    *value = slice_trim(slice_skip(line, (size_t)colon + 1));
    return true;
}

static struct slice find_value(struct slice text, enum header_id id)
{
    struct slice line, name, value;

    while (next_line(&text, &line))
        if (split_field(line, &name, &value) && header_id_of(name) == id)
            return value;
    return slice_make(NULL, 0);
}

/* Pseudo fields come first: they are looked for before the others are added. */
static bool add_pseudo(struct h2_head *head, struct slice text, struct h2_head_form form)
{
    struct slice host = find_value(text, HEADER_HOST);
    struct slice protocol = find_value(text, HEADER_UPGRADE);

    if (form.upgrade)
        add(head, slice_of(":protocol"), protocol);
    if (host.len > 0)
        add(head, slice_of(":authority"), host);
    return !form.upgrade || protocol.len > 0;
}

bool h2_head_from_text(struct arena *arena, struct slice text, struct h2_head_form form,
                       struct h2_head *head)
{
    struct slice line, name, value;

    head->count = 0;
    head->fields = arena_alloc(arena, (count_lines(text) + PSEUDO_FIELDS) * sizeof *head->fields);
    if (head->fields == NULL || !next_line(&text, &line) || !add_line(head, line, form) ||
        !add_pseudo(head, text, form))
        return false;
    while (next_line(&text, &line) && line.len > 0) {
        enum header_id id;

        if (!split_field(line, &name, &value))
            return false;
        id = header_id_of(name);
        if (form.upgrade && slice_eq_nocase(name, slice_of("Sec-WebSocket-Key")))
            continue; /* a handshake of HTTP/1.1's */
        if (id != HEADER_HOST && is_for_stream(id, value))
            add(head, name, value);
    }
    return true;
}

bool h2_submit_head(struct relay *r, struct slice text, bool has_body)
{
    struct h2_head_form form = {.secure = r->tls != NULL,
                                .upgrade = (r->flags & RELAY_UPGRADE) != 0};
    struct h2_head head;

    assert(r->conn->stream != NULL);
    return h2_head_from_text(relay_arena(r), text, form, &head) &&
           mux_submit(r->conn->stream, head.fields, head.count, has_body);
}
