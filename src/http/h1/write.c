/* Message heads into bytes. Runs in: worker, loop thread. */
#include "http/h1/write.h"

#include "http/h1/scan_internal.h"
#include "http/status.h"

#include <assert.h>

static inline bool has_room(struct writer *w, size_t bytes)
{
    if (!w->overflow && w->capacity - w->len >= bytes)
        return true;
    w->overflow = true;
    return false;
}

/* As memcpy(). Most pieces of a head are so short that calling it costs more than copying. */
static inline void copy(char *to, const char *from, size_t len)
{
    if (len > 32) {
        memcpy(to, from, len);
    } else if (len >= 16) {
        memcpy(to, from, 16);
        memcpy(to + len - 16, from + len - 16, 16);
    } else if (len >= 8) {
        memcpy(to, from, 8);
        memcpy(to + len - 8, from + len - 8, 8);
    } else if (len >= 4) {
        memcpy(to, from, 4);
        memcpy(to + len - 4, from + len - 4, 4);
    } else {
        for (size_t i = 0; i < len; i++)
            to[i] = from[i];
    }
}

/* Only behind has_room(). */
static inline void append(struct writer *w, struct slice s)
{
    copy(w->data + w->len, s.data, s.len);
    w->len += s.len;
}

void write_bytes(struct writer *w, struct slice s)
{
    assert(w->overflow || w->len <= w->capacity);
    if (has_room(w, s.len))
        append(w, s);
}

static struct slice decimal(uint64_t value, char digits[20])
{
    size_t at = 20;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return slice_make(digits + at, 20 - at);
}

void write_u64(struct writer *w, uint64_t value)
{
    char digits[20];

    write_bytes(w, decimal(value, digits));
}

/* Text that must stay on its line. Control bytes are rare: they are looked for in what was written.
 */
static void append_text(struct writer *w, struct slice s)
{
    char *at = w->data + w->len;
    char *end = at + s.len;

    append(w, s);
    while ((at = (char *)scan_value(at, end)) < end)
        *at++ = ' ';
}

/* A target that was parsed has no such byte; one that was composed from variables may have. A
 * fragment is no part of what is asked for (RFC 9110, 7.1): our locations have not seen it, and who
 * reads the request next must not see another path than they did. */
static void write_target(struct writer *w, struct slice target)
{
    static const char digits[] = "0123456789ABCDEF";
    ptrdiff_t fragment = slice_find(target, '#');

    if (fragment >= 0)
        target.len = (size_t)fragment;
    const char *end = target.data + target.len;

    while (target.len > 0) {
        const char *stop = scan_target(target.data, end);
        size_t len = (size_t)(stop - target.data);

        write_bytes(w, slice_head(target, len));
        target = slice_skip(target, len);
        if (target.len > 0) {
            unsigned char c = (unsigned char)*stop;
            char escape[3] = {'%', digits[c >> 4], digits[c & 15]};

            write_bytes(w, slice_make(escape, sizeof escape));
            target = slice_skip(target, 1);
        }
    }
}

void write_request_line(struct writer *w, struct slice method, struct slice target,
                        unsigned version)
{
    const char *end = method.data + method.len;

    assert(version == 10 || version == 11);
    if (method.len == 0 || scan_target(method.data, end) < end) {
        w->overflow = true;
        return;
    }
    if (has_room(w, method.len + 1)) {
        append(w, method);
        append(w, slice_make(" ", 1));
    }
    if (target.len == 0)
        target = slice_make("/", 1);
    write_target(w, target);
    write_bytes(w, slice_make(version == 11 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n", 11));
}

void write_status_line(struct writer *w, unsigned status, struct slice reason)
{
    static const struct slice ok = SLICE("HTTP/1.1 200 OK\r\n");
    char digits[20];

    if (status == 200 && (reason.len == 0 || slice_eq(reason, slice_make("OK", 2)))) {
        write_bytes(w, ok);
        return;
    }
    status = status_on_wire(status);
    assert(status >= 100 && status <= 999);
    if (reason.len == 0)
        reason = status_reason(status);
    if (!has_room(w, reason.len + sizeof "HTTP/1.1 200 \r\n" - 1))
        return;
    append(w, slice_make("HTTP/1.1 ", 9));
    append(w, decimal(status, digits));
    append(w, slice_make(" ", 1));
    append_text(w, reason);
    append(w, slice_make("\r\n", 2));
}

void write_line(struct writer *w, struct slice name, struct slice value)
{
    if (!has_room(w, name.len + value.len + 4))
        return;
    append(w, name);
    append(w, slice_make(": ", 2));
    append_text(w, value);
    append(w, slice_make("\r\n", 2));
}

void write_header(struct writer *w, struct slice name, struct slice value)
{
    if ((header_name_flags(name) & HEADER_NAME_INVALID) == 0)
        write_line(w, name, value);
}

void write_header_id(struct writer *w, enum header_id id, struct slice value)
{
    assert(id != HEADER_OTHER);
    write_line(w, header_name(id), value);
}

void write_header_u64(struct writer *w, enum header_id id, uint64_t value)
{
    char digits[20];

    write_header_id(w, id, decimal(value, digits));
}

void write_headers(struct writer *w, const struct header_list *list)
{
    struct field_run run = {NULL, NULL};
    uint32_t at = 0;

    for (const struct header *h; (h = header_list_next(list, &at)) != NULL;) {
        if ((h->flags & (HEADER_HOP_BY_HOP | HEADER_NAME_INVALID)) == 0)
            write_field(w, &run, h);
    }
    write_run(w, &run);
}

void write_run(struct writer *w, struct field_run *run)
{
    if (run->end > run->begin)
        write_bytes(w, slice_make(run->begin, (size_t)(run->end - run->begin)));
    *run = (struct field_run){NULL, NULL};
}

void write_field(struct writer *w, struct field_run *run, const struct header *field)
{
    if (!header_is_verbatim(field)) {
        write_run(w, run);
        write_line(w, field->name, field->value);
        return;
    }
    if (run->end != field->name.data) {
        write_run(w, run);
        run->begin = field->name.data;
    }
    run->end = field->value.data + field->value.len + 2;
}

void write_end(struct writer *w)
{
    write_bytes(w, slice_make("\r\n", 2));
}

size_t headers_written_len(const struct header_list *list)
{
    uint32_t at = 0;
    size_t len = 0;

    for (const struct header *h; (h = header_list_next(list, &at)) != NULL;)
        len += h->name.len + h->value.len + 4;
    return len;
}
