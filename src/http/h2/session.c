/* nghttp2: its options, our settings, and callbacks that take notes.
 * Runs in: worker, loop thread. */
#include "http/h2/conn_internal.h"

#include <assert.h>
#include <string.h>

enum {
    RECEIVE_WINDOW = 0x7fffffff, /* of the connection: streams have windows of their own */
    PRIORITY_UPDATE_TYPE = 0x10,
    ACKS_WAITING_MAX = 1000,
    CONTINUATIONS_MAX = 8,
    SETTINGS_ENTRIES_MAX = 32,
    FRAME_HEAD_BYTES = 9,
    IGNORED_BYTES_MAX = 256 * 1024,
};

/* What nghttp2 copies from into each session; the same for all. Per loop, because it is made
 * lazily. */
struct h2_loop {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
};

/* The points of a frame by its type alone; those of RST_STREAM depend on its stream. */
static bool count_frame(struct h2_conn *conn, const nghttp2_frame_hd *hd)
{
    bool ack = (hd->flags & NGHTTP2_FLAG_ACK) != 0;

    conn->ignored_bytes -= (int64_t)hd->length + FRAME_HEAD_BYTES;
    conn->head_open = false; /* only CONTINUATION may follow an unfinished head: it is not told */
    switch (hd->type) {
    case NGHTTP2_DATA:
        return hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM) != 0 ||
               h2_guard(conn, GLITCH_EMPTY);
    case NGHTTP2_HEADERS:
        conn->head_open = (hd->flags & NGHTTP2_FLAG_END_HEADERS) == 0;
        return true;
    case NGHTTP2_PING:
        return ack || h2_guard(conn, GLITCH_PING);
    case NGHTTP2_SETTINGS:
        return ack || h2_guard(conn, GLITCH_SETTINGS);
    case NGHTTP2_PRIORITY:
    case PRIORITY_UPDATE_TYPE:
        return h2_guard(conn, GLITCH_PRIORITY);
    case NGHTTP2_WINDOW_UPDATE:
        return h2_guard(conn, GLITCH_WINDOW);
    case NGHTTP2_RST_STREAM:
    case NGHTTP2_GOAWAY:
        return true;
    default:
        return true;
    }
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user_data)
{
    (void)session;
    return count_frame(user_data, hd) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct h2_stream *stream = h2_stream_new(user_data, frame->hd.stream_id);

    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream) == 0
               ? 0
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static struct slice slice_of_rcbuf(nghttp2_rcbuf *rcbuf)
{
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(rcbuf);

    return slice_make((const char *)vec.base, vec.len);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)user_data;
    if (stream == NULL)
        return 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return h2_take_trailer(stream, slice_of_rcbuf(name), slice_of_rcbuf(value));
    return h2_take_field(stream, slice_of_rcbuf(name), slice_of_rcbuf(value));
}

static int on_reset(struct h2_conn *conn, const struct h2_stream *stream)
{
    bool early = stream != NULL && !stream->finished;

    return h2_guard(conn, early ? GLITCH_RESET : GLITCH_LATE_RESET) ? 0
                                                                    : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2_stream *stream = frame->hd.stream_id == 0 ? NULL
                                                        : nghttp2_session_get_stream_user_data(
                                                              session, frame->hd.stream_id);

    if (frame->hd.type == NGHTTP2_RST_STREAM)
        return on_reset(user_data, stream);
    if (stream == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        stream->received_all = true;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        stream->head_ready = true;
        stream->conn->head_open = false;
        stream->has_body = !stream->received_all;
    }
    if (stream->received_all && stream->began && !stream->x->body.complete) {
        stream->x->body.complete = !stream->x->body.failed;
        stream->body_news = true;
    }
    h2_note(stream);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *user_data)
{
    struct h2_conn *conn = user_data;
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, stream_id);

    (void)flags;
    /* The connection's window is for all streams: one that is not read must not close it. */
    if (nghttp2_session_consume_connection(session, len) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (stream != NULL && !stream->gone)
        h2_take_data(stream, slice_make((const char *)data, len));
    h2_score_credit(&conn->score, len >= 1024 ? 1 : 0);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *user_data)
{
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, stream_id);

    (void)user_data;
    (void)error_code;
    if (stream == NULL || stream->finished)
        return 0;
    if (!stream->received_all)
        h2_excuse_rest(stream->conn);
    stream->reset = true;
    h2_note(stream);
    return 0;
}

void h2_excuse_rest(struct h2_conn *conn)
{
    conn->ignored_bytes -= (int64_t)h2_conn_conf(conn)->body_preread_size;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user_data)
{
    struct h2_conn *conn = user_data;

    (void)session;
    (void)frame;
    h2_conn_log(conn, LOG_LEVEL_INFO, 0, nghttp2_strerror(error));
    return h2_guard(conn, GLITCH_INVALID) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* What went out is counted by the exchange; its last frame ends it, once the pump has sent it. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2_conn *conn = user_data;

    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        h2_conn_log(conn, LOG_LEVEL_INFO, 0,
                    conn->score.fault != NULL ? "connection is closed"
                                              : nghttp2_http2_strerror(frame->goaway.error_code));
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    if (stream == NULL)
        return 0;
    struct response *response = &stream->x->response;

    response->bytes_sent += frame->hd.length + 9;
    if (frame->hd.type == NGHTTP2_DATA)
        response->body_bytes_sent += frame->hd.length;
    stream->moved = true;
    if (conn->ignored_bytes > 0)
        conn->ignored_bytes = 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        stream->finished = true;
    h2_touch(stream);
    h2_score_credit(&conn->score, 4);
    return 0;
}

/* HEADERS that nghttp2 could not serialise: the stream has no future. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *user_data)
{
    (void)user_data;
    if (frame->hd.type == NGHTTP2_HEADERS && error == NGHTTP2_ERR_FRAME_SIZE_ERROR)
        (void)!nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                         NGHTTP2_INTERNAL_ERROR);
    return 0;
}

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_on_data_framed);
}

static void set_options(nghttp2_option *option)
{
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, ACKS_WAITING_MAX);
    nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
    nghttp2_option_set_max_settings(option, SETTINGS_ENTRIES_MAX);
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
}

void h2_loop_free(void *slot)
{
    struct h2_loop *loop = slot;

    nghttp2_session_callbacks_del(loop->callbacks);
    nghttp2_option_del(loop->option);
}

static struct h2_loop *loop_of(struct http_loop *http)
{
    struct h2_loop *loop = http_loop_slot(http, &http2_feature, sizeof *loop);

    if (loop == NULL)
        return NULL;
    if (loop->callbacks == NULL) {
        if (nghttp2_session_callbacks_new(&loop->callbacks) != 0)
            return NULL;
        set_callbacks(loop->callbacks);
    }
    if (loop->option == NULL) {
        if (nghttp2_option_new(&loop->option) != 0)
            return NULL;
        set_options(loop->option);
    }
    return loop;
}

static bool submit_settings(struct h2_conn *conn, nghttp2_session *session)
{
    const struct http2_conf *conf = h2_conn_conf(conn);
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)conf->max_concurrent_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)conf->body_preread_size},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2_conn_core(conn)->limits.head_bytes_max},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };

    return nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries, COUNT(entries)) == 0 &&
           nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, RECEIVE_WINDOW) ==
               0;
}

nghttp2_session *h2_session_new(struct h2_conn *conn)
{
    struct h2_loop *loop = loop_of(conn->http);
    nghttp2_session *session = NULL;

    if (loop == NULL ||
        nghttp2_session_server_new2(&session, loop->callbacks, conn, loop->option) != 0)
        return NULL;
    if (!submit_settings(conn, session)) {
        nghttp2_session_del(session);
        return NULL;
    }
    return session;
}

/* Says why nghttp2 or a callback gave up, and to the client with which code. */
static void fail(struct h2_conn *conn, int error)
{
    uint32_t code = NGHTTP2_PROTOCOL_ERROR;

    if (conn->score.fault != NULL || error == NGHTTP2_ERR_FLOODED ||
        error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
        code = NGHTTP2_ENHANCE_YOUR_CALM;
    else if (error == NGHTTP2_ERR_NOMEM || error == NGHTTP2_ERR_CALLBACK_FAILURE)
        code = NGHTTP2_INTERNAL_ERROR;
    h2_conn_log(conn, code == NGHTTP2_ENHANCE_YOUR_CALM ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, 0,
                conn->score.fault != NULL ? conn->score.fault : nghttp2_strerror(error));
    h2_conn_fail(conn, code);
}

bool h2_session_feed(struct h2_conn *conn, struct slice in)
{
    conn->ignored_bytes += (int64_t)in.len; /* callbacks take off what they are told of */
    ssize_t used = nghttp2_session_mem_recv(conn->session, (const uint8_t *)in.data, in.len);

    if (used < 0) {
        fail(conn, (int)used);
        return false;
    }
    if (conn->ignored_bytes > IGNORED_BYTES_MAX && !h2_guard(conn, GLITCH_IGNORED)) {
        fail(conn, NGHTTP2_ERR_CALLBACK_FAILURE);
        return false;
    }
    h2_tell_news(conn);
    return conn->state == H2_OPEN;
}
