/* Bytes of a tunnel from one side to the other. Runs in: worker, loop thread. */
#include "http/tunnel.h"

#include "base/arena.h"
#include "base/buf.h"
#include "event/socket.h"
#include "http/exchange.h"
#include "tls/transport.h"

#include <assert.h>
#include <stddef.h>
#include <sys/socket.h>

enum { ROUNDS_MAX = 32 }; /* reads of one side before others have their turn */

/* One direction: from `source` to `target`. */
struct flow {
    struct tunnel_side source;
    struct tunnel_side target;
    struct buf *waiting;   /* owned: bytes in order, chained by `next` */
    struct deadline stuck; /* the target takes nothing */
    uint64_t stuck_ms;
    uint64_t *received; /* counters to go up; NULL: nobody counts */
    uint64_t *sent;
    struct tunnel *tunnel;
    bool ended; /* the source has sent its last byte */
    bool shut;  /* and the target was told */
};

struct tunnel {
    struct exchange *x;
    struct flow up;         /* client to peer */
    struct flow down;       /* peer to client */
    struct deadline silent; /* the peer says nothing */
    struct deadline soon;   /* goes on after others had their turn */
    uint64_t silent_ms;
    uint64_t peer_seen_bytes; /* received when `silent` was armed last */
    uint64_t *peer_received;
    uint64_t head_bytes; /* of the response before the tunnel began */
    struct tunnel_end *client;
    void (*on_end)(void *data, const char *why);
    void *data;
};

enum flow_result {
    FLOW_WAITS,
    FLOW_TIRED, /* there is more to do */
    FLOW_FAILED,
};

static struct io_result side_recv(const struct tunnel_side *side, void *bytes, size_t max)
{
    return side->ops != NULL ? side->ops->recv(side->data, bytes, max)
                             : transport_recv(side->io, side->tls, bytes, max);
}

static struct io_result side_send(const struct tunnel_side *side, const struct iovec *part,
                                  bool more_follows)
{
    return side->ops != NULL ? side->ops->send(side->data, part, 1)
                             : transport_send(side->io, side->tls, part, 1, more_follows);
}

static void side_shutdown(const struct tunnel_side *side)
{
    if (side->ops != NULL)
        side->ops->shutdown(side->data);
    else
        transport_shutdown(side->io, side->tls);
}

static void drop_waiting(struct flow *flow)
{
    while (flow->waiting != NULL) {
        struct buf *next = flow->waiting->next;

        buf_unref(flow->waiting);
        flow->waiting = next;
    }
}

static void stop(struct tunnel *tunnel)
{
    deadline_disarm(&tunnel->silent);
    deadline_disarm(&tunnel->soon);
    deadline_disarm(&tunnel->up.stuck);
    deadline_disarm(&tunnel->down.stuck);
    drop_waiting(&tunnel->up);
    drop_waiting(&tunnel->down);
    tunnel->client->on_ready = NULL;
}

/* The exchange's memory goes, perhaps without our having ended. */
static void drop(void *data)
{
    stop(data);
}

/* Frees the tunnel with its exchange: nothing may follow. */
static void end(struct tunnel *tunnel, const char *why)
{
    stop(tunnel);
    tunnel->on_end(tunnel->data, why);
}

static void count(uint64_t *counter, size_t bytes)
{
    if (counter != NULL)
        *counter += bytes;
}

/* Sends what waits. False: the target has failed. */
static bool send_waiting(struct flow *flow)
{
    while (flow->waiting != NULL && (flow->target.io->ready & IO_WRITE) != 0) {
        struct buf *buf = flow->waiting;
        struct iovec part = {buf->data + buf->start, buf_used(buf)};
        struct io_result result = side_send(&flow->target, &part, buf->next != NULL);

        if (result.kind == IO_FAILED)
            return false;
        if (result.kind == IO_AGAIN)
            break;
        buf->start += (uint32_t)result.bytes;
        count(flow->sent, result.bytes);
        deadline_disarm(&flow->stuck);
        if (buf_used(buf) > 0)
            continue; /* a full socket, or a full record */
        flow->waiting = buf->next;
        buf_unref(buf);
    }
    if (flow->waiting != NULL && !deadline_armed(&flow->stuck))
        deadline_arm(flow->tunnel->x->loop, &flow->stuck, flow->stuck_ms);
    return true;
}

/* Reads once. False: the source has failed. */
static bool receive(struct flow *flow)
{
    struct buf *buf = buf_get(loop_bufs(flow->tunnel->x->loop));
    struct io_result result;

    if (buf == NULL)
        return false;
    result = side_recv(&flow->source, buf->data, buf_room(buf));
    if (result.kind == IO_DONE) {
        buf->end = (uint32_t)result.bytes;
        count(flow->received, result.bytes);
        flow->waiting = buf;
        return true;
    }
    buf_unref(buf);
    flow->ended = result.kind == IO_END;
    return result.kind != IO_FAILED;
}

static enum flow_result pump(struct flow *flow)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        if (!send_waiting(flow))
            return FLOW_FAILED;
        if (flow->waiting != NULL)
            return FLOW_WAITS;
        if (flow->ended) {
            if (!flow->shut)
                side_shutdown(&flow->target);
            flow->shut = true;
            return FLOW_WAITS;
        }
        if ((flow->source.io->ready & IO_READ) == 0)
            return FLOW_WAITS;
        if (!receive(flow))
            return FLOW_FAILED;
    }
    return FLOW_TIRED;
}

static void watch_silence(struct tunnel *tunnel)
{
    if (*tunnel->peer_received == tunnel->peer_seen_bytes && deadline_armed(&tunnel->silent))
        return;
    tunnel->peer_seen_bytes = *tunnel->peer_received;
    deadline_arm(tunnel->x->loop, &tunnel->silent, tunnel->silent_ms);
}

void tunnel_run(struct tunnel *tunnel)
{
    enum flow_result up = pump(&tunnel->up);
    enum flow_result down = up == FLOW_FAILED ? FLOW_FAILED : pump(&tunnel->down);
    struct response *response = &tunnel->x->response;

    response->body_bytes_sent = response->bytes_sent - tunnel->head_bytes;
    if (up == FLOW_FAILED)
        end(tunnel, "cannot pass bytes from client to upstream");
    else if (down == FLOW_FAILED)
        end(tunnel, "cannot pass bytes from upstream to client");
    else if (tunnel->up.shut && tunnel->down.shut)
        end(tunnel, NULL);
    else if (up == FLOW_TIRED || down == FLOW_TIRED)
        deadline_arm(tunnel->x->loop, &tunnel->soon, 0);
    else
        watch_silence(tunnel);
}

static void on_client(struct tunnel_end *client, unsigned events)
{
    (void)events;
    tunnel_run(client->tunnel);
}

static void on_soon(struct deadline *deadline)
{
    tunnel_run(container_of(deadline, struct tunnel, soon));
}

static void on_silent(struct deadline *deadline)
{
    end(container_of(deadline, struct tunnel, silent), "upstream timed out");
}

static void on_stuck(struct deadline *deadline)
{
    struct flow *flow = container_of(deadline, struct flow, stuck);

    end(flow->tunnel, flow == &flow->tunnel->up ? "upstream takes nothing and timed out"
                                                : "client takes nothing and timed out");
}

static void set_flow(struct flow *flow, struct tunnel *tunnel, const struct tunnel_side *source,
                     const struct tunnel_side *target)
{
    flow->tunnel = tunnel;
    flow->source = *source;
    flow->target = *target;
    flow->stuck.on_expire = on_stuck;
}

/* What came before the tunnel began goes first. */
static void set_waiting(struct tunnel *tunnel, const struct tunnel_setup *setup)
{
    tunnel->up.waiting = setup->client->early;
    tunnel->down.waiting = setup->peer_early;
    if (setup->client->unsent != NULL) {
        setup->client->unsent->next = setup->peer_early;
        tunnel->down.waiting = setup->client->unsent;
    }
    setup->client->early = NULL;
    setup->client->unsent = NULL;
}

struct tunnel *tunnel_start(const struct tunnel_setup *setup)
{
    struct exchange *x = setup->x;
    struct tunnel *tunnel = arena_zalloc(x->subject.arena, sizeof *tunnel);

    if (tunnel == NULL || !arena_on_drop(x->subject.arena, drop, tunnel)) {
        buf_unref(setup->client->early);
        buf_unref(setup->client->unsent);
        buf_unref(setup->peer_early);
        return NULL;
    }
    tunnel->x = x;
    set_flow(&tunnel->up, tunnel, &setup->client->side, &setup->peer);
    set_flow(&tunnel->down, tunnel, &setup->peer, &setup->client->side);
    set_waiting(tunnel, setup);
    tunnel->up.sent = setup->peer_sent;
    tunnel->up.stuck_ms = setup->send_timeout_ms;
    tunnel->down.received = setup->peer_received;
    if (setup->client->side.ops == NULL) /* a stream's codec counts by itself */
        tunnel->down.sent = &x->response.bytes_sent;
    tunnel->down.stuck_ms = setup->client_send_timeout_ms;
    tunnel->head_bytes = x->response.bytes_sent;
    tunnel->peer_received = setup->peer_received;
    tunnel->silent_ms = setup->read_timeout_ms;
    tunnel->silent.on_expire = on_silent;
    tunnel->soon.on_expire = on_soon;
    tunnel->on_end = setup->on_end;
    tunnel->data = setup->data;
    tunnel->client = setup->client;
    setup->client->tunnel = tunnel;
    setup->client->on_ready = on_client;
    return tunnel;
}
