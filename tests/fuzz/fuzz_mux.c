/* Whatever a peer of HTTP/2 sends: three requests over one connection end or wait, heads and bodies
 * come in order and within their bounds, and nothing is left behind. */
#include "balance/balance.h"
#include "balance/peer.h"
#include "balance/upstream.h"
#include "base/arena.h"
#include "base/buf.h"
#include "event/loop.h"
#include "event/socket.h"
#include "http/header.h"
#include "http/mux/mux.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { USERS = 3, HEAD_BYTES_MAX = 2000, BODY_BYTES = 100, PIECE_BYTES = 1000 };

struct user {
    struct peer_conn *conn;
    struct buf *in;
    size_t left; /* of its request's body */
    unsigned heads;
    bool final;
    bool ended;
};

static struct loop *loop;
static struct balance *balance;
static struct muxes *muxes;
static struct peer_state state = {.text = "fuzz", .refs = 1u << 20};
static int listening;
static struct user users[USERS];

static ssize_t pull(void *data, char *out, size_t max, bool *last)
{
    struct user *user = data;
    size_t n = user->left < max ? user->left : max;

    memset(out, 'x', n);
    user->left -= n;
    *last = user->left == 0;
    return (ssize_t)n;
}

static const struct header_list *trailers(void *data)
{
    (void)data;
    return NULL;
}

static void plain(void *data, struct peer_conn *conn)
{
    (void)data;
    (void)conn;
    assert(!"nobody asked for HTTP/1.1");
}

static const struct mux_ops ops = {.pull = pull, .trailers = trailers, .plain = plain};

static void take_head(struct user *user, const struct mux_head *head)
{
    size_t bytes = 0;
    uint32_t at = 0;

    assert(!user->final);
    assert(head->status >= 100 && head->status <= 999 && head->status != 101);
    for (const struct header *field; (field = header_list_next(head->fields, &at)) != NULL;) {
        bytes += field->name.len + field->value.len;
        assert(slice_find(field->value, '\r') < 0 && slice_find(field->value, '\n') < 0);
        assert((header_traits(field->id) & HEADER_HOP) == 0 || field->id == HEADER_TE ||
               field->id == HEADER_TRAILER || field->id == HEADER_HTTP2_SETTINGS ||
               field->id == HEADER_PROXY_AUTHENTICATE || field->id == HEADER_PROXY_AUTHORIZATION);
    }
    assert(bytes <= HEAD_BYTES_MAX);
    user->final = head->status >= 200;
}

static void finish(struct user *user)
{
    mux_release(user->conn);
    user->conn = NULL;
    user->ended = true;
}

static void on_ready(struct io *io, unsigned events)
{
    struct user *user = container_of(io, struct peer_conn, io)->user;
    struct mux_stream *stream = user->conn->stream;
    struct header_list *fields;
    const struct mux_head *head;
    struct io_result got;

    (void)events;
    while ((got = mux_recv(stream, &user->in)).kind == IO_DONE) {
        while ((head = mux_take_head(stream)) != NULL)
            take_head(user, head);
        assert(user->in == NULL || buf_used(user->in) == 0 || user->final);
        if (user->in != NULL)
            user->in->start = user->in->end;
        if (mux_has_ended(stream, &fields)) {
            finish(user);
            return;
        }
    }
    if (got.kind != IO_AGAIN) {
        assert(mux_why(stream)->kind != MUX_FINE && mux_why(stream)->what != NULL);
        finish(user);
    }
}

static void set_up(void)
{
    char path[60];
    struct listen_options options = {.backlog = 16, .fastopen = -1};

    snprintf(path, sizeof path, "unix:/tmp/pelayan-fuzz-mux-%d.sock", (int)getpid());
    loop = loop_new(0);
    assert(loop != NULL && address_parse(slice_of(path), 0, &state.address));
    balance = balance_new(&loop, 1);
    muxes = muxes_new();
    options.address = state.address;
    listening = socket_listen(&options);
    assert(balance != NULL && muxes != NULL && listening >= 0);
}

static void ask(struct user *user, struct arena *arena)
{
    static const struct keepalive limits = {
        .connections = 1, .requests = 1000, .time_ms = 3600000, .timeout_ms = 60000};
    static nghttp2_nv head[] = {
        {(uint8_t *)":method", (uint8_t *)"POST", 7, 4, 0},
        {(uint8_t *)":scheme", (uint8_t *)"http", 7, 4, 0},
        {(uint8_t *)":path", (uint8_t *)"/", 5, 1, 0},
        {(uint8_t *)":authority", (uint8_t *)"a", 10, 1, 0},
    };
    struct mux_want want = {.loop = loop,
                            .pool = balance_pool(balance, loop),
                            .target = {.state = &state},
                            .limits = &limits,
                            .only_h2 = true,
                            .arena = arena,
                            .head_bytes_max = HEAD_BYTES_MAX,
                            .ops = &ops,
                            .user = user,
                            .on_ready = on_ready};

    *user = (struct user){.left = BODY_BYTES};
    user->conn = mux_open(muxes, &want);
    assert(user->conn != NULL && user->conn->connected);
    if (!mux_submit(user->conn->stream, head, 4, true))
        finish(user);
}

static void answer(int peer, const uint8_t *data, size_t size)
{
    while (size > 0) {
        size_t n = size < PIECE_BYTES ? size : PIECE_BYTES;

        if (send(peer, data, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        data += n;
        size -= n;
        loop_turn(loop, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(4096);
    int peers[USERS]; /* more than one if an input before this one allowed few streams at once */
    int count = 0;

    if (loop == NULL)
        set_up();
    for (int i = 0; i < USERS; i++)
        ask(&users[i], arena);
    while (count < USERS && (peers[count] = accept(listening, NULL, NULL)) >= 0)
        count++;
    assert(count > 0);
    loop_turn(loop, 0);
    answer(peers[0], data, size);
    while (count > 0)
        close(peers[--count]);
    for (int i = 0; i < 4; i++)
        loop_turn(loop, 0);
    for (int i = 0; i < USERS; i++) {
        assert(users[i].conn == NULL); /* the connections are gone: so is every stream */
        buf_unref(users[i].in);
    }
    assert(bufpool_lent(loop_bufs(loop)) == 0);
    arena_drop(arena);
    return 0;
}
