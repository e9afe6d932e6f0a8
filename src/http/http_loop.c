#include "http/http_loop.h"
#include "policy/error_log.h"

#include "base/arena.h"
#include "config/snapshot.h"
#include "event/socket.h"
#include "http/core_conf.h"
#include "http/features.h"
#include "http/features/log_writer.h"
#include "http/h1/conn.h"
#include "http/steps.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ACCEPT_BATCH = 32,     /* connections taken from one listener before others get their turn */
    ACCEPT_TURN = 4,       /* ... before the other loops get theirs, if there are others */
    ACCEPT_LEAD = 8,       /* more connections than another loop: the same number and an eighth */
    ACCEPT_PAUSE_MS = 500, /* when the system has no descriptor left */
    ACCEPT_WARN_MS = 1000,
    IDLE_LOOKED_AT = 32, /* to find one that may be closed */
};

struct http_loop *http_loop_new(struct loop *loop, struct http_shared *shared)
{
    struct http_loop *http = calloc(1, sizeof *http);

    if (http == NULL)
        return NULL;
    http_features_init();
    http->slots = calloc(http_feature_count, sizeof *http->slots);
    if (http->slots == NULL) {
        free(http);
        return NULL;
    }
    http->loop = loop;
    http->shared = shared;
    http->next_connection_id = loop_index(loop) + 1;
    list_init(&http->listeners);
    list_init(&http->connections);
    list_init(&http->idle);
    loop_set_context(loop, http);
    return http;
}

static void snapshot_user_free(struct snapshot_user *user)
{
    snapshot_unref(user->snapshot);
    free(user);
}

struct snapshot_user *snapshot_user_ref(struct snapshot_user *user)
{
    user->users++;
    return user;
}

void snapshot_user_unref(struct snapshot_user *user)
{
    assert(user->users > 0);
    if (--user->users == 0)
        snapshot_user_free(user);
}

static struct snapshot_user *snapshot_user_new(struct http_loop *http, struct snapshot *snapshot)
{
    struct snapshot_user *user = calloc(1, sizeof *user);

    if (user == NULL)
        return NULL;
    user->snapshot = snapshot_ref(snapshot);
    user->conf = snapshot->http;
    user->http = http;
    user->users = 1;
    return user;
}

static void listener_free(struct http_listener *listener)
{
    if (list_linked(&listener->link))
        list_remove(&listener->link);
    snapshot_user_unref(listener->user);
    free((char *)(uintptr_t)listener->key.data);
    free(listener);
}

/* Stops accepting; it lives on while connections accepted here are open. */
static void listener_close(struct http_listener *listener)
{
    if (listener->io.loop != NULL)
        loop_unwatch(&listener->io);
    deadline_disarm(&listener->pause);
    listener->io.fd = -1;
    if (listener->connections == 0)
        listener_free(listener);
}

void http_listener_unref(struct http_listener *listener)
{
    assert(listener->connections > 0);
    listener->connections--;
    if (listener->connections == 0 && listener->io.fd < 0)
        listener_free(listener);
}

/* The longest idle connection makes place for a new one. */
static bool make_place(struct http_loop *http)
{
    uint64_t now_ms = loop_now_ms(http->loop);
    int looked_at = 0;

    list_each(link, keep, &http->idle)
    {
        struct client_conn *conn = container_of(link, struct client_conn, idle_link);

        if (conn->keep_until_ms <= now_ms) {
            conn->ops->close_idle(conn);
            return true;
        }
        if (++looked_at == IDLE_LOOKED_AT)
            break;
    }
    return false;
}

static void go_on_accepting(struct http_listener *listener)
{
    assert(listener->io.fd >= 0);
    if (!loop_watch_shared(listener->http->loop, &listener->io))
        deadline_arm(listener->http->loop, &listener->pause, ACCEPT_PAUSE_MS);
}

static void on_pause_over(struct deadline *deadline)
{
    go_on_accepting(container_of(deadline, struct http_listener, pause));
}

/* Without a descriptor accept() fails before it looks whether anybody is there. */
static bool somebody_waits(const struct http_listener *listener)
{
    struct pollfd socket = {.fd = listener->io.fd, .events = POLLIN};

    return poll(&socket, 1, 0) > 0;
}

/* The kernel says at once again that a connection waits: asking without a pause would keep the
 * processor busy, and fill the log. */
static void cannot_accept(struct http_listener *listener, int error)
{
    static _Thread_local uint64_t
        quiet_until_ms; /* a loop is a thread: one line a second of each */
    const struct http_listen *listen = &listener->user->conf->listens[listener->index];
    uint64_t now_ms = loop_now_ms(listener->http->loop);

    if (!somebody_waits(listener))
        return;
    if ((error == EMFILE || error == ENFILE) && make_place(listener->http))
        return;
    if (now_ms >= quiet_until_ms)
        log_write(error_log_of(listen->fallback->settings), LOG_LEVEL_CRIT, error,
                  "cannot accept a connection on %.*s, again in %d ms", SLICE_ARG(listener->key),
                  ACCEPT_PAUSE_MS);
    if (now_ms >= quiet_until_ms)
        quiet_until_ms = now_ms + ACCEPT_WARN_MS;
    loop_unwatch(&listener->io);
    deadline_arm(listener->http->loop, &listener->pause, ACCEPT_PAUSE_MS);
}

static bool has_clearly_more_than_others(const struct http_loop *http)
{
    const struct http_shared *shared = http->shared;
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < shared->loop_count; i++) {
        const struct http_loop *other = shared->loops[i];
        uint64_t active = __atomic_load_n(&other->counters.active, __ATOMIC_RELAXED);

        least = active < least ? active : least;
    }
    return http->counters.active > least + ACCEPT_LEAD + least / ACCEPT_LEAD;
}

/* The kernel wakes the first loop in the socket's queue that sleeps; one that stayed in front would
 * get nearly all connections, and keep them. Who has many already waits a moment behind the queue,
 * so that a burst finds the others awake. */
static void let_others_accept(struct http_listener *listener)
{
    if (listener->accepted < ACCEPT_TURN || listener->io.loop == NULL)
        return;
    listener->accepted = 0;
    loop_unwatch(&listener->io);
    if (has_clearly_more_than_others(listener->http))
        deadline_arm(listener->http->loop, &listener->pause, 1);
    else
        go_on_accepting(listener);
}

static void on_acceptable(struct io *io, unsigned events)
{
    struct http_listener *listener = container_of(io, struct http_listener, io);
    struct address peer;

    (void)events;
    for (int i = 0; i < (listener->shared ? ACCEPT_TURN : ACCEPT_BATCH) && listener->io.fd >= 0;
         i++) {
        int fd = socket_accept(listener->io.fd, &peer);

        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR)
                cannot_accept(listener, errno);
            break;
        }
        http_count(&listener->http->counters.accepted, 1);
        h1_conn_accept(listener, fd, &peer);
        listener->accepted++;
    }
    if (listener->shared)
        let_others_accept(listener);
}

static struct http_listener *listener_find(struct http_loop *http, struct slice key)
{
    list_each(link, keep, &http->listeners)
    {
        struct http_listener *listener = container_of(link, struct http_listener, link);

        if (slice_eq(listener->key, key))
            return listener;
    }
    return NULL;
}

static struct http_listener *listener_new(struct http_loop *http, struct slice key)
{
    struct http_listener *listener = calloc(1, sizeof *listener);
    char *copy = malloc(key.len + 1);

    if (listener == NULL || copy == NULL) {
        free(listener);
        free(copy);
        return NULL;
    }
    memcpy(copy, key.data, key.len);
    listener->key = slice_make(copy, key.len);
    listener->http = http;
    listener->io.fd = -1;
    listener->io.on_ready = on_acceptable;
    listener->pause.on_expire = on_pause_over;
    list_push_back(&http->listeners, &listener->link);
    return listener;
}

/* Points the listener at its place in the new snapshot; watches its socket if that is another one.
 */
static bool listener_use(struct http_listener *listener, struct snapshot_user *user, unsigned index,
                         int fd)
{
    struct snapshot_user *before = listener->user;

    listener->user = snapshot_user_ref(user);
    listener->index = index;
    if (before != NULL)
        snapshot_user_unref(before);
    if (listener->io.fd == fd)
        return true;
    if (listener->io.loop != NULL)
        loop_unwatch(&listener->io);
    deadline_disarm(&listener->pause);
    listener->io.fd = fd;
    listener->io.ready = 0;
    if (listener->http->draining)
        return true;
    return loop_watch_shared(listener->http->loop, &listener->io);
}

/* Sockets whose address the new snapshot does not have any more. */
static void close_stale(struct http_loop *http, const struct snapshot_user *user)
{
    list_each(link, keep, &http->listeners)
    {
        struct http_listener *listener = container_of(link, struct http_listener, link);

        if (listener->user != user && listener->io.fd >= 0)
            listener_close(listener);
    }
}

bool http_loop_use(struct http_loop *http, struct snapshot *snapshot, const int *fds)
{
    struct snapshot_user *user = snapshot_user_new(http, snapshot);
    struct snapshot_user *before = http->current;
    size_t count = 0;
    bool ok = true;

    if (user == NULL)
        return false;
    const struct listen_spec *specs = http_listen_specs(snapshot, &count);

    for (size_t i = 0; i < count; i++) {
        struct http_listener *listener = listener_find(http, specs[i].text);

        if (listener == NULL)
            listener = listener_new(http, specs[i].text);
        if (listener != NULL)
            listener->shared = http->shared->loop_count > 1 && !specs[i].options.reuseport;
        ok = listener != NULL &&
             listener_use(listener, user, user->conf->spec_listens[i], fds[i]) && ok;
    }
    http->current = user;
    close_stale(http, user);
    if (before != NULL)
        snapshot_user_unref(before);
    return ok;
}

void http_loop_flush_logs(struct http_loop *http)
{
    log_writers_flush(http);
}

static void tell_if_empty(struct http_loop *http)
{
    void (*fn)(void *) = http->on_empty;

    if (fn == NULL || !http->draining || http->connection_count > 0)
        return;
    http->on_empty = NULL;
    fn(http->on_empty_data);
}

void http_loop_on_empty(struct http_loop *http, void (*fn)(void *data), void *data)
{
    http->on_empty = fn;
    http->on_empty_data = data;
    tell_if_empty(http);
}

void http_loop_drain(struct http_loop *http)
{
    if (http->draining)
        return;
    http->draining = true;
    list_each(link, keep, &http->listeners)
    {
        struct http_listener *listener = container_of(link, struct http_listener, link);

        if (listener->io.fd >= 0)
            listener_close(listener);
    }
    list_each(link, keep, &http->connections)
    {
        struct client_conn *conn = container_of(link, struct client_conn, link);

        conn->ops->drain(conn);
    }
    tell_if_empty(http);
}

size_t http_loop_connections(const struct http_loop *http)
{
    return http->connection_count;
}

void http_loop_abort(struct http_loop *http)
{
    http->draining = true;
    while (!list_empty(&http->connections)) {
        struct client_conn *conn = container_of(http->connections.next, struct client_conn, link);

        conn->ops->abort(conn);
    }
    tell_if_empty(http);
}

static void free_slots(struct http_loop *http)
{
    for (size_t i = 0; i < http_feature_count; i++) {
        const struct feature *feature = http_feature_list[i];

        void *slot = http->slots[feature->index];

        if (slot != NULL && feature->on_loop_end != NULL)
            feature->on_loop_end(slot);
        free(slot);
    }
    free(http->slots);
}

void http_loop_free(struct http_loop *http)
{
    if (http == NULL)
        return;
    http_loop_abort(http);
    list_each(link, keep, &http->listeners)
        listener_close(container_of(link, struct http_listener, link));
    h1_conn_free_spares(http);
    exchange_free_spares(http);
    if (http->current != NULL)
        snapshot_user_unref(http->current);
    log_loop_close(http);
    free_slots(http);
    free(http);
}

bool http_loop_add(struct http_loop *http, struct client_conn *conn)
{
    unsigned max = http->shared->worker_connections;

    if (max != 0 && http->connection_count >= max && !make_place(http)) {
        log_write(&log_process, LOG_LEVEL_ALERT, 0,
                  "%u worker_connections are not enough: a connection is refused; raise "
                  "worker_connections in the events block",
                  max);
        return false;
    }
    list_push_back(&http->connections, &conn->link);
    http->connection_count++;
    http_count(&http->counters.active, 1);
    http_count(&http->counters.handled, 1);
    return true;
}

void http_loop_remove(struct http_loop *http, struct client_conn *conn)
{
    http_loop_set_idle(http, conn, false);
    list_remove(&conn->link);
    assert(http->connection_count > 0);
    http->connection_count--;
    http_count(&http->counters.active, -1);
    tell_if_empty(http);
}

void http_loop_replace(struct http_loop *http, struct client_conn *from, struct client_conn *to)
{
    http_loop_set_idle(http, from, false);
    list_insert(&from->link, &to->link);
    list_remove(&from->link);
}

void http_loop_set_idle(struct http_loop *http, struct client_conn *conn, bool idle)
{
    bool is_idle = list_linked(&conn->idle_link);

    if (idle == is_idle)
        return;
    if (idle) {
        list_push_back(&http->idle, &conn->idle_link);
        http_count(&http->counters.waiting, 1);
        return;
    }
    list_remove(&conn->idle_link);
    http_count(&http->counters.waiting, -1);
}

void *http_loop_slot(struct http_loop *http, const struct feature *feature, size_t bytes)
{
    if (http->slots[feature->index] == NULL)
        http->slots[feature->index] = calloc(1, bytes);
    return http->slots[feature->index];
}
