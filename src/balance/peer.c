/* Peer sets and the words for what can happen to a peer. Runs in: worker, any thread. */
#include "balance/peer.h"

#include "balance/roster_internal.h"

#include <assert.h>
#include <stdlib.h>

static const char *const outcome_texts[OUTCOME_COUNT] = {
    [OUTCOME_OK] = "answered",
    [OUTCOME_NEXT] = "answered with a status another peer is asked for",
    [OUTCOME_REFUSED] = "refused the connection",
    [OUTCOME_CONNECT_TIMEOUT] = "did not accept a connection in time",
    [OUTCOME_RESET] = "closed the connection before it answered",
    [OUTCOME_TIMEOUT] = "did not answer in time",
    [OUTCOME_INVALID] = "sent an invalid answer",
    [OUTCOME_STATUS] = "answered with a status that counts as a failure",
    [OUTCOME_TLS] = "failed the TLS handshake",
};

const char *outcome_text(enum outcome outcome)
{
    assert(outcome < OUTCOME_COUNT);
    return outcome_texts[outcome];
}

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

struct peer_counters peer_state_counters(const struct peer_state *state)
{
    return (struct peer_counters){
        .requests = load(&state->requests),
        .fails = load(&state->failures),
        .bytes_sent = load(&state->bytes_sent),
        .bytes_received = load(&state->bytes_received),
    };
}

void peer_state_count_bytes(struct peer_state *state, uint64_t sent, uint64_t received)
{
    atomic_fetch_add_explicit(&state->bytes_sent, sent, memory_order_relaxed);
    atomic_fetch_add_explicit(&state->bytes_received, received, memory_order_relaxed);
}

struct peer_set *peer_set_ref(struct peer_set *set)
{
    unsigned before = atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);

    assert(before > 0);
    return set;
}

void peer_set_unref(struct peer_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned i = 0; i < set->peer_count; i++) {
        peer_state_unref(set->peers[i].state);
        app_instance_unref(set->peers[i].instance);
    }
    free(set->ring);
    free(set);
}
