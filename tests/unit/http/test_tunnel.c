/* Goal: bytes pass both ways whole and in order, an end is passed on after the last byte, an idle
 * tunnel holds no buffer, and a silent peer ends it.
 * Method: two socket pairs in a real loop; the far ends are the client and the backend. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "event/loop.h"
#include "http/exchange.h"
#include "http/tunnel.h"

#include <sys/socket.h>
#include <unistd.h>

struct rig {
    struct exchange x;
    struct tunnel *tunnel;
    struct io client_io;
    struct io peer_io;
    struct tunnel_end end;
    int client; /* far ends */
    int peer;
    uint64_t received;
    uint64_t sent;
    const char *why;
    bool over;
};

static void on_client(struct io *io, unsigned events)
{
    struct rig *rig = container_of(io, struct rig, client_io);

    rig->end.on_ready(&rig->end, events);
}

static void on_peer(struct io *io, unsigned events)
{
    struct rig *rig = container_of(io, struct rig, peer_io);

    (void)events;
    if (!rig->over)
        tunnel_run(rig->tunnel);
}

static void on_end(void *data, const char *why)
{
    struct rig *rig = data;

    CHECK(!rig->over, "ends once");
    rig->over = true;
    rig->why = why;
    loop_unwatch(&rig->client_io);
    loop_unwatch(&rig->peer_io);
}

static struct buf *text_buf(struct rig *rig, const char *text)
{
    struct buf *buf = buf_get(loop_bufs(rig->x.loop));

    memcpy(buf->data, text, strlen(text));
    buf->end = (uint32_t)strlen(text);
    return buf;
}

static void watch_pair(struct rig *rig, struct io *io, int *far,
                       void (*on_ready)(struct io *, unsigned))
{
    int pair[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    *io = (struct io){.fd = pair[0], .on_ready = on_ready};
    *far = pair[1];
    CHECK(loop_watch(rig->x.loop, io));
}

static void rig_init(struct rig *rig, bool with_early, uint64_t silent_ms)
{
    *rig = (struct rig){.x = {.subject.arena = arena_new(4096), .loop = loop_new(0)}};
    watch_pair(rig, &rig->client_io, &rig->client, on_client);
    watch_pair(rig, &rig->peer_io, &rig->peer, on_peer);
    rig->end = (struct tunnel_end){.side.io = &rig->client_io};
    if (with_early) {
        rig->end.early = text_buf(rig, "from the client");
        rig->end.unsent = text_buf(rig, "head,");
    }
    struct tunnel_setup setup = {.x = &rig->x,
                                 .client = &rig->end,
                                 .peer.io = &rig->peer_io,
                                 .peer_received = &rig->received,
                                 .peer_sent = &rig->sent,
                                 .read_timeout_ms = silent_ms,
                                 .send_timeout_ms = 60000,
                                 .client_send_timeout_ms = 60000,
                                 .on_end = on_end,
                                 .data = rig};

    if (with_early)
        setup.peer_early = text_buf(rig, "from the peer");
    rig->tunnel = tunnel_start(&setup);
    CHECK(rig->tunnel != NULL);
    loop_turn(rig->x.loop, 0);
    if (!rig->over)
        tunnel_run(rig->tunnel);
}

static void rig_fini(struct rig *rig)
{
    arena_drop(rig->x.subject.arena);
    CHECK_EQ(bufpool_lent(loop_bufs(rig->x.loop)), 0);
    loop_unwatch(&rig->client_io);
    loop_unwatch(&rig->peer_io);
    close(rig->client_io.fd);
    close(rig->peer_io.fd);
    close(rig->client);
    close(rig->peer);
    loop_free(rig->x.loop);
}

static void turn(struct rig *rig, int times)
{
    for (int i = 0; i < times; i++)
        loop_turn(rig->x.loop, 0);
}

TEST(what_came_early_goes_first)
{
    struct rig rig;
    char text[64];

    rig_init(&rig, true, 60000);
    turn(&rig, 3);
    CHECK_EQ(read(rig.peer, text, sizeof text), 15);
    CHECK_BYTES(text, 15, "from the client", 15);
    CHECK_EQ(read(rig.client, text, sizeof text), 18);
    CHECK_BYTES(text, 18, "head,from the peer", 18);
    CHECK_EQ(bufpool_lent(loop_bufs(rig.x.loop)), 0, "idle: no buffer");
    rig_fini(&rig);
}

TEST(a_half_close_is_passed_on)
{
    struct rig rig;
    char text[64];

    rig_init(&rig, false, 60000);
    CHECK_EQ(write(rig.client, "bye", 3), 3);
    shutdown(rig.client, SHUT_WR);
    turn(&rig, 3);
    CHECK_EQ(read(rig.peer, text, sizeof text), 3);
    CHECK_EQ(read(rig.peer, text, sizeof text), 0, "the client's end");
    CHECK(!rig.over);
    CHECK_EQ(write(rig.peer, "still here", 10), 10);
    turn(&rig, 3);
    CHECK_EQ(read(rig.client, text, sizeof text), 10);
    close(rig.peer);
    turn(&rig, 3);
    CHECK(rig.over);
    CHECK(rig.why == NULL, "both have ended properly");
    CHECK_EQ(rig.received, 10);
    CHECK_EQ(rig.sent, 3);
    rig.peer = dup(rig.client);
    rig_fini(&rig);
}

TEST(a_slow_side_stops_the_other)
{
    struct rig rig;
    char block[8192];
    size_t written = 0, seen = 0;
    ssize_t n;

    rig_init(&rig, false, 60000);
    for (int i = 0; i < 2000; i++) {
        memset(block, 'a' + i % 26, sizeof block);
        n = write(rig.peer, block, sizeof block);
        written += n > 0 ? (size_t)n : 0;
        turn(&rig, 1);
        CHECK(bufpool_lent(loop_bufs(rig.x.loop)) <= 2, "bounded");
    }
    CHECK(written < 2000 * sizeof block, "the writer was stopped");
    for (int i = 0; i < 5000 && seen < written; i++) {
        while ((n = read(rig.client, block, sizeof block)) > 0)
            seen += (size_t)n;
        turn(&rig, 1);
    }
    CHECK_EQ(seen, written);
    rig_fini(&rig);
}

TEST(a_silent_peer_ends_it)
{
    struct rig rig;

    rig_init(&rig, false, 20);
    for (int i = 0; i < 100 && !rig.over; i++)
        loop_turn(rig.x.loop, 10);
    CHECK(rig.over);
    CHECK_STR(rig.why, "upstream timed out");
    rig_fini(&rig);
}
