/* What goes out on an HTTP/1 connection: heads, framing, as few system calls as the bytes allow.
 * Runs in: worker, loop thread. */
#include "base/arena.h"
#include "base/clock.h"
#include "event/socket.h"
#include "http/h1/conn_internal.h"
#include "http/h1/write.h"
#include "http/response.h"
#include "http/status.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>

enum {
    IOV_PARTS_MAX = 64,
    HEAD_FIXED_BYTES =
        512, /* status line and the fields we add ourselves, without values of the response */
    ROOM_BYTES = 32 *
                 1024, /* a producer that waits is called when less than this is left to send */
};

/* "MSIE 4." to "MSIE 6.", but not those that were repaired ("SV1") or only pretend ("Opera"). */
static bool is_msie6(struct slice agent)
{
    ptrdiff_t at = slice_search(agent, slice_of("MSIE "));

    if (at < 0 || slice_search(agent, slice_of("Opera")) >= 0)
        return false;
    struct slice version = slice_skip(agent, (size_t)at + 5);

    if (version.len < 2 || version.data[1] != '.' || version.data[0] < '4' || version.data[0] > '6')
        return false;
    return version.data[0] < '6' || slice_search(version, slice_of("SV1")) < 0;
}

static bool is_safari(struct slice agent)
{
    return slice_search(agent, slice_of("Safari/")) >= 0 &&
           slice_search(agent, slice_of("Mac OS X")) >= 0 &&
           slice_search(agent, slice_of("Chrome/")) < 0;
}

/* Browsers of the past that cannot live with a connection that stays (keepalive_disable). */
static bool disables_keep_alive(const struct exchange *x, unsigned browsers)
{
    struct slice agent = exchange_header(x, HEADER_USER_AGENT);

    if (browsers == 0 || agent.len == 0)
        return false;
    if ((browsers & KEEPALIVE_DISABLE_MSIE6) != 0 && x->request.method == METHOD_POST &&
        is_msie6(agent))
        return true;
    return (browsers & KEEPALIVE_DISABLE_SAFARI) != 0 && is_safari(agent);
}

/* HTTP/1.1 keeps unless somebody objects; a body of unknown length ends an HTTP/1.0 connection. */
static bool decide_keep_alive(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    const struct core_conf *core = core_of(x);
    const struct h1_conn *conn = stream->conn;
    uint64_t age_ms = loop_now_ms(x->loop) - conn->start_ms;

    if (!stream->keep_alive || (x->flags & X_CLOSE_AFTER) != 0 || x->http->draining)
        return false;
    if (disables_keep_alive(x, core->keepalive_disable))
        return false;
    if (core->keepalive_timeout == 0 || conn->requests + 1 >= (uint32_t)core->keepalive_requests)
        return false;
    if (age_ms > core->keepalive_time)
        return false;
    if (conn->listener->io.fd < 0) /* its address is not in the config any more */
        return false;
    return h1_body_ends(x);
}

static bool body_needs_framing(const struct exchange *x)
{
    return response_has_body(x) && x->response.content_length < 0 && x->response.status >= 200;
}

static void decide_framing(struct exchange *x)
{
    struct h1_stream *stream = x->stream;

    stream->chunked_out = body_needs_framing(x) && x->request.version >= 11 &&
                          x->response.chunked_allowed;
    stream->keep_alive = decide_keep_alive(x);
    if (body_needs_framing(x) && !stream->chunked_out)
        stream->keep_alive = false;
}

/* Server and Date, made once a second. */
static struct slice stamp_of(struct exchange *x)
{
    struct head_stamp *stamp = &x->http->stamp;
    const struct clock *clock = loop_clock(x->loop);
    struct slice server = response_server_name(x);

    if (stamp->second != clock->text_for || stamp->server != server.data) {
        struct writer w = writer_make(stamp->text, sizeof stamp->text);

        write_header_id(&w, HEADER_SERVER, server);
        write_header_id(&w, HEADER_DATE, slice_make(clock->http_date, 29));
        assert(!w.overflow);
        stamp->len = w.len;
        stamp->second = clock->text_for;
        stamp->server = server.data;
    }
    return slice_make(stamp->text, stamp->len);
}

static void write_server_and_date(struct writer *w, struct exchange *x)
{
    const struct header_list *headers = &x->response.headers;
    bool has_server = header_list_has(headers, HEADER_SERVER);
    bool has_date = header_list_has(headers, HEADER_DATE);

    if (!has_server && !has_date) {
        write_bytes(w, stamp_of(x));
        return;
    }
    if (!has_server)
        write_header_id(w, HEADER_SERVER, response_server_name(x));
    if (!has_date)
        write_header_id(w, HEADER_DATE, slice_make(loop_clock(x->loop)->http_date, 29));
}

static void write_type(struct writer *w, const struct response *response)
{
    if (response->content_type.len == 0)
        return;
    if (response->charset.len == 0) {
        write_header_id(w, HEADER_CONTENT_TYPE, response->content_type);
        return;
    }
    write_bytes(w, slice_of("Content-Type: "));
    write_bytes(w, response->content_type);
    write_bytes(w, slice_of("; charset="));
    write_bytes(w, response->charset);
    write_bytes(w, slice_of("\r\n"));
}

static struct slice date_text(struct exchange *x, time_t when)
{
    struct known_date *date = &x->http->dates[(uint64_t)when % KNOWN_DATES];

    if (date->when != when || date->text[0] == '\0') {
        clock_http_date(when, date->text);
        date->when = when;
    }
    return slice_make(date->text, 29);
}

static void write_entity(struct writer *w, struct exchange *x)
{
    const struct response *response = &x->response;

    write_type(w, response);
    if (response->content_length >= 0 && response->status >= 200 && response->status != 204 &&
        response->status != 304)
        write_header_u64(w, HEADER_CONTENT_LENGTH, (uint64_t)response->content_length);
    if (response->last_modified >= 0)
        write_header_id(w, HEADER_LAST_MODIFIED, date_text(x, response->last_modified));
    struct slice location = response_complete_location(x);

    x->response.location = location; /* $sent_http_location says what was sent */
    if (location.len > 0)
        write_header_id(w, HEADER_LOCATION, location);
}

static void write_connection(struct writer *w, struct exchange *x)
{
    const struct h1_stream *stream = x->stream;
    const struct core_conf *core = core_of(x);

    if (stream->chunked_out)
        write_bytes(w, slice_of("Transfer-Encoding: chunked\r\n"));
    if (x->response.status == 101) {
        write_bytes(w, slice_of("Connection: upgrade\r\n"));
        return;
    }
    if (!stream->keep_alive) {
        write_bytes(w, slice_of("Connection: close\r\n"));
        return;
    }
    write_bytes(w, slice_of("Connection: keep-alive\r\n"));
    if (core->keepalive_header_s == 0)
        return;
    write_bytes(w, slice_of("Keep-Alive: timeout="));
    write_u64(w, core->keepalive_header_s);
    write_bytes(w, slice_of("\r\n"));
}

static void queue_wire(struct h1_stream *stream, struct chunk *chunk)
{
    chunk->next = NULL;
    *stream->wire_last = chunk;
    stream->wire_last = &chunk->next;
    stream->wire_bytes += chunk_size(chunk);
}

/* Without memory for its head an answer cannot be given: the flush that follows closes the
 * connection. */
void h1_send_head(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    const struct response *response = &x->response;

    decide_framing(x);
    size_t bytes = HEAD_FIXED_BYTES + response->reason.len + response->content_type.len +
                   response->charset.len + 3 * response->location.len + x->request.host.len +
                   headers_written_len(&response->headers) + x->server->name.len;
    struct writer w = writer_make(arena_bytes(x->subject.arena, bytes), bytes);

    if (w.data == NULL)
        return;
    write_status_line(&w, (unsigned)response->status, response->reason);
    write_server_and_date(&w, x);
    write_entity(&w, x);
    write_connection(&w, x);
    write_headers(&w, &response->headers);
    write_end(&w);
    struct chunk *chunk = w.overflow ? NULL : chunk_memory(x, slice_make(w.data, w.len), NULL);

    if (chunk != NULL)
        queue_wire(stream, chunk);
    stream->head_bytes = chunk == NULL ? 0 : w.len;
}

static bool queue_text(struct exchange *x, struct slice text)
{
    struct chunk *chunk = chunk_memory(x, text, NULL);

    if (chunk != NULL)
        queue_wire(x->stream, chunk);
    return chunk != NULL;
}

static bool queue_chunk_size(struct exchange *x, uint64_t bytes)
{
    struct chunk *chunk = chunk_memory(x, slice_make(NULL, 0), NULL);

    if (chunk == NULL)
        return false;
    chunk->bytes = slice_make(chunk->inline_bytes, chunk_write_head(chunk->inline_bytes, bytes));
    queue_wire(x->stream, chunk);
    return true;
}

static bool queue_last_chunk(struct exchange *x)
{
    const struct header_list *trailers = &x->response.trailers;

    if (header_list_count(trailers) == 0)
        return queue_text(x, slice_of(CHUNK_LAST));
    size_t bytes = headers_written_len(trailers) + 8;
    struct writer w = writer_make(arena_bytes(x->subject.arena, bytes), bytes);

    if (w.data == NULL)
        return false;
    write_bytes(&w, slice_of("0\r\n"));
    write_headers(&w, trailers);
    write_end(&w);
    return !w.overflow && queue_text(x, slice_make(w.data, w.len));
}

/* Moves what handlers have queued to the wire, in one frame. */
static bool frame(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct response *response = &x->response;
    uint64_t bytes = response->queued_bytes - stream->taken_bytes;

    if (response->first != NULL) {
        if (stream->chunked_out && !queue_chunk_size(x, bytes))
            return false;
        *stream->wire_last = response->first;
        stream->wire_last = response->last;
        stream->wire_bytes += bytes;
        stream->taken_bytes += bytes;
        response->first = NULL;
        response->last = &response->first;
        if (stream->chunked_out && !queue_text(x, slice_of(CHUNK_TAIL)))
            return false;
    }
    if (!response->ended || stream->last_queued)
        return true;
    stream->last_queued = true;
    return !stream->chunked_out || queue_last_chunk(x);
}

/* Takes `bytes` off the front of the wire. */
static void consume(struct exchange *x, uint64_t bytes)
{
    struct h1_stream *stream = x->stream;

    x->response.bytes_sent += bytes;
    stream->wire_bytes -= bytes;
    while (stream->wire != NULL) {
        struct chunk *chunk = stream->wire;
        uint64_t size = chunk_size(chunk);

        if (bytes < size) {
            if (chunk->fd >= 0)
                chunk->file_bytes -= bytes;
            else
                chunk->bytes = slice_skip(chunk->bytes, (size_t)bytes);
            return;
        }
        bytes -= size;
        stream->wire = chunk->next;
        chunk_release(x, chunk);
    }
    stream->wire_last = &stream->wire;
}

static struct io_result send_memory(struct h1_stream *stream, size_t bytes_max)
{
    struct iovec parts[IOV_PARTS_MAX];
    int count = 0;
    struct chunk *chunk = stream->wire;

    parts[0].iov_len = 0; /* the compiler cannot see that there is one at least */
    for (; chunk != NULL && chunk->fd < 0 && count < IOV_PARTS_MAX && bytes_max > 0;
         chunk = chunk->next) {
        size_t n = chunk->bytes.len < bytes_max ? chunk->bytes.len : bytes_max;

        parts[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)chunk->bytes.data,
                                        .iov_len = n};
        bytes_max -= n;
    }
    return transport_send(&stream->conn->io, stream->conn->tls, parts, count,
                          chunk != NULL && bytes_max > 0);
}

/* Fewer bytes than asked for say nothing about the socket here: the file may have ended. */
static struct io_result send_file(struct exchange *x, size_t bytes_max)
{
    struct h1_stream *stream = x->stream;
    struct chunk *chunk = stream->wire;
    size_t n = chunk->file_bytes < bytes_max ? (size_t)chunk->file_bytes : bytes_max;
    size_t once = core_of(x)->sendfile_max_chunk;

    if (once != 0 && n > once)
        n = once;
    struct io_result sent = transport_sendfile(&stream->conn->io, stream->conn->tls, chunk->fd,
                                               &chunk->offset, n);

    if (sent.kind == IO_END) { /* the file became shorter than what the head promised */
        log_about(&x->log, LOG_LEVEL_ALERT, 0, "a file became shorter while it was being sent");
        sent.kind = IO_FAILED;
    }
    return sent;
}

static void on_rate_deadline(struct deadline *deadline)
{
    struct h1_stream *stream = container_of(deadline, struct h1_stream, rate);

    h1_flush(stream->x);
}

enum sent { SENT_ALL, SENT_BLOCKED, SENT_LATER, SENT_FAILED };

static enum sent send_later(struct exchange *x, uint64_t after_ms)
{
    struct h1_stream *stream = x->stream;

    stream->rate.on_expire = on_rate_deadline;
    deadline_arm(x->loop, &stream->rate, after_ms);
    return SENT_LATER;
}

/* Until the wire is empty, the socket full, the rate used up, or it is the turn of others. */
static enum sent drain_wire(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct h1_conn *conn = stream->conn;
    size_t turn_max = core_of(x)->sendfile_max_chunk;
    uint64_t sent_before = x->response.bytes_sent;

    while (stream->wire != NULL) {
        size_t allowed = response_rate_allows(x);

        if (allowed == 0)
            return send_later(x, RESPONSE_RATE_SLICE_MS);
        if (turn_max != 0 && x->response.bytes_sent - sent_before > turn_max)
            return send_later(x, 1);
        struct io_result sent = stream->wire->fd >= 0 ? send_file(x, allowed)
                                                      : send_memory(stream, allowed);

        if (sent.kind != IO_DONE && sent.kind != IO_AGAIN) {
            log_about(&x->log, LOG_LEVEL_INFO, sent.error, "cannot send the response");
            return SENT_FAILED;
        }
        if (sent.kind == IO_DONE)
            consume(x, sent.bytes);
        if ((conn->io.ready & IO_WRITE) == 0) /* the socket is full */
            return SENT_BLOCKED;
    }
    return SENT_ALL;
}

static void count_body_bytes(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct response *response = &x->response;

    response->queued_bytes = stream->wire_bytes;
    response->queued_memory = (size_t)stream->wire_bytes;
    stream->taken_bytes = stream->wire_bytes;
    response->body_bytes_sent = response->bytes_sent > stream->head_bytes
                                    ? response->bytes_sent - stream->head_bytes
                                    : 0;
}

/* send_timeout runs from the last byte that was taken. */
static void watch_client(struct exchange *x, enum sent sent, bool moved)
{
    struct h1_stream *stream = x->stream;

    if (sent != SENT_BLOCKED) {
        stream->send_timed = false;
        h1_watch_body(x);
        return;
    }
    if (stream->send_timed && !moved)
        return;
    stream->send_timed = true;
    deadline_arm(x->loop, &stream->conn->deadline, core_of(x)->send_timeout);
}

/* May end the exchange: nothing may follow. */
static void after_sending(struct exchange *x, enum sent sent, bool moved)
{
    struct h1_stream *stream = x->stream;

    count_body_bytes(x);
    if (sent == SENT_FAILED) {
        x->flags |= X_CLIENT_GONE;
        exchange_abort(x, false);
        return;
    }
    if (sent == SENT_ALL && stream->last_queued) {
        exchange_sent(x);
        return;
    }
    watch_client(x, sent, moved);
    if (!x->response.wants_room || stream->wire_bytes >= ROOM_BYTES)
        return;
    x->response.wants_room = false;
    stream->flush_again = true;
    response_resume(x);
}

void h1_flush(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct h1_conn *conn = stream->conn;
    uint32_t epoch = conn->epoch;

    if (stream->sending) {
        stream->flush_again = true;
        return;
    }
    stream->sending = true;
    do {
        stream->flush_again = false;
        enum sent sent = SENT_FAILED;
        uint64_t before = x->response.bytes_sent;

        if (!x->response.begun || (stream->head_bytes > 0 && frame(x)))
            sent = stream->wire == NULL || (conn->io.ready & IO_WRITE) != 0 ? drain_wire(x)
                                                                            : SENT_BLOCKED;
        after_sending(x, sent, x->response.bytes_sent != before);
        if (conn->epoch != epoch)
            return;
    } while (stream->flush_again && (x->response.first != NULL || x->response.ended) &&
             (conn->io.ready & IO_WRITE) != 0);
    stream->sending = false;
}

bool h1_send_interim(struct exchange *x, int status, const struct header_list *headers)
{
    struct h1_stream *stream = x->stream;
    size_t bytes = 64 + (headers == NULL ? 0 : headers_written_len(headers));
    struct writer w = writer_make(arena_bytes(x->subject.arena, bytes), bytes);

    if (w.data == NULL || x->request.version < 11 || x->response.begun)
        return false;
    write_status_line(&w, (unsigned)status, slice_make(NULL, 0));
    if (headers != NULL)
        write_headers(&w, headers);
    write_end(&w);
    if (w.overflow)
        return false;
    struct iovec part = {.iov_base = w.data, .iov_len = w.len};
    struct io_result sent = stream->wire != NULL
                                ? (struct io_result){.kind = IO_AGAIN}
                                : transport_send(&stream->conn->io, stream->conn->tls, &part, 1,
                                                 false);
    size_t done = sent.kind == IO_DONE ? sent.bytes : 0;

    if (done < w.len) /* the rest goes out in front of the answer */
        return queue_text(x, slice_make(w.data + done, w.len - done));
    return sent.kind == IO_DONE;
}

/* The unsent part of the head as a buffer of its own. */
static struct buf *unsent_head(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct buf *buf = buf_get_sized(loop_bufs(x->loop), (size_t)stream->wire_bytes);

    for (struct chunk *chunk = stream->wire; buf != NULL && chunk != NULL; chunk = chunk->next) {
        memcpy(buf->data + buf->end, chunk->bytes.data, chunk->bytes.len);
        buf->end += (uint32_t)chunk->bytes.len;
    }
    return buf;
}

struct tunnel_end *h1_upgrade(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct h1_conn *conn = stream->conn;

    assert(x->response.begun);
    if (drain_wire(x) == SENT_FAILED)
        return NULL;
    if (stream->wire != NULL && (stream->tunnel.unsent = unsent_head(x)) == NULL)
        return NULL;
    chunk_release_all(x, stream->wire);
    stream->wire = NULL;
    stream->wire_last = &stream->wire;
    stream->wire_bytes = 0;
    deadline_disarm(&conn->deadline);
    stream->keep_alive = false;
    x->flags |= X_CLOSE_AFTER;
    if (conn->in != NULL && buf_used(conn->in) > 0)
        stream->tunnel.early = conn->in;
    else
        buf_unref(conn->in);
    conn->in = NULL;
    stream->tunnel.side = (struct tunnel_side){.io = &conn->io, .tls = conn->tls};
    conn->state = H1_TUNNEL;
    return &stream->tunnel;
}
