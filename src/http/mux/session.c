/* nghttp2 as a client: its options, our settings, and callbacks that take notes. Runs in: worker,
 * loop thread. */
#include "base/arena.h"
#include "base/list.h"
#include "http/mux/mux_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTION_WINDOW = 0x7fffffff, /* streams have windows of their own */
    ACKS_WAITING_MAX = 1000,
    CONTINUATIONS_MAX = 8,
    SETTINGS_ENTRIES_MAX = 32,
    HEADS_WAITING_MAX = 34, /* interim ones, and the final one */
    FIELDS_MAX = 1000,
    FIELD_COST_BYTES = 4, /* ": " and CRLF, as if it were HTTP/1 */
    FRAME_HEAD_BYTES = 9,
    STATUS_LEAST = 100, /* nghttp2 takes any three digits */
};

static const struct mux_fault too_large = {.kind = MUX_INVALID,
                                           .what = "upstream sent too big header"};
static const struct mux_fault invalid_field = {.kind = MUX_INVALID,
                                               .what = "upstream sent an invalid header"};
static const struct mux_fault broken_rules = {.kind = MUX_INVALID,
                                              .what = "upstream broke the rules of HTTP/2"};
static const struct mux_fault too_many_heads = {.kind = MUX_INVALID,
                                                .what = "upstream sent too many interim answers"};
static const struct mux_fault no_memory = {.kind = MUX_LOST,
                                           .what = "no memory for the answer of upstream"};

static bool glitch(struct mux *mux, enum h2_glitch what)
{
    return h2_score_add(&mux->score, loop_now_ms(mux->loop), what);
}

static bool count_frame(struct mux *mux, const nghttp2_frame_hd *hd)
{
    bool ack = (hd->flags & NGHTTP2_FLAG_ACK) != 0;

    switch (hd->type) {
    case NGHTTP2_DATA:
        return hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM) != 0 ||
               glitch(mux, GLITCH_EMPTY);
    case NGHTTP2_PING:
        return ack || glitch(mux, GLITCH_PING);
    case NGHTTP2_SETTINGS:
        return ack || glitch(mux, GLITCH_SETTINGS);
    case NGHTTP2_PRIORITY:
        return glitch(mux, GLITCH_PRIORITY);
    case NGHTTP2_WINDOW_UPDATE:
        return glitch(mux, GLITCH_WINDOW);
    case NGHTTP2_RST_STREAM:
    case NGHTTP2_GOAWAY:
        return glitch(mux, GLITCH_LATE_RESET);
    default:
        return true;
    }
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user_data)
{
    (void)session;
    return count_frame(user_data, hd) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static struct mux_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return id == 0 ? NULL : nghttp2_session_get_stream_user_data(session, id);
}

/* ---- heads */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct mux_stream *stream = stream_of(session, frame->hd.stream_id);
    struct mux_head *head;

    (void)user_data;
    if (stream == NULL || stream->fault.kind != MUX_FINE)
        return 0;
    head = arena_zalloc(stream->arena, sizeof *head);
    if (head != NULL)
        head->fields = arena_alloc(stream->arena, sizeof *head->fields);
    if (head == NULL || head->fields == NULL) {
        mux_end_stream(stream, &no_memory);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    header_list_init(head->fields, stream->arena);
    stream->coming = head;
    stream->head_bytes = 0;
    return 0;
}

static struct slice slice_of_rcbuf(nghttp2_rcbuf *rcbuf)
{
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(rcbuf);

    return slice_make((const char *)vec.base, vec.len);
}

static bool add_field(struct mux_stream *stream, struct slice name, struct slice value)
{
    struct header field = {.id = header_id_of(name)};

    field.name = field.id != HEADER_OTHER ? header_name(field.id) : arena_copy(stream->arena, name);
    field.value = arena_copy(stream->arena, value);
    field.flags = field.id != HEADER_OTHER ? 0 : header_name_flags(name);
    return field.name.data != NULL && field.value.data != NULL &&
           header_list_push(stream->coming->fields, &field) != NULL;
}

static bool take_field(struct mux_stream *stream, struct slice name, struct slice value)
{
    uint64_t status;

    stream->head_bytes += name.len + value.len + FIELD_COST_BYTES;
    if (stream->head_bytes > stream->head_bytes_max ||
        header_list_count(stream->coming->fields) >= FIELDS_MAX) {
        mux_end_stream(stream, &too_large);
        return false;
    }
    if (slice_eq(name, slice_of(":status")) && slice_to_u64(value, &status)) {
        stream->coming->status = (unsigned)status;
        return true;
    }
    if (add_field(stream, name, value))
        return true;
    mux_end_stream(stream, &no_memory);
    return false;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
    struct mux_stream *stream = stream_of(session, frame->hd.stream_id);

    (void)flags;
    (void)user_data;
    if (stream == NULL || stream->coming == NULL)
        return 0;
    return take_field(stream, slice_of_rcbuf(name), slice_of_rcbuf(value))
               ? 0
               : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* CR, LF, NUL in a value: the head is not to be believed. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags,
                             void *user_data)
{
    struct mux_stream *stream = stream_of(session, frame->hd.stream_id);

    (void)name;
    (void)value;
    (void)flags;
    if (stream != NULL)
        mux_end_stream(stream, &invalid_field);
    return glitch(user_data, GLITCH_INVALID) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
                                             : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void take_head(struct mux_stream *stream, bool ends)
{
    struct mux_head *head = stream->coming;

    stream->coming = NULL;
    if (head == NULL)
        return;
    stream->new_bytes += stream->head_bytes + FRAME_HEAD_BYTES;
    if (stream->final_seen) {
        stream->trailers = head->fields;
        return;
    }
    if (head->status < STATUS_LEAST) {
        mux_end_stream(stream, &invalid_field);
        return;
    }
    if (++stream->heads_waiting > HEADS_WAITING_MAX) {
        mux_end_stream(stream, &too_many_heads);
        return;
    }
    stream->final_seen = head->status >= 200;
    head->ends = ends;
    *stream->heads_last = head;
    stream->heads_last = &head->next;
}

/* ---- frames */

uint32_t mux_streams_max(const struct mux *mux)
{
    uint32_t max = nghttp2_session_get_remote_settings(mux->session,
                                                       NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

    return max < MUX_STREAMS_MAX ? max : MUX_STREAMS_MAX;
}

/* The peer allows fewer streams than were put here before it said so: those that have not gone out
 * go elsewhere. */
static void on_settings(struct mux *mux)
{
    static const struct mux_fault full = {
        .kind = MUX_RESET, .unprocessed = true, .what = "upstream allows fewer streams"};
    uint32_t max = mux_streams_max(mux);
    uint32_t count = 0;

    mux->settled = true;
    mux_set_hint(mux, max > 0 ? max : 1, false);
    list_each(it, keep, &mux->streams)
    {
        struct mux_stream *stream = container_of(it, struct mux_stream, link);

        if (++count > max && !stream->written)
            mux_end_stream(stream, &full);
        else if (stream->id == 0)
            mux_note(stream, IO_WRITE);
    }
}

static void on_reset(struct mux_stream *stream, uint32_t code)
{
    struct mux_fault fault = {.kind = MUX_RESET,
                              .unprocessed = code == NGHTTP2_REFUSED_STREAM,
                              .what = "upstream reset the stream"};
    struct slice text = arena_printf(stream->arena, "upstream reset the stream: %s",
                                     nghttp2_http2_strerror(code));

    if (text.data != NULL)
        fault.what = text.data;
    mux_end_stream(stream, &fault);
}

static void on_stream_frame(struct mux_stream *stream, const nghttp2_frame *frame)
{
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        on_reset(stream, frame->rst_stream.error_code);
        return;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return;
    if (frame->hd.type == NGHTTP2_HEADERS)
        take_head(stream, ends);
    if (ends && stream->fault.kind == MUX_FINE)
        stream->ended = true;
    if (ends || frame->hd.type == NGHTTP2_HEADERS)
        mux_note(stream, IO_READ);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct mux *mux = user_data;
    struct mux_stream *stream = stream_of(session, frame->hd.stream_id);

    if (frame->hd.type == NGHTTP2_GOAWAY)
        mux->leaving = true;
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
        on_settings(mux);
    if (stream != NULL)
        on_stream_frame(stream, frame);
    return 0;
}

/* Pieces are moved together: many tiny ones must not cost a buffer each. */
static bool keep_data(struct mux_stream *stream, struct bufpool *pool, struct slice data)
{
    while (data.len > 0) {
        struct buf *last = stream->last;
        size_t n;

        if (last == NULL || buf_room(last) == 0) {
            struct buf *fresh = buf_get(pool);

            if (fresh == NULL)
                return false;
            fresh->next = NULL;
            if (last == NULL)
                stream->first = fresh;
            else
                last->next = fresh;
            stream->last = last = fresh;
        }
        n = data.len < buf_room(last) ? data.len : buf_room(last);
        memcpy(last->data + last->end, data.data, n);
        last->end += (uint32_t)n;
        data = slice_skip(data, n);
    }
    return true;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user_data)
{
    struct mux *mux = user_data;
    struct mux_stream *stream = stream_of(session, id);

    (void)flags;
    if (nghttp2_session_consume_connection(session, len) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    h2_score_credit(&mux->score, len >= 1024 ? 1 : 0);
    if (stream == NULL || stream->fault.kind != MUX_FINE)
        return 0;
    if (!keep_data(stream, loop_bufs(mux->loop), slice_make((const char *)data, len)))
        mux_end_stream(stream, &no_memory);
    else
        mux_note(stream, IO_READ);
    return 0;
}

/* nghttp2 closes streams that a GOAWAY disowns, those the peer has reset, and those it finds fault
 * with itself. */
static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
    struct mux_stream *stream = stream_of(session, id);

    (void)user_data;
    if (stream == NULL)
        return 0;
    stream->over = true;
    h2_score_credit(&stream->mux->score, stream->ended ? 4 : 0);
    if (stream->ended)
        return 0;
    if (code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
        code == NGHTTP2_INTERNAL_ERROR)
        mux_end_stream(stream, &broken_rules);
    else
        on_reset(stream, code);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user_data)
{
    struct mux_stream *stream = stream_of(session, frame->hd.stream_id);
    struct mux_fault fault = broken_rules;

    fault.what = nghttp2_strerror(error);
    if (stream != NULL)
        mux_end_stream(stream, &fault);
    return glitch(user_data, GLITCH_INVALID) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void await_something(struct mux *mux)
{
    enum { QUIET_MS = 10 * 1000 };

    if (!deadline_armed(&mux->quiet))
        deadline_arm(mux->loop, &mux->quiet, QUIET_MS);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct mux *mux = user_data;
    struct mux_stream *stream = stream_of(session, frame->hd.stream_id);

    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        mux->goaway = nghttp2_http2_strerror(frame->goaway.error_code);
    if (stream == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    await_something(mux);
    stream->written = true;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        stream->sent = true;
        mux_note(stream, IO_WRITE);
    }
    return 0;
}

/* HEADERS of a stream that never came to be: the connection takes no more. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *user_data)
{
    struct mux *mux = user_data;
    struct mux_fault fault = {
        .kind = MUX_RESET, .unprocessed = true, .what = nghttp2_strerror(error)};

    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    list_each(it, keep, &mux->streams)
    {
        struct mux_stream *stream = container_of(it, struct mux_stream, link);

        if (stream->id == frame->hd.stream_id && !stream->written)
            mux_end_stream(stream, &fault);
    }
    return 0;
}

/* ---- making a session */

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
}

static void set_options(nghttp2_option *option)
{
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_outbound_ack(option, ACKS_WAITING_MAX);
    nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
    nghttp2_option_set_max_settings(option, SETTINGS_ENTRIES_MAX);
    nghttp2_option_set_peer_max_concurrent_streams(option, MUX_STREAMS_FIRST);
}

void mux_free_options(struct muxes *muxes)
{
    nghttp2_session_callbacks_del(muxes->callbacks);
    nghttp2_option_del(muxes->option);
}

static bool make_options(struct muxes *muxes)
{
    if (muxes->callbacks == NULL) {
        if (nghttp2_session_callbacks_new(&muxes->callbacks) != 0)
            return false;
        set_callbacks(muxes->callbacks);
    }
    if (muxes->option == NULL) {
        if (nghttp2_option_new(&muxes->option) != 0)
            return false;
        set_options(muxes->option);
    }
    return true;
}

bool mux_begin_session(struct mux *mux)
{
    static const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, MUX_WINDOW_BYTES},
    };
    struct muxes *muxes = mux->muxes;

    return make_options(muxes) &&
           nghttp2_session_client_new2(&mux->session, muxes->callbacks, mux, muxes->option) == 0 &&
           nghttp2_submit_settings(mux->session, NGHTTP2_FLAG_NONE, entries, COUNT(entries)) == 0 &&
           nghttp2_session_set_local_window_size(mux->session, NGHTTP2_FLAG_NONE, 0,
                                                 CONNECTION_WINDOW) == 0;
}

bool mux_feed(struct mux *mux, struct slice in)
{
    struct mux_fault fault = {.kind = MUX_INVALID};
    ssize_t used = nghttp2_session_mem_recv(mux->session, (const uint8_t *)in.data, in.len);

    if (used < 0) {
        fault.what = mux->score.fault != NULL ? mux->score.fault : nghttp2_strerror((int)used);
        mux_fail(mux, &fault);
        return false;
    }
    mux_tell(mux);
    if (mux->state != MUX_OPEN)
        return false;
    if (mux->leaving)
        mux_settle(mux);
    return mux->state == MUX_OPEN;
}
