#include "http/response.h"

#include "base/arena.h"
#include "base/list.h"
#include "event/address.h"
#include "event/loop.h"
#include "http/chunk.h"
#include "http/conf.h"
#include "http/core_conf.h"
#include "http/features.h"
#include "http/status.h"
#include "http/steps.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* How much a producer may queue ahead of a slow client when it sets no bound of its own. */
enum { QUEUE_BYTES_MAX = 128 * 1024 };

bool response_has_body(const struct exchange *x)
{
    return !x->response.no_body;
}

static bool tells_age(unsigned status)
{
    return status == 200 || status == 206 || status == 304;
}

bool response_begin(struct exchange *x)
{
    struct response *response = &x->response;
    struct feature_row row = x->conf->rows->head;

    assert(!response->begun);
    if ((x->flags & X_STATUS_FIXED) != 0) {
        response->status = x->error_status;
        response->reason = slice_make(NULL, 0); /* a peer's is that of its own status */
    }
    response->no_body = x->request.method == METHOD_HEAD ||
                        status_has_no_body((unsigned)response->status);
    if (response->status == 204 && !response->of_peer)
        response->content_type = slice_make("", 0); /* of nothing (as nginx has it) */
    response->chunked_allowed = core_of(x)->chunked_transfer_encoding;
    response->begun = true;
    if (x->step < STEP_RESPOND)
        x->step = STEP_RESPOND;
    for (size_t i = 0; i < row.count; i++) {
        if (row.features[i]->on_head(x))
            continue;
        exchange_abort(x, false);
        return false;
    }
    if (!response->of_peer && !tells_age((unsigned)response->status))
        response->last_modified = -1; /* the page's own, not that of what was asked for */
    x->codec->send_head(x);
    return true;
}

static void queue(struct exchange *x, struct chunk *chunk)
{
    struct response *response = &x->response;

    response->queued_bytes += chunk_size(chunk);
    response->queued_memory += chunk->bytes.len;
    chunk->next = NULL;
    *response->last = chunk;
    response->last = &chunk->next;
}

bool body_filter_pass(struct body_filter *filter, struct exchange *x, struct chunk *chunk)
{
    if (filter->next != NULL)
        return filter->next->push(filter->next, x, chunk);
    if (chunk != NULL)
        queue(x, chunk);
    return true;
}

void response_add_filter(struct exchange *x, struct body_filter *filter)
{
    struct body_filter **last = &x->response.filters;

    while (*last != NULL)
        last = &(*last)->next;
    filter->next = NULL;
    *last = filter;
}

bool response_write(struct exchange *x, struct chunk *chunk)
{
    struct body_filter *first = x->response.filters;

    assert(x->response.begun && !x->response.ended);
    if (x->response.no_body || chunk_size(chunk) == 0) {
        chunk_release(x, chunk);
        return true;
    }
    if (first != NULL)
        return first->push(first, x, chunk);
    queue(x, chunk);
    return true;
}

size_t response_append(struct exchange *x, struct slice bytes)
{
    struct response *response = &x->response;

    assert(response->begun && !response->ended);
    if (response->first == NULL || response->filters != NULL)
        return 0;
    size_t n = chunk_append(container_of(response->last, struct chunk, next), bytes);

    response->queued_bytes += n;
    response->queued_memory += n;
    return n;
}

bool response_end(struct exchange *x)
{
    struct body_filter *first = x->response.filters;

    assert(x->response.begun && !x->response.ended);
    bool ok = first == NULL || x->response.no_body || first->push(first, x, NULL);

    x->response.held_end = x->response.held != NULL;
    x->response.ended = !x->response.held_end;
    return ok;
}

void response_flush(struct exchange *x)
{
    x->codec->flush(x);
}

size_t response_room(const struct exchange *x, size_t limit)
{
    size_t max = limit == 0 ? QUEUE_BYTES_MAX : limit;

    if (x->response.held != NULL)
        return 0;
    return x->response.queued_memory >= max ? 0 : max - x->response.queued_memory;
}

void response_wait_room(struct exchange *x, void (*on_room)(struct exchange *x))
{
    x->response.on_room = on_room;
    x->response.held_producer = x->response.held != NULL;
    x->response.wants_room = true;
}

void response_hold(struct exchange *x, struct body_filter *filter)
{
    assert(x->response.held == NULL && filter->more != NULL);
    x->response.held = filter;
    x->response.wants_room = true;
}

/* The filter's rest goes out first; then, with room again, it is the producer's turn. */
void response_resume(struct exchange *x)
{
    struct response *response = &x->response;
    struct body_filter *held = response->held;

    if (held == NULL) {
        response->on_room(x);
        return;
    }
    response->held = NULL;
    if (!held->more(held, x)) {
        exchange_abort(x, false);
        return;
    }
    if (response->held == NULL) {
        response->ended = response->held_end;
        response->wants_room = response->held_producer;
        response->held_producer = false;
    }
    response_flush(x);
}

bool response_header(struct exchange *x, const char *name, struct slice value)
{
    return header_list_add(&x->response.headers, slice_of(name), value) != NULL;
}

/* Head, one piece and the end. Frees `x` perhaps: nothing may follow. */
static void send_whole(struct exchange *x, struct slice body)
{
    x->response.content_length = (int64_t)body.len;
    if (!response_begin(x))
        return;
    struct chunk *chunk = chunk_memory(x, body, NULL);

    if (chunk == NULL || !response_write(x, chunk) || !response_end(x)) {
        exchange_abort(x, false);
        return;
    }
    response_flush(x);
}

void response_send(struct exchange *x, int status, struct slice content_type, struct slice body)
{
    x->response.status = status;
    x->response.content_type = content_type;
    send_whole(x, body);
}

void response_redirect(struct exchange *x, int status, struct slice location)
{
    x->response.location = location;
    response_error_page(x, status);
}

struct slice response_server_name(const struct exchange *x)
{
    switch (core_of(x)->server_tokens) {
    case TOKENS_OFF:
        return slice_of("pelayan");
    default:
        return slice_of("pelayan/" PELAYAN_VERSION);
    }
}

/* A page that names the status, in the plainest HTML. */
static struct slice page_text(struct exchange *x, int status)
{
    struct slice title = status_title((unsigned)status);
    struct slice signature = response_server_name(x);

    if (title.len == 0)
        return slice_make(NULL, 0);
    return arena_printf(x->subject.arena,
                        "<!DOCTYPE html>\n<html>\n<head><title>%.*s</title></head>\n"
                        "<body style=\"font-family:sans-serif;text-align:center\">\n"
                        "<h1>%.*s</h1>\n<hr>\n<p>%.*s</p>\n</body>\n</html>\n",
                        SLICE_ARG(title), SLICE_ARG(title), SLICE_ARG(signature));
}

/* Drops what the handler writes, and gives the page instead. */
struct replacement {
    struct body_filter filter; /* first */
    struct slice page;
};

static bool push_replacement(struct body_filter *filter, struct exchange *x, struct chunk *chunk)
{
    const struct replacement *replacement = (struct replacement *)filter;

    if (chunk != NULL) {
        chunk_release(x, chunk);
        return true;
    }
    struct chunk *page = chunk_memory(x, replacement->page, NULL);

    return page != NULL && body_filter_pass(filter, x, page) && body_filter_pass(filter, x, NULL);
}

bool response_replace(struct exchange *x, int status)
{
    struct response *response = &x->response;
    struct replacement *replacement = arena_zalloc(x->subject.arena, sizeof *replacement);

    if (replacement == NULL)
        return false;
    replacement->filter.push = push_replacement;
    replacement->filter.takes_files = true;
    replacement->page = page_text(x, status);
    response->status = status;
    response->reason = slice_make(NULL, 0);
    response->content_type = slice_of("text/html");
    response->charset = slice_make(NULL, 0);
    response->content_length = (int64_t)replacement->page.len;
    response->last_modified = -1;
    response->allow_ranges = false;
    response->seeks = false;
    (void)header_list_remove_id(&response->headers, HEADER_ETAG);
    (void)header_list_remove_id(&response->headers, HEADER_CONTENT_ENCODING);
    (void)header_list_remove_id(&response->headers, HEADER_ACCEPT_RANGES);
    response_add_filter(x, &replacement->filter);
    return replacement->page.data != NULL;
}

void response_error_page(struct exchange *x, int status)
{
    x->response.status = status;
    if (status_has_no_body((unsigned)status)) {
        x->response.content_type = slice_make(NULL, 0);
        send_whole(x, slice_make(NULL, 0));
        return;
    }
    struct slice page = page_text(x, status);

    x->response.content_type = page.len > 0 ? slice_of("text/html") : slice_make(NULL, 0);
    send_whole(x, page);
}

static struct slice extension_of(struct slice name)
{
    for (size_t i = name.len; i > 0 && name.data[i - 1] != '/'; i--)
        if (name.data[i - 1] == '.')
            return slice_skip(name, i);
    return slice_make(NULL, 0);
}

struct slice response_type_for(struct exchange *x, struct slice uri)
{
    const struct core_conf *core = core_of(x);
    struct slice extension = extension_of(uri);
    const struct slice *type = NULL;

    if (extension.len > 0 && core->types != NULL)
        type = map_get(core->types, extension);
    return type != NULL ? *type : core->default_type;
}

struct slice response_complete_location(struct exchange *x)
{
    struct slice location = x->response.location;
    const struct core_conf *core = core_of(x);

    if (location.len == 0 || location.data[0] != '/' || !core->absolute_redirect)
        return location;
    const struct address *local = exchange_local_address(x);
    uint16_t port = local == NULL ? 0 : address_port(local);
    bool secure = exchange_is_secure(x);
    bool with_port = core->port_in_redirect && port != 0 && port != (secure ? 443 : 80);
    struct slice host = core->server_name_in_redirect ? x->server->name : x->request.host;
    char text[ADDRESS_TEXT_BYTES];

    if (host.len == 0 && local != NULL)
        host = slice_make(text, address_host_text(local, text));
    char port_text[8] = "";

    if (with_port)
        snprintf(port_text, sizeof port_text, ":%u", port);
    return arena_printf(x->subject.arena, "%s://%.*s%s%.*s", secure ? "https" : "http",
                        SLICE_ARG(host), port_text, SLICE_ARG(location));
}

/* Bytes per second beyond any network: larger ones would overflow. */
#define RATE_MAX ((uint64_t)1 << 40)

size_t response_rate_allows(struct exchange *x)
{
    if (x->limit_rate == 0)
        return SIZE_MAX;
    if (x->rate_start_ms == 0)
        x->rate_start_ms = loop_now_ms(x->loop);
    uint64_t elapsed_ms = loop_now_ms(x->loop) - x->rate_start_ms + RESPONSE_RATE_SLICE_MS;
    uint64_t rate = x->limit_rate < RATE_MAX ? x->limit_rate : RATE_MAX;
    uint64_t after = x->limit_rate_after < RATE_MAX ? x->limit_rate_after : RATE_MAX;
    uint64_t allowed = after + rate * elapsed_ms / 1000;

    if (allowed > x->response.bytes_sent)
        return (size_t)(allowed - x->response.bytes_sent);
    return 0;
}
