/* Peers out of rotation: marking, probing, return. Runs in: worker, loop thread. */
#include "balance/health_internal.h"

#include "balance/upstream.h"
#include "base/log.h"
#include "event/loop.h"
#include "event/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PROBE_FIRST_MS = 100,
    PROBE_LONGEST_MS = 1000,
    PROBE_CONNECT_MS =
        1000, /* then a new attempt: its first packet is not held back by the kernel's back-off */
};

struct probes {
    struct loop *loop; /* borrowed */
    struct list all;
};

/* Owned by the loop's list; holds a reference of the state. */
struct probe {
    struct list link;
    struct probes *probes;
    struct peer_state *state;
    struct io io; /* fd -1: waiting for the next attempt */
    struct deadline deadline;
    uint64_t delay_ms;
    uint64_t failed_ms; /* when it was marked: for the sentence that tells of its return */
};

static bool is_connection_level(enum outcome outcome)
{
    return outcome == OUTCOME_REFUSED || outcome == OUTCOME_CONNECT_TIMEOUT ||
           outcome == OUTCOME_RESET;
}

static bool is_failure(enum outcome outcome)
{
    return outcome != OUTCOME_OK && outcome != OUTCOME_NEXT;
}

bool health_failed(const struct peer *peer, bool single, uint64_t now_ms)
{
    const struct peer_state *state = peer->state;
    const struct server *server = peer->server;
    uint64_t checked_ms;

    if (single || server->max_fails == 0 ||
        atomic_load_explicit(&state->fails, memory_order_relaxed) < server->max_fails)
        return false;
    if (atomic_load_explicit(&state->probing, memory_order_relaxed))
        return true;
    checked_ms = atomic_load_explicit(&state->checked_ms, memory_order_relaxed);
    return now_ms <= checked_ms + server->fail_timeout_ms;
}

bool health_silent(const struct peer_state *state)
{
    return atomic_load_explicit(&state->probing, memory_order_relaxed) &&
           atomic_load_explicit(&state->reason, memory_order_relaxed) == OUTCOME_CONNECT_TIMEOUT;
}

/* ---- probing */

static void probe_free(struct probe *probe)
{
    if (probe->io.fd >= 0) {
        loop_unwatch(&probe->io);
        close(probe->io.fd);
    }
    deadline_disarm(&probe->deadline);
    list_remove(&probe->link);
    atomic_store_explicit(&probe->state->probing, false, memory_order_release);
    peer_state_unref(probe->state);
    free(probe);
}

void health_return(struct peer_state *state, uint64_t now_ms)
{
    atomic_store_explicit(&state->fails, 0, memory_order_relaxed);
    atomic_store_explicit(&state->failed_ms, 0, memory_order_relaxed);
    atomic_store_explicit(&state->back_ms, now_ms, memory_order_relaxed);
}

unsigned health_share(const struct peer *peer, uint64_t now_ms)
{
    uint64_t slow_ms = peer->server->slow_start_ms;
    uint64_t back_ms = slow_ms == 0
                           ? 0
                           : atomic_load_explicit(&peer->state->back_ms, memory_order_relaxed);

    if (back_ms == 0 || now_ms >= back_ms + slow_ms)
        return HEALTH_FULL;
    return now_ms <= back_ms ? 1 : 1 + (unsigned)((now_ms - back_ms) * (HEALTH_FULL - 1) / slow_ms);
}

static void log_return(const struct log_subject *log, const struct peer_state *state,
                       uint64_t failed_ms, uint64_t now_ms)
{
    double seconds = (double)(now_ms - failed_ms) / 1000;

    if (log != NULL) {
        log_about(log, LOG_LEVEL_NOTICE, 0, "peer %s of upstream \"%.*s\" is back after %.1f s",
                  state->text, SLICE_ARG(state->upstream), seconds);
        return;
    }
    log_write(&log_process, LOG_LEVEL_NOTICE, 0,
              "peer %s of upstream \"%.*s\" is back after %.1f s", state->text,
              SLICE_ARG(state->upstream), seconds);
}

static void probe_succeeded(struct probe *probe)
{
    log_return(NULL, probe->state, probe->failed_ms, loop_now_ms(probe->probes->loop));
    health_return(probe->state, loop_now_ms(probe->probes->loop));
    probe_free(probe);
}

static void probe_missed(struct probe *probe)
{
    if (probe->io.fd >= 0) {
        loop_unwatch(&probe->io);
        close(probe->io.fd);
        probe->io.fd = -1;
    }
    deadline_arm(probe->probes->loop, &probe->deadline, probe->delay_ms);
    probe->delay_ms = probe->delay_ms * 2 < PROBE_LONGEST_MS ? probe->delay_ms * 2
                                                             : PROBE_LONGEST_MS;
}

static void on_probe_ready(struct io *io, unsigned events)
{
    struct probe *probe = container_of(io, struct probe, io);

    if (events == 0)
        return;
    if (socket_error(io->fd) == 0 && (io->ready & IO_WRITE) != 0 && (io->ready & IO_ERROR) == 0)
        probe_succeeded(probe); /* frees `probe`: nothing may follow */
    else
        probe_missed(probe);
}

static void probe_try(struct probe *probe)
{
    struct connect_options options = {0};
    bool done = false;

    probe->io = (struct io){.fd = socket_connect(&probe->state->address, &options, &done),
                            .on_ready = on_probe_ready};
    if (probe->io.fd < 0) {
        probe_missed(probe);
        return;
    }
    if (done) {
        close(probe->io.fd);
        probe->io.fd = -1;
        probe_succeeded(probe);
        return;
    }
    if (!loop_watch(probe->probes->loop, &probe->io)) {
        close(probe->io.fd);
        probe->io.fd = -1;
        probe_missed(probe);
        return;
    }
    deadline_arm(probe->probes->loop, &probe->deadline, PROBE_CONNECT_MS);
}

static void on_probe_deadline(struct deadline *deadline)
{
    struct probe *probe = container_of(deadline, struct probe, deadline);

    /* Only this probe still knows the peer: its upstream is gone. */
    if (atomic_load_explicit(&probe->state->refs, memory_order_acquire) == 1)
        probe_free(probe);
    else if (atomic_load_explicit(&probe->state->fails, memory_order_relaxed) == 0)
        probe_free(probe); /* a request found it to be back before we did */
    else if (probe->io.fd >= 0)
        probe_missed(probe);
    else
        probe_try(probe);
}

/* Of all loops that see it fail, the first one probes. False: another one does, or there is no
 * memory. */
static bool probe_start(struct probes *probes, struct peer_state *state, uint64_t failed_ms)
{
    struct probe *probe;

    if (probes == NULL || atomic_exchange_explicit(&state->probing, true, memory_order_acq_rel))
        return false;
    probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        atomic_store_explicit(&state->probing, false, memory_order_release);
        return false;
    }
    probe->probes = probes;
    probe->state = peer_state_ref(state);
    probe->io.fd = -1;
    probe->deadline.on_expire = on_probe_deadline;
    probe->delay_ms = PROBE_FIRST_MS;
    probe->failed_ms = failed_ms;
    list_push_back(&probes->all, &probe->link);
    probe_missed(probe);
    return true;
}

struct probes *probes_new(struct loop *loop)
{
    struct probes *probes = calloc(1, sizeof(*probes));

    if (probes == NULL)
        return NULL;
    probes->loop = loop;
    list_init(&probes->all);
    return probes;
}

void probes_free(struct probes *probes)
{
    if (probes == NULL)
        return;
    list_each(it, keep, &probes->all) probe_free(container_of(it, struct probe, link));
    free(probes);
}

/* ---- marking */

static void note_success(const struct health_report *report)
{
    struct peer_state *state = report->peer->state;
    uint64_t accessed_ms = atomic_load_explicit(&state->accessed_ms, memory_order_relaxed);
    uint64_t failed_ms = atomic_load_explicit(&state->failed_ms, memory_order_relaxed);

    /* An answer to an attempt begun before the peer failed says nothing about what came after. */
    if (failed_ms != 0) {
        if (report->begun_ms < accessed_ms ||
            (report->begun_ms == accessed_ms && !report->last_resort))
            return;
        if (atomic_compare_exchange_strong(&state->failed_ms, &failed_ms, 0)) {
            health_return(state, report->now_ms);
            log_return(report->log, state, failed_ms, report->now_ms);
        }
        return;
    }
    if (accessed_ms != 0 && atomic_load_explicit(&state->fails, memory_order_relaxed) != 0 &&
        accessed_ms < atomic_load_explicit(&state->checked_ms, memory_order_relaxed))
        atomic_store_explicit(&state->fails, 0, memory_order_relaxed);
}

static void log_failure(const struct health_report *report, bool probed)
{
    const struct peer_state *state = report->peer->state;
    uint64_t rest_ms = report->peer->server->fail_timeout_ms;

    if (report->log == NULL)
        return;
    if (probed)
        log_about(report->log, LOG_LEVEL_WARN, 0,
                  "peer %s of upstream \"%.*s\" %s, probing it until it is back", state->text,
                  SLICE_ARG(state->upstream), outcome_text(report->outcome));
    else
        log_about(report->log, LOG_LEVEL_WARN, 0,
                  "peer %s of upstream \"%.*s\" %s, not used for %.1f s", state->text,
                  SLICE_ARG(state->upstream), outcome_text(report->outcome),
                  (double)rest_ms / 1000);
}

/* max_fails is reached: out of rotation. Said once, when it leaves. */
static void mark_failed(const struct health_report *report)
{
    struct peer_state *state = report->peer->state;
    uint64_t before = 0;
    bool left = atomic_compare_exchange_strong(&state->failed_ms, &before, report->now_ms);
    bool probed = false;

    if (is_connection_level(report->outcome))
        probed = probe_start(report->probes, state, left ? report->now_ms : before);
    if (left)
        log_failure(report, probed);
}

bool health_note(const struct health_report *report)
{
    struct peer_state *state = report->peer->state;
    const struct server *server = report->peer->server;
    unsigned fails;

    if (!is_failure(report->outcome)) {
        note_success(report);
        return false;
    }
    atomic_fetch_add_explicit(&state->failures, 1, memory_order_relaxed);
    atomic_store_explicit(&state->reason, (unsigned)report->outcome, memory_order_relaxed);
    if (report->single)
        return false;
    atomic_store_explicit(&state->accessed_ms, report->now_ms, memory_order_relaxed);
    atomic_store_explicit(&state->checked_ms, report->now_ms, memory_order_relaxed);
    fails = atomic_fetch_add_explicit(&state->fails, 1, memory_order_relaxed) + 1;
    if (server->max_fails > 0 && fails >= server->max_fails)
        mark_failed(report);
    return server->max_fails > 0;
}
