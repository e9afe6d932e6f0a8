/* All frames that are ready, of all streams, in one writev per turn.
 *
 * Frame heads and small pieces are copied into one buffer, large pieces of bodies go out from where
 * they are. What the socket does not take is copied: so nothing of an exchange is referred to when
 * the write has returned, and its end needs to wait for nobody.
 * Runs in: worker, loop thread. */
#include "event/socket.h"
#include "http/chunk.h"
#include "http/h2/conn_internal.h"
#include "http/response.h"
#include "http/steps.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    PARTS_MAX = 96,
    PARTS_PER_FRAME = 20, /* its head and the pieces respond.c puts into one */
    GATHER_BYTES_MAX = 128 * 1024,
    TURN_BYTES_MAX = 2 * 1024 * 1024, /* then others have their turn */
    COPY_BYTES_MAX = 512,             /* smaller pieces cost less copied than referred to */
    FRAME_HEAD_BYTES = 9,
    ROOM_BYTES = 32 * 1024, /* a producer that waits is called when less than this is left */
};

struct h2_gather {
    struct iovec parts[PARTS_MAX];
    int count;
    size_t bytes;
    size_t left;                 /* while it is written: what is not */
    int sent_count;              /* parts that are */
    struct buf *text;            /* heads and small pieces */
    struct buf *held[PARTS_MAX]; /* what parts refer to */
    int held_count;
};

static bool has_room(const struct h2_gather *gather)
{
    return gather->bytes < GATHER_BYTES_MAX && gather->count + PARTS_PER_FRAME < PARTS_MAX &&
           gather->held_count + PARTS_PER_FRAME < PARTS_MAX &&
           buf_room(gather->text) >= 2 * FRAME_HEAD_BYTES;
}

static void add_part(struct h2_gather *gather, const char *data, size_t len)
{
    struct iovec *last = gather->count == 0 ? NULL : &gather->parts[gather->count - 1];

    gather->bytes += len;
    if (last != NULL && (char *)last->iov_base + last->iov_len == data) {
        last->iov_len += len;
        return;
    }
    assert(gather->count < PARTS_MAX);
    gather->parts[gather->count++] = (struct iovec){.iov_base = (void *)(uintptr_t)data,
                                                    .iov_len = len};
}

/* False: no room, nothing was added. */
static bool add_copy(struct h2_gather *gather, const void *data, size_t len)
{
    struct buf *text = gather->text;

    if (buf_room(text) < len)
        return false;
    char *at = text->data + text->end;

    memcpy(at, data, len);
    text->end += (uint32_t)len;
    add_part(gather, at, len);
    return true;
}

static void take_off_queue(struct exchange *x, size_t bytes)
{
    struct response *response = &x->response;
    struct chunk *chunk = response->first;

    response->queued_bytes -= bytes;
    if (chunk->fd >= 0) {
        chunk->offset += (off_t)bytes;
        chunk->file_bytes -= bytes;
    } else {
        response->queued_memory -= bytes;
        chunk->bytes = slice_skip(chunk->bytes, bytes);
    }
    if (chunk_size(chunk) > 0)
        return;
    response->first = chunk->next;
    if (response->first == NULL)
        response->last = &response->first;
    chunk_release(x, chunk);
}

static bool add_file(struct h2_gather *gather, struct exchange *x, size_t bytes)
{
    struct chunk *chunk = x->response.first;
    struct buf *buf = buf_get(loop_bufs(x->loop));
    size_t done = 0;

    if (buf == NULL)
        return false;
    assert(gather->held_count < PARTS_MAX);
    gather->held[gather->held_count++] = buf;
    while (done < bytes) {
        ssize_t n = pread(chunk->fd, buf->data + done, bytes - done, chunk->offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            log_about(&x->log, LOG_LEVEL_ALERT, n < 0 ? errno : 0,
                      n < 0 ? "cannot read a file that is being sent"
                            : "a file became shorter while it was being sent");
            return false;
        }
        done += (size_t)n;
    }
    add_part(gather, buf->data, bytes);
    take_off_queue(x, bytes);
    return true;
}

static void add_memory(struct h2_gather *gather, struct exchange *x, size_t bytes)
{
    while (bytes > 0) {
        struct chunk *chunk = x->response.first;
        size_t n = chunk->bytes.len < bytes ? chunk->bytes.len : bytes;

        if (n > COPY_BYTES_MAX || !add_copy(gather, chunk->bytes.data, n)) {
            add_part(gather, chunk->bytes.data, n);
            if (chunk->buf != NULL) {
                assert(gather->held_count < PARTS_MAX);
                gather->held[gather->held_count++] = buf_ref(chunk->buf);
            }
        }
        take_off_queue(x, n);
        bytes -= n;
    }
}

/* The payload of a DATA frame whose length h2_on_data_wanted() has said. */
int h2_on_data_framed(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd,
                      size_t length, nghttp2_data_source *source, void *user_data)
{
    struct h2_conn *conn = user_data;
    struct h2_gather *gather = conn->gather;
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)source;
    if (stream == NULL || !add_copy(gather, framehd, FRAME_HEAD_BYTES))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    bool good = true;

    if (length > 0 && stream->x->response.first->fd < 0)
        add_memory(gather, stream->x, length);
    else if (length > 0)
        good = add_file(gather, stream->x, length);
    if (good)
        return has_room(gather) ? 0 : NGHTTP2_ERR_PAUSE;
    /* Its head promises bytes that there are not: it must not go out. */
    gather->text->end -= FRAME_HEAD_BYTES;
    gather->bytes -= FRAME_HEAD_BYTES;
    gather->parts[gather->count - 1].iov_len -= FRAME_HEAD_BYTES;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* False: the session has failed. */
static bool gather_frames(struct h2_conn *conn, struct h2_gather *gather)
{
    bool ok = true;

    conn->gather = gather;
    while (has_room(gather)) {
        const uint8_t *data = NULL;
        size_t before = gather->bytes;
        ssize_t n = nghttp2_session_mem_send(conn->session, &data);

        ok = n >= 0;
        if (n > 0 && !add_copy(gather, data, (size_t)n)) {
            add_part(gather, (const char *)data, (size_t)n); /* valid until the next mem_send */
            break;
        }
        if (n < 0 || (n == 0 && gather->bytes == before))
            break;
    }
    conn->gather = NULL;
    return ok;
}

static bool keep_rest(struct h2_conn *conn, const struct h2_gather *gather)
{
    struct buf *rest = buf_get_sized(loop_bufs(conn->http->loop), gather->left);

    assert(conn->backlog == NULL);
    if (rest == NULL)
        return false;
    for (int i = gather->sent_count; i < gather->count; i++) {
        const struct iovec *part = &gather->parts[i];

        memcpy(rest->data + rest->end, part->iov_base, part->iov_len);
        rest->end += (uint32_t)part->iov_len;
    }
    conn->backlog = rest;
    return true;
}

/* Takes what was sent off the front. */
static void advance(struct h2_gather *gather, size_t bytes)
{
    gather->left -= bytes;
    while (bytes > 0 && gather->sent_count < gather->count) {
        struct iovec *part = &gather->parts[gather->sent_count];
        size_t n = part->iov_len < bytes ? part->iov_len : bytes;

        part->iov_base = (char *)part->iov_base + n;
        part->iov_len -= n;
        bytes -= n;
        gather->sent_count += part->iov_len == 0;
    }
}

/* TLS takes a record at a time; in clear text it is one call. False: the socket is gone. */
static bool write_parts(struct h2_conn *conn, struct h2_gather *gather)
{
    gather->left = gather->bytes;
    gather->sent_count = 0;
    while (gather->left > 0 && (conn->io.ready & IO_WRITE) != 0) {
        struct io_result sent = transport_send(&conn->io, conn->tls,
                                               gather->parts + gather->sent_count,
                                               gather->count - gather->sent_count, false);

        if (sent.kind == IO_FAILED || sent.kind == IO_END)
            return false;
        if (sent.kind == IO_DONE)
            advance(gather, sent.bytes);
    }
    return gather->left == 0 || keep_rest(conn, gather);
}

/* True when nothing is left of it. `*failed`: the socket is gone. */
static bool send_backlog(struct h2_conn *conn, bool *failed)
{
    struct buf *backlog = conn->backlog;

    if (backlog == NULL)
        return true;
    while (buf_used(backlog) > 0) {
        if ((conn->io.ready & IO_WRITE) == 0)
            return false;
        struct iovec part = {backlog->data + backlog->start, buf_used(backlog)};
        struct io_result sent = transport_send(&conn->io, conn->tls, &part, 1, false);

        *failed = sent.kind == IO_FAILED || sent.kind == IO_END;
        if (*failed)
            return false;
        if (sent.kind == IO_DONE)
            backlog->start += (uint32_t)sent.bytes;
    }
    buf_unref(backlog);
    conn->backlog = NULL;
    return true;
}

/* What the frames that went out mean to their exchanges. */
static void look_after(struct h2_stream *stream)
{
    struct exchange *x = stream->x;

    if (stream->finished && !h2_tunnel_runs(stream)) {
        exchange_sent(x); /* frees it */
        return;
    }
    h2_watch_client(stream);
    if (!x->response.wants_room || x->response.queued_bytes >= ROOM_BYTES)
        return;
    x->response.wants_room = false;
    response_resume(x);
}

void h2_look_after(struct h2_conn *conn)
{
    struct list todo;

    list_init(&todo);
    while (!list_empty(&conn->touched))
        list_push_back(&todo, list_pop_front(&conn->touched));
    while (!list_empty(&todo))
        look_after(container_of(list_pop_front(&todo), struct h2_stream, touched_link));
}

/* False: nothing more can or need be sent now. */
static bool pump_once(struct h2_conn *conn, size_t *bytes, bool *failed)
{
    struct h2_gather gather;

    gather.count = gather.held_count = 0;
    gather.bytes = 0;
    gather.text = buf_get(loop_bufs(conn->http->loop));
    if (gather.text == NULL) {
        *failed = true;
        return false;
    }
    *failed = !gather_frames(conn, &gather) || (gather.bytes > 0 && !write_parts(conn, &gather));
    *bytes += gather.bytes;
    for (int i = 0; i < gather.held_count; i++)
        buf_unref(gather.held[i]);
    buf_unref(gather.text);
    return !*failed && gather.bytes > 0;
}

void h2_pump(struct h2_conn *conn)
{
    size_t bytes = 0;
    bool failed = false;
    bool more = true;

    while (more && conn->state == H2_OPEN && bytes < TURN_BYTES_MAX) {
        if (!send_backlog(conn, &failed))
            break;
        more = pump_once(conn, &bytes, &failed);
        if (failed)
            break;
        h2_look_after(conn);
        h2_tell_news(conn);
    }
    if (failed) {
        h2_conn_lost(conn);
        return;
    }
    if (more && bytes >= TURN_BYTES_MAX)
        deadline_arm(conn->http->loop, &conn->again, 1);
    h2_look_after(conn); /* those that wait for the socket */
}
