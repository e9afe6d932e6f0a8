/* The peer has agreed to another protocol (101): from now on both connections are byte streams.
 * Runs in: worker, loop thread. */
#include "balance/pool.h"
#include "base/arena.h"
#include "base/buf.h"
#include "http/core_conf.h"
#include "http/mux/mux.h"
#include "http/relay/relay_internal.h"
#include "http/response.h"
#include "http/tunnel.h"
#include "http/websocket.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { QUEUE_BYTES_MAX = 64 * 1024 }; /* for a peer that is a stream */

static void on_tunnel_end(void *data, const char *why)
{
    struct relay *r = data;
    struct exchange *x = r->x;

    if (why != NULL)
        log_about(&x->log, LOG_LEVEL_INFO, 0, "closing the tunnel: %s", why);
    relay_end_try(r, r->answer.status);
    relay_release_peer(r, false, OUTCOME_OK);
    relay_fini(r);
    if (why == NULL && x->response.ended) /* a stream: its last frame ends it */
        response_flush(x);
    else
        exchange_abort(x, false); /* logs, closes; `r` is gone */
}

/* ---- the peer's side, when it is a stream of a shared connection */

static struct io_result peer_recv(void *data, void *bytes, size_t max)
{
    struct relay *r = data;
    struct io_result result = {.kind = IO_DONE};

    if (relay_unread(r) == 0)
        result = mux_recv(r->conn->stream, &r->in);
    if (result.kind != IO_DONE)
        return mux_why(r->conn->stream)->kind == MUX_FINE
                   ? result
                   : (struct io_result){.kind = IO_FAILED, .error = ECONNRESET};
    result.bytes = relay_unread(r) < max ? relay_unread(r) : max;
    if (result.bytes == 0) { /* the end, or trailers that nobody wants */
        struct header_list *trailers;

        result.kind = mux_has_ended(r->conn->stream, &trailers) ? IO_END : IO_AGAIN;
        return result;
    }
    memcpy(bytes, r->in->data + r->in->start, result.bytes);
    r->in->start += (uint32_t)result.bytes;
    return result;
}

static struct io_result peer_send(void *data, const struct iovec *parts, int count)
{
    struct relay *r = data;
    size_t bytes = parts->iov_len;

    assert(count == 1);
    if (r->out.queued_bytes >= QUEUE_BYTES_MAX) {
        r->conn->io.ready &= ~(unsigned)IO_WRITE; /* set again when the session has pulled */
        return (struct io_result){.kind = IO_AGAIN};
    }
    if (!relay_out_copy(r, slice_make(parts->iov_base, bytes)))
        return (struct io_result){.kind = IO_FAILED, .error = ENOMEM};
    mux_resume(r->conn->stream);
    return (struct io_result){.kind = IO_DONE, .bytes = bytes};
}

static void peer_shutdown(void *data)
{
    struct relay *r = data;

    r->out.complete = true;
    mux_resume(r->conn->stream);
}

static const struct tunnel_ops stream_ops = {
    .recv = peer_recv, .send = peer_send, .shutdown = peer_shutdown};

static struct tunnel_side peer_side(struct relay *r)
{
    struct tunnel_side side = {.io = &r->conn->io, .tls = r->conn->tls};

    if (relay_is_duplex(r)) {
        side.ops = &stream_ops;
        side.data = r;
    }
    return side;
}

/* ---- */

/* Over HTTP/2 the peer proves nothing; who asked by HTTP/1.1 wants to see his key answered. */
static bool add_accept(struct relay *r)
{
    const struct header *key = header_list_find_name(r->x->request.headers,
                                                     slice_of("Sec-WebSocket-Key"));
    char text[WEBSOCKET_ACCEPT_BYTES + 1];
    struct slice value;

    if (key == NULL || !relay_is_duplex(r) || !websocket_accept(key->value, text))
        return true;
    value = arena_copy(relay_arena(r), slice_make(text, WEBSOCKET_ACCEPT_BYTES));
    return value.data != NULL && header_list_add(&r->x->response.headers,
                                                 slice_of("Sec-WebSocket-Accept"), value) != NULL;
}

static bool begin_head(struct relay *r)
{
    struct exchange *x = r->x;
    struct slice protocol = header_list_value(
        relay_is_duplex(r) ? x->request.headers : r->answer.fields, HEADER_UPGRADE);

    x->response.status = 101;
    x->response.reason = r->answer.reason;
    if (!relay_copy_fields(r) || !add_accept(r))
        return false;
    return protocol.len == 0 ||
           header_list_add_id(&x->response.headers, HEADER_UPGRADE, protocol) != NULL;
}

void relay_upgrade(struct relay *r)
{
    struct exchange *x = r->x;
    struct tunnel_end *client;

    if (!begin_head(r)) {
        relay_refuse(r, 500);
        return;
    }
    r->state = RELAY_TUNNEL;
    pick_tunnel(&r->pick);
    x->doing = "proxying upgraded connection";
    deadline_disarm(&r->deadline);
    if (!response_begin(x))
        return; /* `r` is gone */
    client = x->codec->upgrade(x);
    if (client == NULL) {
        exchange_abort(x, false);
        return;
    }
    struct tunnel_setup setup = {
        .x = x,
        .client = client,
        .peer = peer_side(r),
        .peer_early = relay_is_duplex(r) || relay_unread(r) == 0 ? NULL : buf_ref(r->in),
        .peer_received = &r->try->received_bytes,
        .peer_sent = &r->try->sent_bytes,
        .read_timeout_ms = r->conf->read_timeout,
        .send_timeout_ms = r->conf->send_timeout,
        .client_send_timeout_ms = core_of(x)->send_timeout,
        .on_end = on_tunnel_end,
        .data = r};

    r->tunnel = tunnel_start(&setup);
    if (r->tunnel == NULL)
        exchange_abort(x, false);
    else
        tunnel_run(r->tunnel); /* `r` may be gone */
}
