/* From header fields and DATA to an exchange's request and body.
 * Runs in: worker, loop thread. */
#include "http/request.h"

#include "base/arena.h"
#include "http/body.h"
#include "http/chunk.h"
#include "http/conf.h"
#include "http/h2/conn_internal.h"
#include "http/router.h"
#include "http/status.h"
#include "http/steps.h"
#include "http/uri.h"
#include "policy/error_log.h"

#include <assert.h>

enum {
    COPY_BYTES_MAX = 2048, /* of DATA: a smaller piece is not worth holding the buffer it came in */
    FIELD_COST_BYTES = 32, /* RFC 9113, 6.5.2 */
};

struct h2_stream *h2_stream_new(struct h2_conn *conn, int32_t id)
{
    struct exchange *x = exchange_new(conn->http, conn->listener->user);
    struct h2_stream *stream = x == NULL ? NULL : arena_alloc(x->subject.arena, sizeof *stream);

    if (stream == NULL) {
        if (x != NULL)
            exchange_free(x);
        return NULL;
    }
    memset(stream, 0, offsetof(struct h2_stream, headers));
    header_list_init(&stream->headers, x->subject.arena);
    stream->conn = conn;
    stream->x = x;
    stream->id = id;
    x->codec = &h2_codec;
    x->stream = stream;
    x->client_fd = conn->io.fd;
    x->tls = conn->tls;
    x->listen = h2_conn_listen(conn);
    x->subject.client = &conn->peer;
    x->proxy_protocol = conn->proxy;
    x->connection_id = conn->id;
    x->log.connection_id = conn->id;
    x->log.log = error_log_of(x->listen->fallback->settings);
    x->connection_requests = ++conn->requests;
    x->connection_start_ms = conn->start_ms;
    x->request.version = 20;
    x->request.headers = &stream->headers;
    list_push_back(&conn->streams, &stream->link);
    conn->first_done = true;
    if (conn->stream_count++ == 0) {
        if (!conn->leaving)
            deadline_disarm(&conn->deadline);
        http_count(&conn->http->counters.writing, 1);
        http_loop_set_idle(conn->http, &conn->client, false);
    }
    return stream;
}

void h2_note(struct h2_stream *stream)
{
    if (!list_linked(&stream->news_link))
        list_push_back(&stream->conn->news, &stream->news_link);
}

/* Which of the stream's slices a pseudo field fills; NULL: none that we know. */
static struct slice *pseudo_slot(struct h2_stream *stream, struct slice name)
{
    if (slice_eq(name, slice_of(":method")))
        return &stream->method;
    if (slice_eq(name, slice_of(":path")))
        return &stream->path;
    if (slice_eq(name, slice_of(":authority")))
        return &stream->authority;
    if (slice_eq(name, slice_of(":scheme")))
        return &stream->scheme;
    if (slice_eq(name, slice_of(":protocol")))
        return &stream->protocol;
    return NULL;
}

/* Crumbs of cookies become one field again (RFC 9113, 8.2.3). Room doubles: a crumb may be a byte
 * of HPACK, and there may be a thousand of them. */
static bool take_cookie(struct h2_stream *stream, struct slice value)
{
    static const struct slice joint = SLICE("; ");
    struct slice before = stream->cookie;
    size_t joint_len = before.data == NULL ? 0 : joint.len;
    size_t len = before.len + joint_len + value.len;

    if (before.data == NULL || len > stream->cookie_room) {
        stream->cookie_room = before.data == NULL ? len : 2 * len;
        stream->cookie_bytes = arena_bytes(stream->x->subject.arena, stream->cookie_room + 1);
        if (stream->cookie_bytes == NULL)
            return false;
        memcpy(stream->cookie_bytes, before.data == NULL ? "" : before.data, before.len);
    }
    memcpy(stream->cookie_bytes + before.len, joint.data, joint_len);
    memcpy(stream->cookie_bytes + before.len + joint_len, value.data == NULL ? "" : value.data,
           value.len);
    stream->cookie = slice_make(stream->cookie_bytes, len);
    return true;
}

/* Copies a field to the end of a list in the exchange's arena. */
static bool push_copy(struct header_list *list, struct slice name, struct slice value)
{
    struct arena *arena = list->arena;
    struct header field = {.id = header_id_of(name)};

    field.name = field.id != HEADER_OTHER ? header_name(field.id) : arena_copy(arena, name);
    field.value = arena_copy(arena, value);
    field.flags = field.id != HEADER_OTHER ? 0 : header_name_flags(name);
    return field.name.data != NULL && field.value.data != NULL &&
           header_list_push(list, &field) != NULL;
}

static bool take_regular(struct h2_stream *stream, struct slice name, struct slice value)
{
    if (header_id_of(name) == HEADER_COOKIE)
        return take_cookie(stream, value);
    return push_copy(&stream->headers, name, value);
}

/* Of a head that is too large nothing more is kept; it is still decoded, as HPACK demands. */
static int too_large(struct h2_stream *stream)
{
    bool first = stream->refuse_status == 0;

    stream->refuse_status = STATUS_HEADERS_TOO_LARGE;
    return !first || h2_guard(stream->conn, GLITCH_LARGE_HEAD) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

int h2_take_field(struct h2_stream *stream, struct slice name, struct slice value)
{
    const struct h1_limits *limits = &h2_conn_core(stream->conn)->limits;

    stream->head_bytes += name.len + value.len + FIELD_COST_BYTES;
    if (stream->refuse_status != 0)
        return 0;
    if (stream->head_bytes > limits->head_bytes_max + limits->headers_max * FIELD_COST_BYTES ||
        name.len + value.len > limits->header_bytes_max ||
        header_list_count(&stream->headers) >= limits->headers_max)
        return too_large(stream);
    if (name.len == 0 || name.data[0] != ':')
        return take_regular(stream, name, value) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct slice *slot = pseudo_slot(stream, name);

    if (slot == NULL)
        return 0;
    *slot = arena_copy(stream->x->subject.arena, value);
    return slot->data != NULL ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void fail_body(struct h2_stream *stream, int status)
{
    struct body *body = &stream->x->body;

    body->failed = true;
    body->complete = false;
    body->fail_status = status;
    stream->body_news = true;
}

/* Behind the body; what may not stand there is left out (RFC 9110, 6.5.1). */
int h2_take_trailer(struct h2_stream *stream, struct slice name, struct slice value)
{
    struct exchange *x = stream->x;
    const struct h1_limits *limits = &h2_conn_core(stream->conn)->limits;
    struct header_list *list = x->body.trailers;

    stream->trailer_bytes += name.len + value.len + FIELD_COST_BYTES;
    if (stream->trailer_bytes > limits->head_bytes_max) {
        if (stream->began && !x->body.complete) /* a part of them must not pass for all */
            fail_body(stream, STATUS_HEADERS_TOO_LARGE);
        return too_large(stream);
    }
    if ((header_traits(header_id_of(name)) & HEADER_NO_TRAILER) != 0)
        return 0;
    if (list == NULL) {
        list = arena_alloc(x->subject.arena, sizeof *list);
        if (list == NULL)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        header_list_init(list, x->subject.arena);
        x->body.trailers = list;
    }
    return push_copy(list, name, value) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* $request, for logs: as if it had come in a line. */
static struct slice request_line(const struct h2_stream *stream)
{
    static const struct slice tail = SLICE(" HTTP/2.0");
    struct slice method = stream->method;
    struct slice path = stream->path;
    size_t len = method.len + 1 + path.len + tail.len;
    char *line = arena_bytes(stream->x->subject.arena, len);

    if (line == NULL)
        return slice_make(NULL, 0);
    memcpy(line, method.data == NULL ? "" : method.data, method.len);
    line[method.len] = ' ';
    memcpy(line + method.len + 1, path.data == NULL ? "" : path.data, path.len);
    memcpy(line + method.len + 1 + path.len, tail.data, tail.len);
    return slice_make(line, len);
}

/* :authority is the Host of HTTP/2; who sends both must not mean two things by them. */
static bool take_host(struct h2_stream *stream)
{
    struct exchange *x = stream->x;
    struct header *field = header_list_find(&stream->headers, HEADER_HOST);
    struct host host = {0};
    uint64_t port = 0;
    uint32_t at = 0;

    if (field == NULL && stream->authority.len > 0)
        field = header_list_add_id(&stream->headers, HEADER_HOST, stream->authority);
    if (field == NULL)
        return false;
    for (struct header *h; (h = header_list_next_id(&stream->headers, HEADER_HOST, &at)) != NULL;)
        if (!slice_eq_nocase(h->value, field->value))
            return false;
    if (stream->authority.len > 0 && !slice_eq_nocase(field->value, stream->authority))
        return false;
    if (!parse_host(field->value, &host))
        return false;
    x->request.host = request_lower_host(x, host.name);
    if (slice_to_u64(host.port, &port))
        x->request.host_port = (uint16_t)port;
    return true;
}

static bool take_length(struct exchange *x)
{
    struct slice length = exchange_header(x, HEADER_CONTENT_LENGTH);
    uint64_t bytes = 0;

    if (length.data == NULL)
        return true;
    if (!slice_to_u64(length, &bytes) || bytes > INT64_MAX)
        return false;
    x->request.content_length = (int64_t)bytes;
    return true;
}

static bool take_body_facts(struct h2_stream *stream)
{
    struct exchange *x = stream->x;
    struct slice expect = exchange_header(x, HEADER_EXPECT);

    if (!take_length(x))
        return false;
    if (stream->received_all && stream->has_body && x->request.content_length < 0)
        x->request.content_length = (int64_t)x->body.received_bytes; /* it came with its head */
    x->request.chunked = stream->has_body && x->request.content_length < 0 &&
                         stream->tunnel == NULL;
    x->body.complete = stream->received_all || x->request.content_length == 0 ||
                       stream->tunnel != NULL;
    x->request.expects_continue = slice_eq_nocase(expect, slice_of("100-continue"));
    return true;
}

static bool method_is_token(struct slice method)
{
    return method.len > 0 && (header_name_flags(method) & HEADER_NAME_INVALID) == 0;
}

/* 0, or the status to refuse the request with. */
static int check_head(struct h2_stream *stream)
{
    struct exchange *x = stream->x;
    const struct core_conf *core = server_core(x->server);

    if (stream->refuse_status != 0)
        return stream->refuse_status;
    if (x->request.method == METHOD_CONNECT || x->request.method == METHOD_TRACE)
        return 405;
    if (!method_is_token(stream->method) || stream->path.len == 0 || stream->path.data[0] != '/' ||
        stream->path.len > core->limits.line_bytes_max)
        return stream->path.len > core->limits.line_bytes_max ? 414 : 400;
    if (!request_check_names(x, &stream->headers, core)) {
        log_about(&x->log, LOG_LEVEL_INFO, 0, "client sent a header with an invalid name");
        return 400;
    }
    if (!take_body_facts(stream) || !request_take_target(x, stream->path, core->merge_slashes))
        return 400;
    return 0;
}

static void refuse(struct h2_stream *stream, int status)
{
    struct exchange *x = stream->x;

    x->body.complete = true; /* whatever follows is not a body of this request */
    x->settings = x->server->settings;
    x->log.log = error_log_of(x->settings);
    exchange_refuse(x, status);
}

static void start(struct h2_stream *stream)
{
    struct exchange *x = stream->x;

    stream->began = true;
    x->request.method_name = stream->method;
    x->request.method = method_of(stream->method);
    x->request.line = request_line(stream);
    x->request.target = stream->path;
    x->request.head_bytes = stream->head_bytes;
    if (stream->cookie.data != NULL &&
        header_list_add_id(&stream->headers, HEADER_COOKIE, stream->cookie) == NULL)
        stream->refuse_status = 500;
    if (x->request.method == METHOD_CONNECT && stream->protocol.len > 0 && !h2_tunnel_new(stream))
        stream->refuse_status = 500;
    bool named = take_host(stream);

    router_choose_server(x);
    int status = check_head(stream);

    if (status == 0 && !named)
        status = 400;
    if (status == 0)
        exchange_start(x);
    else
        refuse(stream, status);
}

/* A piece of a body as a chunk: by reference to the buffer it came in if it is large enough to be
 * worth that, else appended to a buffer of the stream's own: a body that comes byte by byte must
 * not hold a buffer for each. */
static bool queue_data(struct h2_stream *stream, struct slice data)
{
    struct exchange *x = stream->x;
    struct body *body = &x->body;
    struct chunk *last = body->first == NULL ? NULL : container_of(body->last, struct chunk, next);
    struct buf *buf = stream->conn->in;

    if (data.len < COPY_BYTES_MAX) {
        if (last != NULL)
            data = slice_skip(data, chunk_append(last, data));
        if (data.len == 0)
            return true;
        buf = buf_get(loop_bufs(x->loop));
        if (buf == NULL)
            return false;
        memcpy(buf->data, data.data, data.len);
        buf->end = (uint32_t)data.len;
        data.data = buf->data;
    } else {
        (void)buf_ref(buf);
    }
    struct chunk *chunk = chunk_memory(x, data, buf);

    if (chunk == NULL) {
        buf_unref(buf);
        return false;
    }
    *body->last = chunk;
    body->last = &chunk->next;
    return true;
}

static bool over_limit(struct h2_stream *stream)
{
    struct exchange *x = stream->x;
    size_t max = core_of(x)->client_max_body_size;

    if (max == 0 || x->body.received_bytes <= max || x->body.failed)
        return false;
    log_about(&x->log, LOG_LEVEL_ERROR, 0,
              "client intended to send too large body without length: over %zu bytes", max);
    fail_body(stream, 413);
    return true;
}

void h2_take_data(struct h2_stream *stream, struct slice data)
{
    struct exchange *x = stream->x;
    struct body *body = &x->body;

    if (!stream->began && !stream->head_ready)
        return;
    body->wire_bytes += data.len + 9;
    if (stream->tunnel != NULL) {
        h2_tunnel_take(stream, data);
        return;
    }
    body->received_bytes += data.len;
    if (body->failed || data.len == 0 || body->complete)
        return;
    if (stream->began && x->settings != NULL && over_limit(stream))
        return;
    if (!queue_data(stream, data)) {
        fail_body(stream, 500);
        return;
    }
    body->queued_bytes += data.len;
    stream->body_news = true;
    h2_note(stream);
}

/* What the consumer has taken the client may send again. */
static void credit(struct h2_stream *stream)
{
    const struct body *body = &stream->x->body;
    uint64_t taken = body->received_bytes - body->queued_bytes;

    if (taken <= stream->credited_bytes || stream->received_all || stream->reset)
        return;
    (void)!nghttp2_session_consume_stream(stream->conn->session, stream->id,
                                          taken - stream->credited_bytes);
    stream->credited_bytes = taken;
    h2_pump_soon(stream->conn);
}

/* client_body_timeout, while it is the client's turn. */
void h2_watch_body(struct h2_stream *stream)
{
    const struct exchange *x = stream->x;

    if (body_is_read(x) && !x->body.complete && !x->body.failed && !stream->received_all &&
        x->body.queued_bytes < x->body.memory_max)
        deadline_arm(x->loop, &stream->body, core_of(x)->client_body_timeout);
    else if (deadline_armed(&stream->body))
        deadline_disarm(&stream->body);
}

/* False: the exchange is gone. */
static bool tell_body(struct h2_stream *stream)
{
    struct exchange *x = stream->x;
    bool *outer = stream->freed_flag;
    bool freed = false;

    if (stream->telling)
        return true;
    stream->telling = true;
    stream->freed_flag = &freed;
    while (stream->body_news && x->body.on_data != NULL) {
        stream->body_news = false;
        x->body.on_data(x);
        if (freed) {
            if (outer != NULL)
                *outer = true;
            return false;
        }
    }
    stream->freed_flag = outer;
    stream->telling = false;
    credit(stream);
    h2_watch_body(stream);
    return true;
}

static void on_body_deadline(struct deadline *deadline)
{
    struct h2_stream *stream = container_of(deadline, struct h2_stream, body);
    struct exchange *x = stream->x;

    log_about(&x->log, LOG_LEVEL_INFO, 0, "client timed out: its request body does not come");
    x->flags |= X_TIMED_OUT;
    fail_body(stream, 408);
    (void)tell_body(stream);
}

void h2_read_body(struct exchange *x)
{
    struct h2_stream *stream = x->stream;

    stream->body.on_expire = on_body_deadline;
    if (x->request.expects_continue && !stream->continue_sent && !x->response.begun &&
        x->body.received_bytes == 0 && !stream->received_all) {
        stream->continue_sent = true;
        (void)x->codec->send_interim(x, 100, NULL);
    }
    if (over_limit(stream) || x->body.complete || x->body.failed || x->body.first != NULL)
        stream->body_news = true;
    credit(stream);
    if (!stream->telling)
        (void)tell_body(stream);
}

bool h2_ignores_end(const struct h2_stream *stream)
{
    return (stream->x->flags & X_IGNORES_ABORT) != 0 && !h2_tunnel_runs(stream);
}

/* The stream was closed before its end. Who cannot be told goes on, for nobody. */
void h2_on_reset(struct h2_stream *stream)
{
    struct exchange *x = stream->x;

    stream->gone = true;
    x->flags |= X_CLIENT_FIN;
    deadline_disarm(&stream->send);
    deadline_disarm(&stream->rate);
    deadline_disarm(&stream->body);
    if (!x->body.complete && !x->body.failed)
        fail_body(stream, 499);
    if (x->on_abort != NULL && !h2_ignores_end(stream)) {
        exchange_client_gone(x);
        return;
    }
    if (tell_body(stream))
        h2_drop_response(stream);
}

static void tell(struct h2_stream *stream)
{
    bool freed = false;

    stream->freed_flag = &freed;
    if (stream->reset && !stream->began) {
        h2_stream_free(stream);
        return;
    }
    if (stream->head_ready && !stream->began) {
        start(stream);
        if (freed)
            return;
    }
    stream->freed_flag = NULL;
    if (stream->reset && !stream->gone)
        h2_on_reset(stream);
    else if (h2_tunnel_runs(stream))
        h2_tunnel_tell(stream);
    else if (stream->body_news && !tell_body(stream))
        return;
}

void h2_tell_news(struct h2_conn *conn)
{
    while (!list_empty(&conn->news)) {
        struct list *link = list_pop_front(&conn->news);

        tell(container_of(link, struct h2_stream, news_link));
    }
}
