/* A stream as its user sees it. Runs in: worker, loop thread. */
#include "balance/peer.h"
#include "base/arena.h"
#include "http/mux/mux_internal.h"

#include <assert.h>
#include <string.h>

uint64_t mux_id(const struct mux_stream *stream)
{
    return stream->mux == NULL ? 0 : stream->mux->id;
}

const struct mux_fault *mux_why(const struct mux_stream *stream)
{
    return &stream->fault;
}

bool mux_is_sent(const struct mux_stream *stream)
{
    return stream->sent;
}

bool mux_knows_peer(const struct mux_stream *stream)
{
    return stream->mux == NULL || stream->mux->settled;
}

/* A peer that has not allowed it would take it for a violation (RFC 8441, 3). */
static bool may_connect(const struct mux *mux, const nghttp2_nv *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fields[i].namelen == strlen(":protocol") &&
            memcmp(fields[i].name, ":protocol", fields[i].namelen) == 0)
            return nghttp2_session_get_remote_settings(
                       mux->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
    return true;
}

static bool is_trailer(const struct header *field)
{
    return (field->flags & (HEADER_NAME_INVALID | HEADER_HOP_BY_HOP)) == 0 &&
           (header_traits(field->id) & (HEADER_HOP | HEADER_NO_TRAILER)) == 0;
}

/* False: they cannot be sent. `*any`: they were. */
static bool send_trailers(struct mux_stream *stream, const struct header_list *list, bool *any)
{
    nghttp2_nv *fields = arena_alloc(stream->arena, header_list_count(list) * sizeof *fields);
    const struct header *field;
    size_t count = 0;
    uint32_t at = 0;

    if (fields == NULL)
        return false;
    while ((field = header_list_next(list, &at)) != NULL)
        if (is_trailer(field))
            fields[count++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)field->name.data,
                                           .namelen = field->name.len,
                                           .value = (uint8_t *)(uintptr_t)field->value.data,
                                           .valuelen = field->value.len};
    *any = count > 0;
    return count == 0 ||
           nghttp2_submit_trailer(stream->mux->session, stream->id, fields, count) == 0;
}

static bool end_request(struct mux_stream *stream, uint32_t *flags)
{
    const struct header_list *list = stream->ops->trailers(stream->conn.user);
    bool any = false;

    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (list != NULL && header_list_count(list) > 0 && !send_trailers(stream, list, &any))
        return false;
    if (any)
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return true;
}

/* nghttp2 is about to make a DATA frame. */
static ssize_t on_data_wanted(nghttp2_session *session, int32_t id, uint8_t *out, size_t max,
                              uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    struct mux_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    bool last = false;
    ssize_t n;

    (void)source;
    (void)user_data;
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    n = stream->ops->pull(stream->conn.user, (char *)out, max, &last);
    if (n < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (n > 0 || last)
        mux_note(stream, IO_WRITE);
    stream->deferred = n == 0 && !last;
    if (stream->deferred)
        return NGHTTP2_ERR_DEFERRED;
    if (last && !end_request(stream, flags))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return n;
}

bool mux_submit(struct mux_stream *stream, const nghttp2_nv *fields, size_t count, bool has_body)
{
    struct mux *mux = stream->mux;
    nghttp2_data_provider provider = {.read_callback = on_data_wanted};
    static const struct mux_fault full = {
        .kind = MUX_RESET,
        .unprocessed = true,
        .what = "the connection to upstream takes no more requests"};
    static const struct mux_fault refusing = {.kind = MUX_INVALID,
                                              .what = "upstream does not take extended CONNECT"};
    int32_t id;

    assert(stream->id == 0);
    if (mux == NULL || mux->state != MUX_OPEN || stream->fault.kind != MUX_FINE)
        return false;
    if (!may_connect(mux, fields, count)) {
        stream->fault = refusing;
        return false;
    }
    id = nghttp2_submit_request(mux->session, NULL, fields, count, has_body ? &provider : NULL,
                                stream);
    if (id < 0) {
        mux->leaving = true;
        stream->fault = full;
        return false;
    }
    stream->id = id;
    mux_pump_soon(mux);
    return true;
}

void mux_resume(struct mux_stream *stream)
{
    if (!stream->deferred || stream->mux == NULL || stream->over)
        return;
    stream->deferred = false;
    (void)!nghttp2_session_resume_data(stream->mux->session, stream->id);
    mux_pump_soon(stream->mux);
}

/* What the user has taken the peer may send again. */
static void credit(struct mux_stream *stream, size_t bytes)
{
    if (stream->mux == NULL || stream->over || stream->ended)
        return;
    (void)!nghttp2_session_consume_stream(stream->mux->session, stream->id, bytes);
    mux_pump_soon(stream->mux);
}

static struct io_result take_body(struct mux_stream *stream, struct buf **in)
{
    struct buf *buf = stream->first;
    struct io_result result = {.kind = IO_DONE, .bytes = buf_used(buf)};

    stream->first = buf->next;
    if (stream->first == NULL)
        stream->last = NULL;
    buf->next = NULL;
    buf_unref(*in);
    *in = buf;
    credit(stream, result.bytes);
    return result;
}

struct io_result mux_recv(struct mux_stream *stream, struct buf **in)
{
    struct io_result result = {.kind = IO_DONE, .bytes = (size_t)stream->new_bytes};

    stream->new_bytes = 0;
    if (stream->heads != NULL)
        return result;
    assert(*in == NULL || buf_used(*in) == 0);
    if (stream->first != NULL)
        return take_body(stream, in);
    if (stream->ended && !stream->end_told) {
        stream->end_told = true;
        return result;
    }
    stream->conn.io.ready &= ~(unsigned)IO_READ;
    result.kind = stream->fault.kind == MUX_FINE ? IO_AGAIN : IO_END;
    return result;
}

const struct mux_head *mux_take_head(struct mux_stream *stream)
{
    struct mux_head *head = stream->heads;

    if (head == NULL)
        return NULL;
    stream->heads = head->next;
    stream->heads_waiting--;
    if (stream->heads == NULL)
        stream->heads_last = &stream->heads;
    return head;
}

bool mux_has_ended(const struct mux_stream *stream, struct header_list **trailers)
{
    *trailers = stream->trailers;
    return stream->ended && stream->first == NULL;
}

/* A request that is not needed to its end, or an answer. */
static void give_up(struct mux_stream *stream)
{
    struct mux *mux = stream->mux;

    if (stream->id == 0 || stream->over)
        return;
    (void)!nghttp2_session_set_stream_user_data(mux->session, stream->id, NULL);
    if (stream->ended && stream->sent)
        return;
    (void)!nghttp2_submit_rst_stream(mux->session, NGHTTP2_FLAG_NONE, stream->id,
                                     stream->ended ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
    mux_pump_soon(mux);
}

void mux_release(struct peer_conn *conn)
{
    struct mux_stream *stream = conn->stream;
    struct mux *mux = stream->mux;

    while (stream->first != NULL) {
        struct buf *next = stream->first->next;

        buf_unref(stream->first);
        stream->first = next;
    }
    peer_state_unref(conn->state);
    conn->state = NULL;
    if (mux == NULL)
        return;
    give_up(stream);
    list_remove(&stream->link);
    if (list_linked(&stream->news_link))
        list_remove(&stream->news_link);
    stream->mux = NULL;
    mux->stream_count--;
    mux_settle(mux);
}
