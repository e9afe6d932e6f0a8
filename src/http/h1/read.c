/* What comes in on an HTTP/1 connection: request heads, and bodies into the exchange.
 * Runs in: worker, loop thread. */
#include "base/arena.h"
#include "event/socket.h"
#include "http/conf.h"
#include "http/features/http2.h"
#include "http/h1/conn_internal.h"
#include "http/h1/parse.h"
#include "http/request.h"
#include "http/response.h"
#include "http/router.h"
#include "http/steps.h"
#include "policy/error_log.h"

#include <assert.h>
#include <errno.h>

enum {
    DISCARD_READS = 64,        /* of an unwanted body, in one turn */
    BODY_ROOM_BYTES_MIN = 2048 /* less is not worth to read into */
};

/* A buffer with room: the one there is, or a larger one that takes over its bytes. */
static bool ensure_room(struct h1_conn *conn, size_t capacity)
{
    struct bufpool *pool = loop_bufs(conn->http->loop);
    struct buf *in = conn->in;

    if (in == NULL) {
        conn->in = buf_get(pool);
        return conn->in != NULL;
    }
    if (buf_room(in) > 0)
        return true;
    size_t used = buf_used(in);
    struct buf *larger = buf_get_sized(pool, used + BUF_BYTES / 2 > capacity ? used + BUF_BYTES / 2
                                                                             : capacity);

    if (larger == NULL)
        return false;
    memcpy(larger->data, in->data + in->start, used);
    larger->end = (uint32_t)used;
    buf_unref(in);
    conn->in = larger;
    return true;
}

struct io_result h1_fill(struct h1_conn *conn, size_t capacity)
{
    if (!ensure_room(conn, capacity))
        return (struct io_result){.kind = IO_FAILED, .error = ENOMEM};
    size_t room = buf_room(conn->in);
    struct io_result got = transport_recv(&conn->io, conn->tls, conn->in->data + conn->in->end,
                                          room);

    if (got.kind == IO_DONE)
        conn->in->end += (uint32_t)got.bytes;
    return got;
}

/* `pipelined`: its first bytes came together with the request before it. */
static bool begin_request(struct h1_conn *conn, bool pipelined)
{
    struct http_loop *http = conn->http;
    struct exchange *x = exchange_new(http, conn->listener->user);
    struct h1_stream *stream = x == NULL ? NULL : arena_alloc(x->subject.arena, sizeof *stream);

    if (stream == NULL) {
        if (x != NULL)
            exchange_free(x);
        return false;
    }
    memset(stream, 0, offsetof(struct h1_stream, request));
    h1_request_init(&stream->request, x->subject.arena);
    stream->conn = conn;
    stream->x = x;
    stream->wire_last = &stream->wire;
    x->codec = &h1_codec;
    x->stream = stream;
    x->client_fd = conn->io.fd;
    x->listen = h1_conn_listen(conn);
    x->tls = conn->tls;
    x->subject.client = &conn->peer;
    x->proxy_protocol = conn->proxy;
    x->connection_id = conn->id;
    x->log.connection_id = conn->id;
    x->log.log = h1_conn_log(conn);
    x->connection_requests = conn->requests + 1;
    x->pipelined = pipelined;
    x->connection_start_ms = conn->start_ms;
    conn->stream = stream;
    conn->state = H1_HEAD;
    http_count(&http->counters.reading, 1);
    http_loop_set_idle(http, &conn->client, false);
    return true;
}

void h1_drop_head(struct h1_conn *conn)
{
    struct exchange *x = conn->stream->x;

    assert(conn->state == H1_HEAD);
    http_count(&conn->http->counters.reading, -1);
    conn->state = H1_WAITING;
    conn->stream = NULL;
    exchange_free(x);
}

/* The head has been read, or given up. A deadline still armed means nothing now: see
 * on_deadline(). */
static void enter_exchange(struct h1_conn *conn)
{
    if (conn->state != H1_HEAD)
        return;
    http_count(&conn->http->counters.reading, -1);
    http_count(&conn->http->counters.writing, 1);
    conn->state = H1_EXCHANGE;
}

static void take_line(struct exchange *x, const struct h1_request *parsed)
{
    struct request *request = &x->request;

    request->method = parsed->method;
    request->method_name = parsed->method_text;
    request->line = parsed->line;
    request->target = parsed->path_query;
    request->version = parsed->version;
    request->headers = &((struct h1_stream *)x->stream)->request.headers;
    request->host = request_lower_host(x, parsed->host.name);
    request->host_port = parsed->host.port_number;
}

static void take_body_facts(struct exchange *x, const struct h1_request *parsed)
{
    struct h1_stream *stream = x->stream;

    x->request.chunked = parsed->body_kind == BODY_CHUNKED;
    x->request.content_length = parsed->body_kind == BODY_LENGTH ? (int64_t)parsed->body_bytes
                                : parsed->has_length             ? 0
                                                                 : -1;
    x->request.expects_continue = parsed->expects_continue;
    x->request.wants_upgrade = parsed->wants_upgrade;
    x->request.head_bytes = parsed->head_bytes;
    x->body.complete = parsed->body_kind == BODY_NONE;
    stream->body_left = parsed->body_bytes;
    stream->keep_alive = parsed->keep_alive;
    if (x->request.chunked) {
        header_list_init(&stream->trailers, x->subject.arena);
        chunked_init(&stream->chunked, &h1_conn_core(stream->conn)->limits, &stream->trailers);
    }
}

/* A head that is broken or incomplete: as much as there is of it. It is parsed once more, because
 * what an earlier call found lies in a buffer that may have been exchanged for a larger one. */
static void take_what_came(struct h1_conn *conn)
{
    struct h1_stream *stream = conn->stream;
    struct exchange *x = stream->x;
    struct slice in = slice_make(conn->in->data + conn->in->start, buf_used(conn->in));

    h1_request_init(&stream->request, x->subject.arena);
    (void)!parse_request_head(in, &h1_conn_core(conn)->limits, &stream->request);
    stream->head_buf = buf_ref(conn->in);
    take_line(x, &stream->request);
    if (x->request.line.len == 0)
        x->request.line = h1_first_line(in);
}

/* Answers a request that cannot be understood, or that did not come to its end, and closes. */
void h1_refuse(struct h1_conn *conn, int status)
{
    struct h1_stream *stream = conn->stream;
    struct exchange *x = stream->x;

    if (conn->state == H1_HEAD)
        take_what_came(conn);
    enter_exchange(conn);
    stream->keep_alive = false;
    x->body.complete = true; /* whatever follows is not a body of this request */
    x->flags |= X_CLOSE_AFTER | X_LINGER;
    router_choose_server(x);
    x->settings = x->server->settings;
    x->log.log = error_log_of(x->settings);
    exchange_refuse(x, status);
}

static void start_exchange(struct h1_conn *conn)
{
    struct h1_stream *stream = conn->stream;
    struct exchange *x = stream->x;
    struct h1_request *parsed = &stream->request;

    enter_exchange(conn);
    stream->head_buf = buf_ref(conn->in);
    conn->in->start += (uint32_t)parsed->head_bytes;
    take_line(x, parsed);
    router_choose_server(x);
    const struct core_conf *core = server_core(x->server);

    if (parsed->has_odd_names && !request_check_names(x, &parsed->headers, core)) {
        log_about(&x->log, LOG_LEVEL_INFO, 0, "client sent a header line with an invalid name");
        h1_refuse(conn, 400);
        return;
    }
    if (parsed->method == METHOD_CONNECT || parsed->method == METHOD_TRACE) {
        h1_refuse(conn, 405);
        return;
    }
    if (parsed->form == TARGET_ASTERISK) { /* there is nothing that is not below some path */
        h1_refuse(conn, 400);
        return;
    }
    if (!request_take_target(x, parsed->path_query, core->merge_slashes)) {
        h1_refuse(conn, 400);
        return;
    }
    take_body_facts(x, parsed);
    exchange_start(x);
}

/* The time for a head runs from its first byte that had to be waited for: those that come whole
 * cost no timer. */
static enum h1_read wait_for_head(struct h1_conn *conn)
{
    struct h1_stream *stream = conn->stream;

    if (stream != NULL && !stream->head_timed) {
        stream->head_timed = true;
        deadline_arm(conn->http->loop, &conn->deadline, h1_conn_core(conn)->client_header_timeout);
    }
    return H1_READ_WAIT;
}

/* The head is not complete. A client that closes in the midst of one gets no answer. */
static enum h1_read no_more_head(struct h1_conn *conn, struct io_result got)
{
    struct h1_stream *stream = conn->stream;

    if (got.kind == IO_AGAIN)
        return wait_for_head(conn);
    if (stream != NULL) {
        struct exchange *x = stream->x;

        log_about(&x->log, LOG_LEVEL_INFO, got.error, "client prematurely closed connection");
        h1_drop_head(conn);
    }
    conn->state = H1_WAITING;
    h1_conn_close(conn, false);
    return H1_READ_CLOSED;
}

/* HTTP/2 with prior knowledge begins with what looks like a request (RFC 9113, 3.4). */
static bool speaks_http2(const struct h1_conn *conn)
{
    const struct http_listen *listen = h1_conn_listen(conn);

    return conn->stream->request.error == H1_H2_PREFACE && conn->requests == 0 &&
           conn->tls == NULL && http2_wanted(listen, listen->fallback);
}

static enum h1_read refuse_head(struct h1_conn *conn)
{
    struct h1_request *parsed = &conn->stream->request;

    if (speaks_http2(conn)) {
        h1_drop_head(conn);
        if (!h1_conn_hand_over(conn))
            h1_conn_close(conn, false);
        return H1_READ_CLOSED;
    }

    log_about(&conn->stream->x->log, LOG_LEVEL_INFO, 0, "client sent %s",
              h1_error_text(parsed->error));
    h1_refuse(conn, (int)h1_error_status(parsed->error));
    return H1_READ_STARTED;
}

/* Parses what is there; reads once when that is not enough. H1_READ_STARTED: an exchange began (it
 * may be over already). */
enum h1_read h1_read_request(struct h1_conn *conn)
{
    const struct core_conf *core = h1_conn_core(conn);
    bool leftover = conn->requests > 0 && conn->in != NULL && buf_used(conn->in) > 0;

    for (;;) {
        if (conn->in != NULL && buf_used(conn->in) > 0) {
            if (conn->stream == NULL && !begin_request(conn, leftover))
                return no_more_head(conn, (struct io_result){.kind = IO_FAILED});
            struct slice in = slice_make(conn->in->data + conn->in->start, buf_used(conn->in));
            enum parse_result result = parse_request_head(in, &core->limits,
                                                          &conn->stream->request);

            if (result == PARSE_ERROR)
                return refuse_head(conn);
            if (result == PARSE_OK) {
                start_exchange(conn);
                return H1_READ_STARTED;
            }
        }
        if ((conn->io.ready & (IO_READ | IO_HANGUP | IO_ERROR)) == 0)
            return wait_for_head(conn);
        struct io_result got = h1_fill(conn, core->limits.head_bytes_max);

        if (got.kind != IO_DONE)
            return no_more_head(conn, got);
    }
}

/* Bodies. */

static void fail_body(struct exchange *x, int status)
{
    x->body.failed = true;
    x->body.fail_status = status;
    x->flags |= X_CLOSE_AFTER | X_LINGER;
}

/* What is announced of the current chunk counts: why wait for what will be refused. */
static bool over_limit(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    size_t max = core_of(x)->client_max_body_size;
    uint64_t coming = x->request.chunked ? chunked_left(&stream->chunked) : 0;

    if (max == 0 || x->body.received_bytes + coming <= max || x->body.discarding)
        return false;
    log_about(&x->log, LOG_LEVEL_ERROR, 0,
              "client intended to send too large chunked body: over %zu bytes", max);
    fail_body(x, 413);
    return true;
}

static void deliver(struct exchange *x, struct slice data)
{
    struct h1_stream *stream = x->stream;

    x->body.received_bytes += data.len;
    if (x->body.discarding || over_limit(x))
        return;
    x->body.queued_bytes += data.len;
    if (x->body.first != NULL &&
        chunk_join(container_of(x->body.last, struct chunk, next), data, stream->conn->in))
        return;
    struct chunk *chunk = chunk_memory(x, data, buf_ref(stream->conn->in));

    if (chunk == NULL) {
        buf_unref(stream->conn->in);
        x->body.queued_bytes -= data.len;
        fail_body(x, 500);
        return;
    }
    *x->body.last = chunk;
    x->body.last = &chunk->next;
}

/* Takes body bytes out of conn->in. False: it needs more of them to go on. */
static bool decode_length(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct buf *in = stream->conn->in;
    size_t n = buf_used(in) < stream->body_left ? buf_used(in) : (size_t)stream->body_left;

    deliver(x, slice_make(in->data + in->start, n));
    in->start += (uint32_t)n;
    x->body.wire_bytes += n;
    stream->body_left -= n;
    x->body.complete = stream->body_left == 0 && !x->body.failed;
    return true;
}

static bool decode_chunked(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct buf *in = stream->conn->in;

    while (buf_used(in) > 0 && !x->body.failed && !x->body.complete) {
        struct slice data = {0};
        size_t used = 0;
        enum chunked_result result = chunked_next(
            &stream->chunked, slice_make(in->data + in->start, buf_used(in)), &data, &used);

        in->start += (uint32_t)used;
        x->body.wire_bytes += used;
        if (result == CHUNKED_DATA)
            deliver(x, data);
        x->body.complete = result == CHUNKED_END;
        if (result == CHUNKED_END && header_list_count(&stream->trailers) > 0)
            x->body.trailers = &stream->trailers;
        if (result == CHUNKED_ERROR) {
            log_about(&x->log, LOG_LEVEL_INFO, 0, "client sent %s",
                      h1_error_text(stream->chunked.error));
            fail_body(x, 400);
        }
        if (result == CHUNKED_MORE)
            return x->body.failed || over_limit(x);
    }
    return true;
}

/* Bytes from the socket, behind those that chunks refer to as long as the buffer has room: a body
 * that comes byte by byte must not hold a buffer for each. */
static bool receive(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct h1_conn *conn = stream->conn;

    if (conn->in != NULL && buf_used(conn->in) == 0 && buf_room(conn->in) < BODY_ROOM_BYTES_MIN)
        h1_drop_input(conn);
    if ((conn->io.ready & (IO_READ | IO_HANGUP | IO_ERROR)) == 0)
        return false;
    struct io_result got = h1_fill(conn, BUF_BYTES);

    if (got.kind == IO_DONE)
        return true;
    if (got.kind == IO_AGAIN)
        return false;
    if (got.kind == IO_FAILED && got.error == ENOMEM) {
        log_about(&x->log, LOG_LEVEL_CRIT, got.error, "a request body cannot be read");
        fail_body(x, 500);
        return false;
    }
    log_about(&x->log, LOG_LEVEL_INFO, got.error, "client prematurely closed connection");
    x->flags |= X_CLIENT_FIN;
    fail_body(x, 400);
    return false;
}

static bool body_has_room(const struct exchange *x)
{
    return !x->body.complete && !x->body.failed &&
           (x->body.discarding || x->body.queued_bytes < x->body.memory_max);
}

/* True when something was added, or the end or a failure was found. */
static bool pump(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct h1_conn *conn = stream->conn;
    uint64_t before = x->body.received_bytes;
    bool starved = false;
    int reads = 0;

    while (body_has_room(x)) {
        if (starved || conn->in == NULL || buf_used(conn->in) == 0)
            if ((x->body.discarding && ++reads > DISCARD_READS) || !receive(x))
                break;
        starved = !(x->request.chunked ? decode_chunked(x) : decode_length(x));
    }
    return x->body.complete || x->body.failed || x->body.received_bytes != before;
}

static void ask_to_continue(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct buf *in = stream->conn->in;

    if (!x->request.expects_continue || stream->continue_sent || x->response.begun)
        return;
    stream->continue_sent = true;
    if (in == NULL || buf_used(in) == 0)
        h1_send_interim(x, 100, NULL);
}

/* A body that waits for its consumer is not late. */
void h1_watch_body(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct h1_conn *conn = stream->conn;

    if (body_is_read(x) && body_has_room(x))
        deadline_arm(x->loop, &conn->deadline, core_of(x)->client_body_timeout);
    else
        deadline_disarm(&conn->deadline);
}

void h1_read_body(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct h1_conn *conn = stream->conn;
    uint32_t epoch = conn->epoch;

    if (stream->pumping) {
        stream->pump_again = true;
        return;
    }
    ask_to_continue(x);
    stream->pumping = true;
    do {
        stream->pump_again = false;
        bool news = pump(x);

        if (!stream->send_timed)
            h1_watch_body(x);
        if (news && x->body.on_data != NULL)
            x->body.on_data(x);
        if (conn->epoch != epoch)
            return; /* the consumer ended the exchange */
    } while (stream->pump_again);
    stream->pumping = false;
}

void h1_on_body_deadline(struct h1_conn *conn)
{
    struct exchange *x = conn->stream->x;

    if (x->body.on_data == NULL || !body_has_room(x))
        return;
    log_about(&x->log, LOG_LEVEL_INFO, 0, "client timed out: its request body does not come");
    x->flags |= X_TIMED_OUT;
    fail_body(x, 408);
    x->body.on_data(x);
}

/* A client that waits for 100 and gets another answer may send its body or not: its next request
 * cannot be told from it. */
bool h1_body_ends(const struct exchange *x)
{
    const struct h1_stream *stream = x->stream;

    if (x->body.complete || !body_declared(x))
        return true;
    return !x->body.failed && (!x->request.expects_continue || stream->continue_sent);
}

void h1_discard(struct exchange *x)
{
    struct h1_stream *stream = x->stream;
    struct h1_conn *conn = stream->conn;

    (void)pump(x);
    chunk_release_all(x, x->body.first);
    x->body.first = NULL;
    x->body.last = &x->body.first;
    if (x->body.complete || x->body.failed || (x->flags & X_CLOSE_AFTER) != 0 ||
        h1_conn_overdue(conn)) {
        h1_conn_finish(x);
        return;
    }
    deadline_arm(x->loop, &conn->deadline, (conn->io.ready & IO_READ) != 0 ? 1 : conn->linger_ms);
}
