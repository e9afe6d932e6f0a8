/* Extended CONNECT (RFC 8441): a stream that becomes a tunnel, as a connection does with Upgrade.
 *
 * Behind the codec the request is one with Upgrade. What the client sends waits here, at most one
 * window of it; what is for the client is the body of a response. Runs in: worker, loop thread. */
#include "base/arena.h"
#include "event/socket.h"
#include "http/chunk.h"
#include "http/h2/conn_internal.h"
#include "http/response.h"
#include "http/websocket.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { QUEUE_BYTES_MAX = 64 * 1024 }; /* for the client */

static const struct tunnel_ops ops;

static bool add(struct h2_stream *stream, enum header_id id, const char *text)
{
    struct slice value = arena_copy(stream->x->subject.arena, slice_of(text));

    return value.data != NULL && header_list_add_id(&stream->headers, id, value) != NULL;
}

/* A server of HTTP/1.1 wants to see a key; over HTTP/2 there is none. */
static bool add_key(struct h2_stream *stream)
{
    struct slice name = slice_of("Sec-WebSocket-Key");
    char key[WEBSOCKET_KEY_BYTES + 1];
    struct slice value;

    if (!slice_eq_nocase(stream->protocol, slice_of("websocket")) ||
        header_list_find_name(&stream->headers, name) != NULL)
        return true;
    if (!websocket_key(key))
        return false;
    value = arena_copy(stream->x->subject.arena, slice_make(key, WEBSOCKET_KEY_BYTES));
    return value.data != NULL && header_list_add(&stream->headers, name, value) != NULL;
}

/* What came together with the head was taken for a body. */
static void take_early(struct h2_stream *stream)
{
    struct body *body = &stream->x->body;

    for (const struct chunk *chunk = body->first; chunk != NULL; chunk = chunk->next)
        h2_tunnel_take(stream, chunk->bytes);
    chunk_release_all(stream->x, body->first);
    body->first = NULL;
    body->last = &body->first;
    body->queued_bytes = 0;
    body->received_bytes = 0;
}

bool h2_tunnel_new(struct h2_stream *stream)
{
    struct exchange *x = stream->x;
    struct h2_tunnel *tunnel = arena_zalloc(x->subject.arena, sizeof *tunnel);

    if (tunnel == NULL || !add(stream, HEADER_CONNECTION, "upgrade") || !add_key(stream) ||
        header_list_add_id(&stream->headers, HEADER_UPGRADE, stream->protocol) == NULL)
        return false;
    tunnel->io.fd = -1;
    tunnel->io.ready = IO_WRITE;
    tunnel->end.side = (struct tunnel_side){.io = &tunnel->io, .ops = &ops, .data = stream};
    stream->tunnel = tunnel;
    x->request.method = METHOD_GET;
    x->request.method_name = slice_of("GET");
    x->request.wants_upgrade = true;
    x->body.complete = true;
    take_early(stream);
    return true;
}

/* ---- from the client */

void h2_tunnel_take(struct h2_stream *stream, struct slice data)
{
    struct h2_tunnel *tunnel = stream->tunnel;

    while (data.len > 0) {
        struct buf *last = tunnel->last;
        size_t n;

        if (last == NULL || buf_room(last) == 0) {
            struct buf *fresh = buf_get(loop_bufs(stream->x->loop));

            if (fresh == NULL) {
                tunnel->failed = true;
                break;
            }
            fresh->next = NULL;
            if (last == NULL)
                tunnel->first = fresh;
            else
                last->next = fresh;
            tunnel->last = last = fresh;
        }
        n = data.len < buf_room(last) ? data.len : buf_room(last);
        memcpy(last->data + last->end, data.data, n);
        last->end += (uint32_t)n;
        data = slice_skip(data, n);
    }
    h2_note(stream);
}

static void drop_first(struct h2_tunnel *tunnel)
{
    struct buf *buf = tunnel->first;

    tunnel->first = buf->next;
    if (tunnel->first == NULL)
        tunnel->last = NULL;
    buf_unref(buf);
}

static struct io_result tunnel_recv(void *data, void *bytes, size_t max)
{
    struct h2_stream *stream = data;
    struct h2_tunnel *tunnel = stream->tunnel;
    struct buf *buf = tunnel->first;
    struct io_result result = {.kind = IO_DONE};

    if (tunnel->failed || stream->reset)
        return (struct io_result){.kind = IO_FAILED, .error = ECONNRESET};
    if (buf == NULL) {
        tunnel->io.ready &= ~(unsigned)IO_READ;
        result.kind = stream->received_all ? IO_END : IO_AGAIN;
        return result;
    }
    result.bytes = buf_used(buf) < max ? buf_used(buf) : max;
    memcpy(bytes, buf->data + buf->start, result.bytes);
    buf->start += (uint32_t)result.bytes;
    if (buf_used(buf) == 0)
        drop_first(tunnel);
    if (!stream->received_all)
        (void)!nghttp2_session_consume_stream(stream->conn->session, stream->id, result.bytes);
    h2_pump_soon(stream->conn);
    return result;
}

void h2_tunnel_tell(struct h2_stream *stream)
{
    struct h2_tunnel *tunnel = stream->tunnel;

    tunnel->io.ready |= IO_READ;
    if (tunnel->end.on_ready != NULL)
        tunnel->end.on_ready(&tunnel->end, IO_READ); /* `stream` may be gone */
}

/* ---- to the client */

static void on_room(struct exchange *x)
{
    struct h2_stream *stream = x->stream;
    struct h2_tunnel *tunnel = stream->tunnel;

    tunnel->io.ready |= IO_WRITE;
    if (tunnel->end.on_ready != NULL)
        tunnel->end.on_ready(&tunnel->end, IO_WRITE);
}

static struct io_result tunnel_send(void *data, const struct iovec *parts, int count)
{
    struct h2_stream *stream = data;
    struct exchange *x = stream->x;
    size_t max = response_room(x, QUEUE_BYTES_MAX);
    struct buf *buf;
    struct chunk *chunk;

    assert(count == 1);
    if (stream->reset || x->response.ended)
        return (struct io_result){.kind = IO_FAILED, .error = EPIPE};
    if (max == 0) {
        stream->tunnel->io.ready &= ~(unsigned)IO_WRITE;
        response_wait_room(x, on_room);
        return (struct io_result){.kind = IO_AGAIN};
    }
    if ((max = response_append(x, slice_make(parts->iov_base, parts->iov_len))) > 0) {
        response_flush(x);
        return (struct io_result){.kind = IO_DONE, .bytes = max};
    }
    buf = buf_get(loop_bufs(x->loop));
    if (buf == NULL)
        return (struct io_result){.kind = IO_FAILED, .error = ENOMEM};
    max = parts->iov_len < buf_room(buf) ? parts->iov_len : buf_room(buf);
    memcpy(buf->data, parts->iov_base, max);
    buf->end = (uint32_t)max;
    chunk = chunk_memory(x, slice_make(buf->data, max), buf);
    if (chunk == NULL)
        buf_unref(buf);
    if (chunk == NULL || !response_write(x, chunk))
        return (struct io_result){.kind = IO_FAILED, .error = ENOMEM};
    response_flush(x);
    return (struct io_result){.kind = IO_DONE, .bytes = max};
}

static void tunnel_shutdown(void *data)
{
    struct h2_stream *stream = data;

    if (!stream->x->response.ended && response_end(stream->x))
        response_flush(stream->x);
}

static const struct tunnel_ops ops = {
    .recv = tunnel_recv, .send = tunnel_send, .shutdown = tunnel_shutdown};

bool h2_tunnel_runs(const struct h2_stream *stream)
{
    return stream->tunnel != NULL && stream->tunnel->end.on_ready != NULL;
}

void h2_tunnel_free(struct h2_stream *stream)
{
    while (stream->tunnel != NULL && stream->tunnel->first != NULL)
        drop_first(stream->tunnel);
}

/* In HTTP/2 the answer that agrees is a 2xx, and proves nothing. */
struct tunnel_end *h2_upgrade(struct exchange *x)
{
    struct h2_stream *stream = x->stream;
    struct header *accept = header_list_find_name(&x->response.headers,
                                                  slice_of("Sec-WebSocket-Accept"));

    if (stream->tunnel == NULL || stream->gone)
        return NULL;
    if (accept != NULL)
        header_list_remove(&x->response.headers, accept);
    stream->tunnel->io.ready |= IO_READ; /* what came meanwhile was told to nobody */
    x->response.status = 200;
    x->response.no_body = false;
    x->response.content_length = -1;
    response_flush(x);
    return &stream->tunnel->end;
}
