/* What exchanges ask of their stream: heads, bodies, and their end.
 * Runs in: worker, loop thread. */
#include "base/arena.h"
#include "event/socket.h"
#include "http/body.h"
#include "http/chunk.h"
#include "http/h2/conn_internal.h"
#include "http/response.h"
#include "http/status.h"
#include "http/steps.h"

#include <assert.h>
#include <sys/socket.h>

enum {
    OWN_FIELDS = 8, /* :status and those we make from struct response */
    CHUNKS_PER_FRAME = 16,
};

/* A head being made; nghttp2 copies it when it is submitted, and writes names in lower case. */
struct head {
    struct arena *arena;
    nghttp2_nv *fields; /* arena */
    size_t count;
    size_t capacity;
    bool failed;
};

static bool head_init(struct head *head, struct exchange *x, const struct header_list *fields)
{
    size_t capacity = OWN_FIELDS + (fields == NULL ? 0 : header_list_count(fields));

    *head = (struct head){.arena = x->subject.arena, .capacity = capacity};
    head->fields = arena_alloc(head->arena, capacity * sizeof *head->fields);
    return head->fields != NULL;
}

/* A CR, LF or NUL in a value, from whatever variable, becomes a blank: as in HTTP/1. */
static struct slice clean(struct head *head, struct slice value)
{
    size_t at = 0;

    while (at < value.len && value.data[at] != '\r' && value.data[at] != '\n' &&
           value.data[at] != '\0')
        at++;
    if (at == value.len)
        return value;
    char *copy = arena_bytes(head->arena, value.len);

    if (copy == NULL) {
        head->failed = true;
        return slice_make(NULL, 0);
    }
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];

        copy[i] = c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
    }
    return slice_make(copy, value.len);
}

static void add(struct head *head, struct slice name, struct slice value)
{
    assert(head->count < head->capacity);
    value = clean(head, value);
    head->fields[head->count++] = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.data,
        .namelen = name.len,
        .value = (uint8_t *)(uintptr_t)value.data,
        .valuelen = value.len,
        .flags = NGHTTP2_NV_FLAG_NONE,
    };
}

static void add_text(struct head *head, struct slice name, struct slice text)
{
    head->failed = head->failed || text.data == NULL;
    add(head, name, text);
}

static void add_number(struct head *head, struct slice name, uint64_t value)
{
    add_text(head, name, arena_printf(head->arena, "%llu", (unsigned long long)value));
}

static void add_status(struct head *head, unsigned status)
{
    static const struct slice name = SLICE(":status");

    switch (status) {
    case 200:
        add(head, name, slice_of("200"));
        return;
    case 304:
        add(head, name, slice_of("304"));
        return;
    case 404:
        add(head, name, slice_of("404"));
        return;
    default:
        add_number(head, name, status_on_wire(status));
    }
}

static void add_list(struct head *head, const struct header_list *list)
{
    uint32_t at = 0;

    for (const struct header *h; (h = header_list_next(list, &at)) != NULL;)
        if ((h->flags & (HEADER_HOP_BY_HOP | HEADER_NAME_INVALID)) == 0 &&
            (header_traits(h->id) & HEADER_HOP) == 0)
            add(head, h->name, h->value);
}

static void add_type(struct head *head, struct exchange *x)
{
    const struct response *response = &x->response;
    struct slice name = header_name(HEADER_CONTENT_TYPE);

    if (response->content_type.len == 0)
        return;
    if (response->charset.len == 0)
        add(head, name, response->content_type);
    else
        add_text(head, name,
                 arena_printf(head->arena, "%.*s; charset=%.*s", SLICE_ARG(response->content_type),
                              SLICE_ARG(response->charset)));
}

static void add_entity(struct head *head, struct exchange *x)
{
    struct response *response = &x->response;
    char date[30];

    add_type(head, x);
    if (response->content_length >= 0 && response->status >= 200 && response->status != 204 &&
        response->status != 304)
        add_number(head, header_name(HEADER_CONTENT_LENGTH), (uint64_t)response->content_length);
    if (response->last_modified >= 0) {
        clock_http_date(response->last_modified, date);
        add_text(head, header_name(HEADER_LAST_MODIFIED),
                 arena_copy(head->arena, slice_make(date, 29)));
    }
    response->location = response_complete_location(x);
    if (response->location.len > 0)
        add(head, header_name(HEADER_LOCATION), response->location);
}

static bool make_head(struct head *head, struct exchange *x)
{
    const struct header_list *headers = &x->response.headers;

    if (!head_init(head, x, headers))
        return false;
    add_status(head, (unsigned)x->response.status);
    if (header_list_find(headers, HEADER_SERVER) == NULL)
        add(head, header_name(HEADER_SERVER), response_server_name(x));
    if (header_list_find(headers, HEADER_DATE) == NULL)
        add(head, header_name(HEADER_DATE), slice_make(loop_clock(x->loop)->http_date, 29));
    add_entity(head, x);
    add_list(head, headers);
    return !head->failed;
}

/* The head waits for the first flush: whether a body follows is known then. */
static void codec_send_head(struct exchange *x)
{
    struct h2_stream *stream = x->stream;

    assert(!stream->submitted);
    if (stream->tunnel != NULL && x->response.status >= 200 && x->response.status < 300)
        x->response.status = 501; /* a 2xx would say that the protocol was agreed to */
    if (stream->conn->requests >= (uint32_t)core_of(x)->keepalive_requests ||
        loop_now_ms(x->loop) - stream->conn->start_ms > core_of(x)->keepalive_time ||
        stream->conn->listener->io.fd < 0) /* its address is not in the config any more */
        h2_conn_leave(stream->conn, true);
}

/* False: the exchange was aborted. */
static bool submit_head(struct h2_stream *stream)
{
    struct exchange *x = stream->x;
    bool has_data = response_has_body(x) && (x->response.first != NULL || !x->response.ended);
    nghttp2_data_provider provider = {.read_callback = h2_on_data_wanted};
    struct head head;

    if (!has_data && header_list_count(&x->response.trailers) > 0 && response_has_body(x))
        has_data = true;
    if (!make_head(&head, x) ||
        nghttp2_submit_response(stream->conn->session, stream->id, head.fields, head.count,
                                has_data ? &provider : NULL) != 0) {
        exchange_abort(x, false);
        return false;
    }
    stream->submitted = true;
    return true;
}

void h2_touch(struct h2_stream *stream)
{
    if (!list_linked(&stream->touched_link))
        list_push_back(&stream->conn->touched, &stream->touched_link);
}

void h2_drop_response(struct h2_stream *stream)
{
    struct exchange *x = stream->x;
    struct response *response = &x->response;

    assert(stream->gone);
    chunk_release_all(x, response->first);
    response->first = NULL;
    response->last = &response->first;
    response->queued_bytes = 0;
    response->queued_memory = 0;
    stream->finished = response->begun && response->ended;
    if (stream->finished || response->wants_room)
        h2_touch(stream);
    h2_pump_soon(stream->conn);
}

static void codec_flush(struct exchange *x)
{
    struct h2_stream *stream = x->stream;

    if (stream->gone) {
        h2_drop_response(stream);
        return;
    }
    if (!x->response.begun)
        return;
    if (!stream->submitted) {
        if (!submit_head(stream))
            return;
    } else if (stream->deferred && (x->response.first != NULL || x->response.ended)) {
        stream->deferred = false;
        (void)!nghttp2_session_resume_data(stream->conn->session, stream->id);
    }
    h2_touch(stream);
    h2_pump_soon(stream->conn);
}

static bool codec_send_interim(struct exchange *x, int status, const struct header_list *headers)
{
    struct h2_stream *stream = x->stream;
    struct head head;

    if (x->response.begun || stream->gone || !head_init(&head, x, headers))
        return false;
    add_number(&head, slice_of(":status"), (uint64_t)status);
    if (headers != NULL)
        add_list(&head, headers);
    if (head.failed || nghttp2_submit_headers(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id,
                                              NULL, head.fields, head.count, NULL) != 0)
        return false;
    h2_pump_soon(stream->conn);
    return true;
}

static void on_rate_deadline(struct deadline *deadline)
{
    struct h2_stream *stream = container_of(deadline, struct h2_stream, rate);

    codec_flush(stream->x);
}

/* Bytes limit_rate allows now; with 0 the stream is asked again a little later. */
static size_t rate_allows(struct h2_stream *stream)
{
    size_t allowed = response_rate_allows(stream->x);

    if (allowed > 0)
        return allowed;
    stream->rate.on_expire = on_rate_deadline;
    deadline_arm(stream->x->loop, &stream->rate, RESPONSE_RATE_SLICE_MS);
    return 0;
}

/* Bytes for one frame from the front of the queue: a piece of one file, or some pieces of memory.
 */
static size_t frame_bytes(const struct exchange *x, size_t max)
{
    const struct chunk *chunk = x->response.first;
    size_t bytes = 0;

    if (chunk != NULL && chunk->fd >= 0) {
        max = max < BUF_BYTES ? max : BUF_BYTES;
        return chunk->file_bytes < max ? (size_t)chunk->file_bytes : max;
    }
    for (int i = 0; chunk != NULL && chunk->fd < 0 && i < CHUNKS_PER_FRAME && bytes < max; i++) {
        bytes += chunk->bytes.len;
        chunk = chunk->next;
    }
    return bytes < max ? bytes : max;
}

static bool submit_trailers(struct h2_stream *stream)
{
    struct head head;

    if (!head_init(&head, stream->x, &stream->x->response.trailers))
        return false;
    add_list(&head, &stream->x->response.trailers);
    return !head.failed &&
           nghttp2_submit_trailer(stream->conn->session, stream->id, head.fields, head.count) == 0;
}

/* nghttp2 is about to make a DATA frame: how long may it be? */
ssize_t h2_on_data_wanted(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                          uint32_t *data_flags, nghttp2_data_source *source, void *user_data)
{
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, stream_id);

    (void)buf;
    (void)source;
    (void)user_data;
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct exchange *x = stream->x;
    const struct http2_conf *conf = exchange_conf(x, http2_feature);
    size_t bytes = length < conf->chunk_size ? length : conf->chunk_size;
    size_t allowed = x->response.first == NULL ? 0 : rate_allows(stream);

    bytes = frame_bytes(x, bytes < allowed ? bytes : allowed);
    bool last = x->response.ended && bytes == x->response.queued_bytes;

    if (bytes == 0 && !last) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (last)
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    if (last && header_list_count(&x->response.trailers) > 0) {
        *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (!submit_trailers(stream))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return (ssize_t)bytes;
}

static void on_send_deadline(struct deadline *deadline)
{
    struct h2_stream *stream = container_of(deadline, struct h2_stream, send);
    struct exchange *x = stream->x;

    log_about(&x->log, LOG_LEVEL_INFO, 0, "client timed out: it takes no more of the response");
    x->flags |= X_TIMED_OUT;
    exchange_abort(x, false);
}

/* send_timeout runs from the last byte that went out, while there are more. */
void h2_watch_client(struct h2_stream *stream)
{
    struct exchange *x = stream->x;
    bool waits = (x->response.first != NULL || x->response.ended) && !deadline_armed(&stream->rate);

    if (!waits || stream->gone) {
        if (deadline_armed(&stream->send))
            deadline_disarm(&stream->send);
    } else if (stream->moved || !deadline_armed(&stream->send)) {
        stream->send.on_expire = on_send_deadline;
        deadline_arm(x->loop, &stream->send, core_of(x)->send_timeout);
    }
    stream->moved = false;
}

void h2_stream_free(struct h2_stream *stream)
{
    struct h2_conn *conn = stream->conn;

    if (stream->freed_flag != NULL)
        *stream->freed_flag = true;
    deadline_disarm(&stream->send);
    deadline_disarm(&stream->rate);
    deadline_disarm(&stream->body);
    list_remove(&stream->link);
    if (list_linked(&stream->news_link))
        list_remove(&stream->news_link);
    if (list_linked(&stream->touched_link))
        list_remove(&stream->touched_link);
    h2_tunnel_free(stream);
    if (!stream->reset)
        (void)!nghttp2_session_set_stream_user_data(conn->session, stream->id, NULL);
    assert(conn->stream_count > 0);
    if (--conn->stream_count == 0)
        http_count(&conn->http->counters.writing, -1);
    exchange_free(stream->x);
    h2_pump_soon(conn);
}

static uint32_t ms_of(uint64_t ms)
{
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static void reset_stream(struct h2_stream *stream, uint32_t error_code)
{
    if (stream->reset)
        return;
    if (!stream->received_all)
        h2_excuse_rest(stream->conn);
    (void)!nghttp2_submit_rst_stream(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id,
                                     error_code);
}

/* A body nobody wants needs not be sent to its end (RFC 9113, 8.1). */
static void codec_done(struct exchange *x)
{
    struct h2_stream *stream = x->stream;

    stream->conn->idle_ms = ms_of(core_of(x)->keepalive_timeout);
    if (!stream->received_all)
        reset_stream(stream, NGHTTP2_NO_ERROR);
    h2_stream_free(stream);
}

static void codec_abort(struct exchange *x, bool reset)
{
    struct h2_stream *stream = x->stream;

    (void)reset;
    reset_stream(stream, (x->flags & (X_TIMED_OUT | X_CLIENT_GONE)) != 0 ? NGHTTP2_CANCEL
                                                                         : NGHTTP2_INTERNAL_ERROR);
    h2_stream_free(stream);
}

const struct codec h2_codec = {
    .name = "HTTP/2.0",
    .send_head = codec_send_head,
    .flush = codec_flush,
    .send_interim = codec_send_interim,
    .read_body = h2_read_body,
    .upgrade = h2_upgrade,
    .done = codec_done,
    .abort = codec_abort,
};
