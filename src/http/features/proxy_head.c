/* The head of the request to the peer: proxy_set_header compiled at load, put together once per
 * exchange. Runs in: load: any; making: worker, loop thread. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "config/loader.h"
#include "http/features/proxy_internal.h"
#include "http/h1/write.h"
#include "tls/conn.h"

#include <assert.h>
#include <stdio.h>

enum {
    HEAD_SMALL_BYTES = 1024,
    HEAD_BYTES = 4096,        /* asked for next: a pooled buffer is larger anyway */
    HEAD_BYTES_MAX = 1 << 20, /* no peer takes more */
    LINE_EXTRA_BYTES = 4,     /* ": " and CRLF */
};

/* ---- load */

static struct proxy_header *make_header(struct conf_call *call, const struct proxy_header *before)
{
    struct proxy_header *header = arena_zalloc(call->loader->arena, sizeof *header);
    struct slice name = conf_arg(call, 1);

    if (header == NULL) {
        conf_error(call, 0, "no memory");
        return NULL;
    }
    *header = (struct proxy_header){.before = before, .name = name, .id = header_id_of(name)};
    header->value = proxy_template(call, 2, conf_arg(call, 2));
    return header->value == NULL ? NULL : header;
}

static bool is_framing(enum header_id id)
{
    return id == HEADER_CONTENT_LENGTH || id == HEADER_TRANSFER_ENCODING;
}

bool proxy_set_set_header(struct conf_call *call)
{
    struct proxy_headers_conf *conf = call->conf;
    struct proxy_header *before = call->first ? NULL : conf->last;
    struct slice name = conf_arg(call, 1);
    struct slice value = conf_arg(call, 2);
    char text[512]; /* longer ones are not shared: each block makes its own */
    int len = snprintf(text, sizeof text, "proxy_set_header %p %zu %.*s %.*s", (void *)before,
                       name.len, SLICE_ARG(name), SLICE_ARG(value));
    bool shared = len > 0 && (size_t)len < sizeof text;
    struct slice key = slice_make(text, shared ? (size_t)len : 0);

    if (is_framing(header_id_of(name)) && value.len > 0)
        conf_warn(call, 1, "\"%.*s\" is made from the body that is sent: this value is not used",
                  SLICE_ARG(name));
    conf->last = shared ? loader_shared(call->loader, key) : NULL;
    if (conf->last != NULL)
        return true;
    conf->last = make_header(call, before);
    if (conf->last != NULL && shared)
        loader_share(call->loader, key, conf->last);
    return conf->last != NULL;
}

/* Fields of the client that concern its own connection, or that the head has anyway. */
static void drop_defaults(struct proxy_head *head)
{
    for (unsigned id = 0; id < HEADER_COUNT; id++)
        head->drops[id] = (header_traits(id) & HEADER_HOP) != 0;
    head->drops[HEADER_OTHER] = 0;
    head->drops[HEADER_HOST] = 1;
    head->drops[HEADER_CONTENT_LENGTH] = 1;
    head->drops[HEADER_EXPECT] = 1;
}

static const struct proxy_header *find(const struct proxy_header *list, enum header_id id)
{
    while (list != NULL && list->id != id)
        list = list->before;
    return list;
}

/* Constant fields are joined to one text; one with variables ends the piece. */
static bool add_field(struct proxy_head *head, struct writer *fixed,
                      const struct proxy_header *header)
{
    struct proxy_piece *piece = &head->pieces[head->piece_count];

    if ((header_name_flags(header->name) & HEADER_NAME_INVALID) != 0)
        return true; /* it would not be written anyway */
    if (header->value != NULL && header->value->constant) {
        if (header->value->source.len > 0)
            write_header(fixed, header->name, header->value->source);
        return !fixed->overflow;
    }
    piece->fixed = slice_make(fixed->data, fixed->len);
    piece->name = header->name;
    piece->id = header->id;
    piece->value = header->value;
    *fixed = writer_make(fixed->data + fixed->len, fixed->capacity - fixed->len);
    head->piece_count++;
    return true;
}

static void note_header(struct proxy_head *head, const struct proxy_header *header)
{
    if (header->id == HEADER_OTHER)
        head->has_unknown = true;
    else
        head->drops[header->id] = 1;
    if (header->id == HEADER_CONNECTION)
        head->connection = header->value;
    if (header->id == HEADER_UPGRADE)
        head->sets_upgrade = true;
    if (header->id == HEADER_TE)
        head->sets_te = true;
}

/* From the first in the text to `last`; as deep as a block has such lines. */
static bool add_list(struct proxy_head *head, struct writer *fixed, const struct proxy_header *last)
{
    if (last == NULL)
        return true;
    if (!add_list(head, fixed, last->before))
        return false;
    note_header(head, last);
    return is_framing(last->id) || add_field(head, fixed, last);
}

static bool add_fields(struct proxy_head *head, struct writer *fixed,
                       const struct proxy_header *last)
{
    static const struct proxy_header host = {.name = SLICE("Host"), .id = HEADER_HOST};

    if (find(last, HEADER_HOST) == NULL && !add_field(head, fixed, &host))
        return false;
    if (!add_list(head, fixed, last))
        return false;
    head->pieces[head->piece_count++] = (struct proxy_piece){
        .fixed = slice_make(fixed->data, fixed->len)};
    return true;
}

static const struct proxy_head *compile(struct arena *arena, const struct proxy_header *last)
{
    struct proxy_head *head = arena_zalloc(arena, sizeof *head);
    size_t count = 2; /* Host by default, and the last piece */
    size_t bytes = 16;

    for (const struct proxy_header *it = last; it != NULL; it = it->before) {
        count++;
        bytes += it->name.len + it->value->source.len + LINE_EXTRA_BYTES;
    }
    struct writer fixed = writer_make(arena_bytes(arena, bytes), bytes);

    if (head == NULL || fixed.data == NULL)
        return NULL;
    head->pieces = arena_zalloc(arena, count * sizeof *head->pieces);
    if (head->pieces == NULL)
        return NULL;
    head->drops_too = last;
    drop_defaults(head);
    return add_fields(head, &fixed, last) ? head : NULL;
}

bool proxy_finish_headers(struct loader *loader, struct scope *scope, void *settings)
{
    struct proxy_headers_conf *conf = settings;

    (void)scope;
    conf->head = conf->last == NULL ? NULL : conf->last->head;
    if (conf->head == NULL)
        conf->head = compile(loader->arena, conf->last);
    if (conf->head == NULL) {
        diag_add(loader->diag, DIAG_ERROR, NULL, "no memory for the config");
        return false;
    }
    if (conf->last != NULL)
        conf->last->head = conf->head;
    return true;
}

static const struct directive directives[] = {
    {"proxy_set_header", CTX_HTTP_ALL, CUSTOM, .args_min = 2, .args_max = 2, .repeatable = true,
     .set = proxy_set_set_header,
     .doc = "A header field of the request to the peer, instead of the client's; an empty value "
            "drops it. Inherited only where none is given. Without any, Host is $proxy_host.",
     .example = "proxy_set_header Host $host;"},
};

struct feature http_proxy_headers_feature = {
    .conf = {.name = "http_proxy",
             .conf_bytes = sizeof(struct proxy_headers_conf),
             .frequent = true,
             .directives = directives,
             .directive_count = COUNT(directives),
             .finish = proxy_finish_headers},
};

/* ---- making */

/* Protocols that would let a client speak past the rules of the config: HTTP/2 on our connection
 * (h2c), TLS in it. */
static bool may_upgrade_to(struct slice protocols)
{
    struct slice protocol;

    while (header_next_token(&protocols, &protocol)) {
        struct slice name = slice_head(protocol, 3);

        if (slice_eq_nocase(name, slice_of("h2c")) || slice_eq_nocase(name, slice_of("tls")))
            return false;
    }
    return true;
}

static bool connection_is_set(const struct relay *r, const struct proxy_head *head)
{
    struct slice value = {0};

    return head->connection != NULL && template_eval(head->connection, &r->x->subject, &value) &&
           value.len > 0;
}

/* A client that wants another protocol gets it without any directive; what proxy_set_header says
 * goes first. */
static void write_upgrade(struct relay *r, struct writer *w, const struct proxy_head *head)
{
    const struct exchange *x = r->x;
    struct slice protocol = exchange_header(x, HEADER_UPGRADE);

    if (!x->request.wants_upgrade || r->needs_length || !may_upgrade_to(protocol))
        return;
    if (head->sets_upgrade || connection_is_set(r, head)) {
        r->flags |= RELAY_UPGRADE; /* the peer decides */
        return;
    }
    r->flags |= RELAY_UPGRADE;
    write_bytes(w, slice_of("Connection: upgrade\r\n"));
    write_header_id(w, HEADER_UPGRADE, protocol);
}

/* A client that reads trailers: over HTTP/2 the peer may be told without naming the connection. */
static void write_te(const struct relay *r, struct writer *w, const struct proxy_head *head)
{
    if (r->h2 != RELAY_H1 && !head->sets_te && r->conf->pass_request_headers &&
        header_has_token(exchange_header(r->x, HEADER_TE), slice_of("trailers")))
        write_header_id(w, HEADER_TE, slice_of("trailers"));
}

static bool write_piece(struct relay *r, struct writer *w, const struct proxy_piece *piece)
{
    struct slice value;

    write_bytes(w, piece->fixed);
    if (piece->name.len == 0)
        return true;
    if (piece->value == NULL) {
        write_line(w, piece->name, proxy_state_of(r)->url.host_header);
        return true;
    }
    if (!template_eval(piece->value, &r->x->subject, &value))
        return false;
    if (value.len > 0)
        write_line(w, piece->name, value);
    return true;
}

static void write_framing(const struct relay *r, struct writer *w)
{
    if ((r->flags & RELAY_FRAMES) != 0)
        write_bytes(w, slice_of("Transfer-Encoding: chunked\r\n"));
    else if (r->body_length >= 0)
        write_header_u64(w, HEADER_CONTENT_LENGTH, (uint64_t)r->body_length);
}

/* The peer can refuse what may come a second time (RFC 8470, 5.1). A client's own field, or what
 * proxy_set_header says, is passed on in its place. */
static void write_early_data(const struct relay *r, struct writer *w, const struct proxy_head *head)
{
    const struct exchange *x = r->x;
    bool passed_on = r->conf->pass_request_headers && exchange_header(x, HEADER_EARLY_DATA).len > 0;

    if (tls_conn_is_early(x->tls) && head->drops[HEADER_EARLY_DATA] == 0 && !passed_on)
        write_header_id(w, HEADER_EARLY_DATA, slice_of("1"));
}

static bool is_set(const struct proxy_head *head, const struct header *field)
{
    if (field->id != HEADER_OTHER)
        return head->drops[field->id] != 0;
    if (!head->has_unknown)
        return false;
    for (const struct proxy_header *it = head->drops_too; it != NULL; it = it->before)
        if (it->id == HEADER_OTHER && slice_eq_nocase(it->name, field->name))
            return true;
    return false;
}

/* Connection may name more fields that are for us alone. Rarely: then the table does not suffice.
 */
static void mark_hop_by_hop(struct header_list *fields)
{
    const struct header *connection = header_list_find(fields, HEADER_CONNECTION);

    if (connection == NULL || slice_eq_nocase(connection->value, slice_of("keep-alive")) ||
        slice_eq_nocase(connection->value, slice_of("close")))
        return;
    header_list_mark_hop_by_hop(fields);
}

static void write_client_fields(const struct relay *r, struct writer *w,
                                const struct proxy_head *head)
{
    struct header_list *fields = r->x->request.headers;
    struct field_run run = {NULL, NULL};
    uint32_t at = 0;
    const struct header *field;

    if (!r->conf->pass_request_headers || fields == NULL)
        return;
    mark_hop_by_hop(fields);
    while ((field = header_list_next(fields, &at)) != NULL)
        if ((field->flags & (HEADER_NAME_INVALID | HEADER_HOP_BY_HOP)) == 0 && !is_set(head, field))
            write_field(w, &run, field);
    write_run(w, &run);
}

static bool write_head(struct relay *r, struct writer *w, struct slice uri)
{
    const struct proxy_conf *conf = proxy_state_of(r)->conf;
    const struct proxy_kind *kind = proxy_state_of(r)->pass->kind;
    const struct proxy_headers_conf *headers = exchange_conf(r->x, *kind->headers);
    const struct proxy_head *head = headers->head;

    write_request_line(w, r->method, uri, conf->http_version == 10 ? 10 : 11);
    for (size_t i = 0; i < head->piece_count; i++)
        if (!write_piece(r, w, &head->pieces[i]))
            return false;
    write_upgrade(r, w, head);
    write_te(r, w, head);
    write_framing(r, w);
    if (r->x->tls != NULL)
        write_early_data(r, w, head);
    write_client_fields(r, w, head);
    write_end(w);
    return true;
}

/* False: something could not be made; `*fits` tells whether there was room. */
static bool write_in(struct relay *r, struct slice uri, struct writer w, bool *fits)
{
    if (w.data == NULL || !write_head(r, &w, uri))
        return false;
    r->head = slice_make(w.data, w.len);
    *fits = !w.overflow;
    return true;
}

/* Nearly all heads are small, and then a piece of the arena, which is warm, does. */
bool proxy_make_head(struct relay *r)
{
    struct slice uri = proxy_request_uri(r);
    char *room = arena_bytes(relay_arena(r), HEAD_SMALL_BYTES);
    bool fits = false;

    if (uri.data == NULL || !write_in(r, uri, writer_make(room, HEAD_SMALL_BYTES), &fits))
        return false;
    for (size_t bytes = HEAD_BYTES; !fits && bytes <= HEAD_BYTES_MAX; bytes *= 4) {
        struct buf *buf = relay_head_room(r, bytes);

        if (buf == NULL || !write_in(r, uri, writer_make(buf->data, buf->capacity), &fits))
            return false;
    }
    if (!fits)
        log_about(&r->x->log, LOG_LEVEL_ERROR, 0, "the request's head is too large for a peer");
    return fits;
}
