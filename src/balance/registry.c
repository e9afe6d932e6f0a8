/* All peer states of a worker. Runs in: worker, any thread. */
#include "balance/registry_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKETS = 64 };

bool registry_init(struct registry *registry)
{
    *registry = (struct registry){.bucket_count = FIRST_BUCKETS};
    registry->buckets = calloc(FIRST_BUCKETS, sizeof(*registry->buckets));
    if (registry->buckets == NULL)
        return false;
    pthread_mutex_init(&registry->lock, NULL);
    return true;
}

void registry_fini(struct registry *registry)
{
    if (registry->buckets == NULL)
        return;
    assert(registry->count == 0);
    free(registry->buckets);
    registry->buckets = NULL;
    pthread_mutex_destroy(&registry->lock);
}

static struct peer_state **bucket_of(struct registry *registry, uint64_t hash)
{
    return &registry->buckets[hash & (registry->bucket_count - 1)];
}

/* Without memory the chains just grow longer. */
static void grow(struct registry *registry)
{
    size_t old_count = registry->bucket_count;
    struct peer_state **old = registry->buckets;
    struct peer_state **buckets = calloc(old_count * 2, sizeof(*buckets));

    if (buckets == NULL)
        return;
    registry->buckets = buckets;
    registry->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct peer_state *state = old[i];
            struct peer_state **place = bucket_of(registry, state->key_hash);

            old[i] = state->next;
            state->next = *place;
            *place = state;
        }
    }
    free(old);
}

static bool matches(const struct peer_state *state, const struct peer_key *key, uint64_t hash)
{
    return state->key_hash == hash && state->ordinal == key->ordinal &&
           address_equal(&state->address, key->address) && slice_eq(state->upstream, key->upstream);
}

static uint64_t hash_key(const struct peer_key *key, struct slice text)
{
    uint64_t hash = slice_hash(key->upstream) * 31 + slice_hash(text);

    return hash + key->ordinal * 0x9e3779b97f4a7c15u;
}

/* The address, cut to what it needs, and both texts end the struct: a peer is one allocation. */
static struct peer_state *state_new(const struct peer_key *key, struct slice text)
{
    size_t bytes = offsetof(struct peer_state, address) + address_bytes(key->address);
    struct peer_state *state = calloc(1, bytes + key->upstream.len + 1 + text.len + 1);
    char *name;

    if (state == NULL)
        return NULL;
    name = (char *)state + bytes;
    if (key->upstream.len > 0)
        memcpy(name, key->upstream.data, key->upstream.len);
    memcpy(name + key->upstream.len + 1, text.data, text.len);
    state->upstream = slice_make(name, key->upstream.len);
    state->upstream_hash = slice_hash(key->upstream);
    state->text = name + key->upstream.len + 1;
    state->ordinal = key->ordinal;
    memcpy(&state->address, key->address, address_bytes(key->address));
    atomic_init(&state->refs, 1);
    return state;
}

static struct peer_state *find(struct registry *registry, const struct peer_key *key, uint64_t hash)
{
    for (struct peer_state *it = *bucket_of(registry, hash); it != NULL; it = it->next) {
        if (matches(it, key, hash))
            return peer_state_ref(it);
    }
    return NULL;
}

static struct peer_state *add(struct registry *registry, const struct peer_key *key,
                              struct slice text, uint64_t hash)
{
    struct peer_state *state = state_new(key, text);
    struct peer_state **place;

    if (state == NULL)
        return NULL;
    if (registry->count >= registry->bucket_count)
        grow(registry);
    place = bucket_of(registry, hash);
    state->registry = registry;
    state->key_hash = hash;
    state->next = *place;
    *place = state;
    registry->count++;
    return state;
}

struct peer_state *registry_get(struct registry *registry, const struct peer_key *key)
{
    char text[ADDRESS_TEXT_BYTES];
    struct slice shown = slice_make(text, address_text(key->address, text));
    uint64_t hash = hash_key(key, shown);
    struct peer_state *state;

    pthread_mutex_lock(&registry->lock);
    state = find(registry, key, hash);
    if (state == NULL)
        state = add(registry, key, shown, hash);
    pthread_mutex_unlock(&registry->lock);
    return state;
}

struct peer_state *peer_state_ref(struct peer_state *state)
{
    unsigned before = atomic_fetch_add_explicit(&state->refs, 1, memory_order_relaxed);

    assert(before > 0);
    return state;
}

static void drop_last(struct peer_state *state)
{
    struct registry *registry = state->registry;
    struct peer_state **place;
    bool last;

    pthread_mutex_lock(&registry->lock);
    /* Somebody may have found it in the registry in the meantime. */
    last = atomic_fetch_sub_explicit(&state->refs, 1, memory_order_acq_rel) == 1;
    if (last) {
        place = bucket_of(registry, state->key_hash);
        while (*place != state)
            place = &(*place)->next;
        *place = state->next;
        registry->count--;
    }
    pthread_mutex_unlock(&registry->lock);
    if (last)
        free(state);
}

void peer_state_unref(struct peer_state *state)
{
    unsigned refs;

    if (state == NULL)
        return;
    refs = atomic_load_explicit(&state->refs, memory_order_relaxed);
    while (refs > 1) {
        if (atomic_compare_exchange_weak_explicit(&state->refs, &refs, refs - 1,
                                                  memory_order_release, memory_order_relaxed))
            return;
    }
    drop_last(state);
}
