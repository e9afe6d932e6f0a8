/* The shared connections of a loop, and the life of each. Runs in: worker, loop thread. */
#include "http/mux/mux_internal.h"

#include "balance/peer.h"
#include "base/arena.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- all of a loop */

struct muxes *muxes_new(void)
{
    struct muxes *muxes = calloc(1, sizeof *muxes);

    if (muxes == NULL)
        return NULL;
    for (size_t i = 0; i < MUX_BUCKETS; i++)
        list_init(&muxes->buckets[i]);
    list_init(&muxes->idle);
    return muxes;
}

/* Of a peer over all its lives: states come and go, the address stays. */
static uint64_t hint_key(const struct pool_target *target)
{
    return (target->state->key_hash ^ target->variant) * 0x9e3779b97f4a7c15u;
}

static const struct mux_hint *find_hint(const struct muxes *muxes, uint64_t key)
{
    const struct mux_hint *hint = &muxes->hints[(key >> 32) % MUX_BUCKETS];

    return hint->key == key ? hint : NULL;
}

static const struct mux_hint *hint_of(const struct mux *mux)
{
    struct pool_target target = {.state = mux->conn->state, .variant = mux->conn->variant};

    return find_hint(mux->muxes, hint_key(&target));
}

void mux_set_hint(struct mux *mux, uint32_t streams_max, bool plain)
{
    struct pool_target target = {.state = mux->conn->state, .variant = mux->conn->variant};
    uint64_t key = hint_key(&target);

    mux->muxes->hints[(key >> 32) % MUX_BUCKETS] = (struct mux_hint){
        .key = key, .streams_max = streams_max, .plain = plain};
}

bool mux_is_plain(const struct muxes *muxes, const struct pool_target *target)
{
    const struct mux_hint *hint = find_hint(muxes, hint_key(target));

    return hint != NULL && hint->plain;
}

static struct list *bucket_of(struct muxes *muxes, const struct pool_target *target)
{
    uint64_t hash = ((uint64_t)(uintptr_t)target->state >> 6) * 0x9e3779b97f4a7c15u ^
                    target->variant;

    return &muxes->buckets[(hash >> 20 ^ hash) % MUX_BUCKETS];
}

/* ---- one connection */

/* Everything of this turn that may still look at the connection has run. */
static void bury(struct task *task)
{
    struct mux *mux = container_of(task, struct mux, bury);

    assert(list_empty(&mux->streams));
    free((void *)(uintptr_t)mux->tls.name);
    free((void *)(uintptr_t)mux->tls.session_key.data);
    free(mux);
}

static void leave_lists(struct mux *mux)
{
    if (list_linked(&mux->link))
        list_remove(&mux->link);
    if (list_linked(&mux->idle_link))
        list_remove(&mux->idle_link);
}

/* The socket has another owner already, or is closed with the rest. */
static void finish(struct mux *mux)
{
    assert(mux->state != MUX_CLOSED);
    mux->state = MUX_CLOSED;
    mux->leaving = true;
    leave_lists(mux);
    deadline_disarm(&mux->deadline);
    deadline_disarm(&mux->again);
    deadline_disarm(&mux->quiet);
    nghttp2_session_del(mux->session);
    mux->session = NULL;
    buf_unref(mux->backlog);
    mux->backlog = NULL;
    pool_close(mux->conn);
    mux->conn = NULL;
    loop_defer(mux->loop, &mux->bury);
}

/* Says goodbye if the socket takes it. */
static void close_politely(struct mux *mux)
{
    if (mux->state == MUX_OPEN && mux->backlog == NULL &&
        nghttp2_session_terminate_session(mux->session, NGHTTP2_NO_ERROR) == 0)
        mux_pump(mux);
    if (mux->state != MUX_CLOSED)
        finish(mux);
}

/* A stream may outlive its connection, and whoever said `what`. */
static const char *keep_what(struct mux_stream *stream, const char *what)
{
    struct slice kept = arena_printf(stream->arena, "%s", what);

    return kept.data != NULL ? kept.data : "the connection to upstream ended";
}

void mux_fail(struct mux *mux, const struct mux_fault *fault)
{
    if (mux->state == MUX_CLOSED)
        return;
    mux->leaving = true;
    if (fault->kind == MUX_INVALID && mux->backlog == NULL &&
        nghttp2_session_terminate_session(mux->session, NGHTTP2_PROTOCOL_ERROR) == 0)
        mux_pump(mux);
    list_each(it, keep, &mux->streams)
    {
        struct mux_stream *stream = container_of(it, struct mux_stream, link);
        struct mux_fault own = *fault;

        own.unprocessed = own.unprocessed || !stream->written;
        own.what = keep_what(stream, own.what);
        mux_end_stream(stream, &own);
    }
    mux_tell(mux);
    if (mux->state == MUX_CLOSED)
        return;
    while (!list_empty(&mux->streams)) { /* ended before, and their users take their time */
        struct mux_stream *stream = container_of(mux->streams.next, struct mux_stream, link);

        list_remove(&stream->link);
        stream->mux = NULL;
    }
    mux->stream_count = 0;
    finish(mux);
}

void mux_end_stream(struct mux_stream *stream, const struct mux_fault *fault)
{
    if (stream->fault.kind != MUX_FINE || stream->ended)
        return;
    stream->fault = *fault;
    mux_note(stream, stream->mux->state == MUX_CONNECTING ? IO_ERROR : IO_READ);
}

void mux_note(struct mux_stream *stream, unsigned events)
{
    stream->news |= events;
    if (!list_linked(&stream->news_link))
        list_push_back(&stream->mux->news, &stream->news_link);
}

void mux_tell(struct mux *mux)
{
    while (!list_empty(&mux->news)) {
        struct mux_stream *stream = container_of(list_pop_front(&mux->news), struct mux_stream,
                                                 news_link);
        struct io *io = &stream->conn.io;
        unsigned events = stream->news;

        stream->news = 0;
        io->ready |= events;
        io->on_ready(io, events); /* `stream` may be gone */
    }
}

void mux_become_plain(struct mux *mux)
{
    mux_set_hint(mux, 0, true);
    leave_lists(mux);
    mux->leaving = true;
    while (!list_empty(&mux->streams)) {
        struct mux_stream *stream = container_of(mux->streams.next, struct mux_stream, link);
        void *user = stream->conn.user;
        const struct mux_ops *ops = stream->ops;
        struct peer_conn *given = mux->conn;

        mux->conn = NULL;
        mux_release(&stream->conn);
        ops->plain(user, given);
    }
    if (mux->state != MUX_CLOSED)
        finish(mux);
}

/* ---- idle */

static bool is_worn(const struct mux *mux)
{
    uint64_t age_ms = loop_now_ms(mux->loop) - mux->conn->opened_ms;

    return mux->requests >= mux->limits.requests || age_ms >= mux->limits.time_ms;
}

/* The idle ones of the same upstream are limited as those of HTTP/1.1: the oldest goes. */
static void make_room(struct mux *mux)
{
    struct mux *oldest = NULL;
    unsigned count = 0;

    list_each(it, keep, &mux->muxes->idle)
    {
        struct mux *other = container_of(it, struct mux, idle_link);

        if (other->conn->state->upstream_hash != mux->conn->state->upstream_hash)
            continue;
        count++;
        oldest = other;
    }
    if (count > mux->limits.connections && oldest != NULL)
        close_politely(oldest);
}

static void become_idle(struct mux *mux)
{
    if (list_linked(&mux->idle_link))
        return;
    deadline_disarm(&mux->quiet);
    list_push_front(&mux->muxes->idle, &mux->idle_link);
    deadline_arm(mux->loop, &mux->deadline, mux->limits.timeout_ms);
    make_room(mux);
}

void mux_settle(struct mux *mux)
{
    if (mux->state == MUX_CLOSED || mux->stream_count > 0)
        return;
    if (mux->state == MUX_CONNECTING) {
        if (mux->conn != NULL) /* nobody waits for it any more */
            finish(mux);
        return;
    }
    if (mux->leaving || mux->limits.connections == 0 || mux->limits.timeout_ms == 0 || is_worn(mux))
        close_politely(mux);
    else
        become_idle(mux);
}

static void on_idle(struct deadline *deadline)
{
    close_politely(container_of(deadline, struct mux, deadline));
}

/* ---- which one */

static uint32_t room_of(const struct mux *mux)
{
    const struct mux_hint *hint;
    uint32_t max = MUX_STREAMS_FIRST;

    if (mux->leaving)
        return 0;
    if (mux->state == MUX_OPEN)
        max = mux_streams_max(mux);
    else if (mux->alone)
        max = 1;
    hint = mux->settled ? NULL : hint_of(mux);
    if (hint != NULL && hint->streams_max > 0 && hint->streams_max < max)
        max = hint->streams_max;
    return mux->stream_count < max ? max - mux->stream_count : 0;
}

static struct mux *find(struct muxes *muxes, const struct mux_want *want)
{
    list_each(it, keep, bucket_of(muxes, &want->target))
    {
        struct mux *mux = container_of(it, struct mux, link);

        if (mux->conn->state != want->target.state || mux->conn->variant != want->target.variant ||
            mux->id == want->avoid || mux->only_h2 != want->only_h2 || room_of(mux) == 0)
            continue;
        if (mux->stream_count == 0) {
            if (is_worn(mux)) {
                close_politely(mux);
                continue;
            }
            mux_read(mux); /* perhaps the peer has closed it just now */
            if (mux->state == MUX_CLOSED || mux->leaving)
                continue;
        }
        return mux;
    }
    return NULL;
}

static bool keep_tls(struct mux *mux, const struct tls_connect *tls)
{
    static const struct slice either = SLICE("\2h2\10http/1.1");
    static const struct slice only = SLICE("\2h2");
    struct slice key = tls->session_key;

    mux->tls = *tls;
    mux->tls.alpn = mux->only_h2 ? only : either;
    mux->tls.name = strdup(tls->name);
    mux->tls.session_key = slice_make(key.len == 0 ? NULL : slice_strdup(key), key.len);
    return mux->tls.name != NULL && (key.len == 0 || mux->tls.session_key.data != NULL);
}

static void set_up(struct mux *mux)
{
    mux->conn->user = mux;
    mux->conn->io.on_ready = mux_on_ready;
    mux->deadline.on_expire = on_idle;
    mux->again.on_expire = mux_on_again;
    mux->quiet.on_expire = mux_on_quiet;
    mux->bury.run = bury;
    list_init(&mux->streams);
    list_init(&mux->news);
}

static struct mux *open_new(struct muxes *muxes, const struct mux_want *want)
{
    struct mux *mux = calloc(1, sizeof *mux);

    if (mux == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    mux->muxes = muxes;
    mux->loop = want->loop;
    mux->id = ++muxes->next_id;
    mux->only_h2 = want->only_h2;
    mux->alone = mux_is_plain(muxes, &want->target);
    mux->score.ms = loop_now_ms(want->loop);
    mux->conn = pool_open(want->pool, &want->target, want->options);
    if (mux->conn == NULL || (want->tls != NULL && !keep_tls(mux, want->tls))) {
        int saved = mux->conn == NULL ? errno : ENOMEM;

        pool_close(mux->conn);
        free((void *)(uintptr_t)mux->tls.name);
        free((void *)(uintptr_t)mux->tls.session_key.data);
        free(mux);
        errno = saved;
        return NULL;
    }
    set_up(mux);
    list_push_front(bucket_of(muxes, &want->target), &mux->link);
    if (mux->conn->connected)
        mux_connect(mux);
    errno = ECONNRESET;
    return mux->state == MUX_CLOSED ? NULL : mux;
}

static struct peer_conn *attach(struct mux *mux, const struct mux_want *want)
{
    struct mux_stream *stream = arena_zalloc(want->arena, sizeof *stream);
    struct peer_conn *conn;

    if (stream == NULL)
        return NULL;
    conn = &stream->conn;
    conn->io.fd = -1;
    conn->io.on_ready = want->on_ready;
    conn->user = want->user;
    conn->state = peer_state_ref(want->target.state);
    conn->stream = stream;
    conn->reused = mux->requests > 0;
    conn->request_count = ++mux->requests;
    conn->connected = mux->state == MUX_OPEN;
    conn->io.ready = IO_WRITE;
    stream->mux = mux;
    stream->ops = want->ops;
    stream->arena = want->arena;
    stream->head_bytes_max = want->head_bytes_max;
    stream->heads_last = &stream->heads;
    list_push_back(&mux->streams, &stream->link);
    mux->stream_count++;
    mux->limits = *want->limits;
    if (is_worn(mux))
        mux->leaving = true;
    if (list_linked(&mux->idle_link)) {
        list_remove(&mux->idle_link);
        deadline_disarm(&mux->deadline);
    }
    return conn;
}

struct peer_conn *mux_open(struct muxes *muxes, const struct mux_want *want)
{
    struct mux *mux = find(muxes, want);
    struct peer_conn *conn;

    if (mux == NULL)
        mux = open_new(muxes, want);
    if (mux == NULL)
        return NULL;
    conn = attach(mux, want);
    if (conn == NULL) {
        mux_settle(mux);
        errno = ENOMEM;
    }
    return conn;
}

void muxes_free(struct muxes *muxes)
{
    if (muxes == NULL)
        return;
    for (size_t i = 0; i < MUX_BUCKETS; i++) {
        while (!list_empty(&muxes->buckets[i])) {
            struct mux *mux = container_of(muxes->buckets[i].next, struct mux, link);

            assert(list_empty(&mux->streams));
            close_politely(mux);
        }
    }
    mux_free_options(muxes);
    free(muxes);
}
