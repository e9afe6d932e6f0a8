/* Sessions kept by name. Runs in: any thread. */
#include "tls/session_cache.h"

#include "base/list.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARDS = 16,              /* locks: loops seldom meet */
    BUCKETS = 1024,           /* per shard */
    SESSION_BYTES_MAX = 8192, /* with a client's certificate inside */
};

struct entry {
    struct entry *next; /* in its bucket */
    struct list age;    /* in its shard: newest first */
    uint64_t hash;
    unsigned id_bytes;
    unsigned bytes;
    unsigned char data[]; /* id, then the session */
};

struct shard {
    pthread_mutex_t lock;
    struct entry *buckets[BUCKETS];
    struct list age;
    size_t bytes;
    size_t count;
};

struct session_cache {
    struct session_cache *next;
    char *name; /* owned */
    size_t name_len;
    _Atomic size_t shard_bytes_max;
    struct shard shards[SHARDS];
};

static struct {
    pthread_mutex_t lock;
    struct session_cache *first;
} caches = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct session_cache *cache_new(struct slice name)
{
    struct session_cache *cache = calloc(1, sizeof *cache);
    char *copy = malloc(name.len + 1);

    if (cache == NULL || copy == NULL) {
        free(cache);
        free(copy);
        return NULL;
    }
    memcpy(copy, name.data, name.len);
    cache->name = copy;
    cache->name_len = name.len;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&cache->shards[i].lock, NULL);
        list_init(&cache->shards[i].age);
    }
    return cache;
}

struct session_cache *session_cache_get(struct slice name, size_t bytes)
{
    pthread_mutex_lock(&caches.lock);
    struct session_cache *cache = caches.first;

    while (cache != NULL && !slice_eq(slice_make(cache->name, cache->name_len), name))
        cache = cache->next;
    if (cache == NULL && (cache = cache_new(name)) != NULL) {
        cache->next = caches.first;
        caches.first = cache;
    }
    if (cache != NULL)
        cache->shard_bytes_max = bytes / SHARDS;
    pthread_mutex_unlock(&caches.lock);
    return cache;
}

static size_t size_of(const struct entry *entry)
{
    return sizeof *entry + entry->id_bytes + entry->bytes;
}

static struct entry **place_of(struct shard *shard, uint64_t hash, struct slice id)
{
    struct entry **place = &shard->buckets[hash / SHARDS % BUCKETS];

    while (*place != NULL &&
           ((*place)->hash != hash ||
            !slice_eq(slice_make((char *)(*place)->data, (*place)->id_bytes), id)))
        place = &(*place)->next;
    return place;
}

static void drop(struct shard *shard, struct entry **place)
{
    struct entry *entry = *place;

    *place = entry->next;
    list_remove(&entry->age);
    assert(shard->count > 0);
    shard->count--;
    shard->bytes -= size_of(entry);
    OPENSSL_cleanse(entry->data, entry->id_bytes + entry->bytes);
    free(entry);
}

static void make_room(struct session_cache *cache, struct shard *shard, size_t bytes)
{
    while (shard->count > 0 && shard->bytes + bytes > cache->shard_bytes_max) {
        struct entry *oldest = container_of(shard->age.prev, struct entry, age);
        struct slice id = slice_make((char *)oldest->data, oldest->id_bytes);

        drop(shard, place_of(shard, oldest->hash, id));
    }
}

void session_cache_put(struct session_cache *cache, struct slice id, struct slice bytes)
{
    uint64_t hash = slice_hash(id);
    struct shard *shard = &cache->shards[hash % SHARDS];
    struct entry *entry = malloc(sizeof *entry + id.len + bytes.len);

    if (entry == NULL)
        return;
    *entry = (struct entry){
        .hash = hash, .id_bytes = (unsigned)id.len, .bytes = (unsigned)bytes.len};
    memcpy(entry->data, id.data, id.len);
    memcpy(entry->data + id.len, bytes.data, bytes.len);
    pthread_mutex_lock(&shard->lock);
    struct entry **place = place_of(shard, hash, id);

    if (*place != NULL)
        drop(shard, place);
    make_room(cache, shard, size_of(entry));
    place = place_of(shard, hash, id);
    *place = entry;
    list_push_front(&shard->age, &entry->age);
    shard->count++;
    shard->bytes += size_of(entry);
    pthread_mutex_unlock(&shard->lock);
}

bool session_cache_find(struct session_cache *cache, struct slice id, unsigned char *out,
                        size_t *out_bytes)
{
    uint64_t hash = slice_hash(id);
    struct shard *shard = &cache->shards[hash % SHARDS];

    pthread_mutex_lock(&shard->lock);
    const struct entry *entry = *place_of(shard, hash, id);
    bool found = entry != NULL && entry->bytes <= *out_bytes;

    if (found) {
        memcpy(out, entry->data + entry->id_bytes, entry->bytes);
        *out_bytes = entry->bytes;
    }
    pthread_mutex_unlock(&shard->lock);
    return found;
}

size_t session_cache_count(struct session_cache *cache)
{
    size_t count = 0;

    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        count += cache->shards[i].count;
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
    return count;
}

/* ---- the library's callbacks */

static int cache_index;
static pthread_once_t cache_once = PTHREAD_ONCE_INIT;

static void make_cache_index(void)
{
    cache_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static int on_new(SSL *ssl, SSL_SESSION *session)
{
    struct session_cache *cache = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), cache_index);
    unsigned char bytes[SESSION_BYTES_MAX];
    unsigned char *end = bytes;
    unsigned id_bytes;
    const unsigned char *id = SSL_SESSION_get_id(session, &id_bytes);
    int len = i2d_SSL_SESSION(session, NULL);

    if (cache == NULL || len <= 0 || (size_t)len > sizeof bytes || id_bytes == 0)
        return 0;
    i2d_SSL_SESSION(session, &end);
    session_cache_put(cache, slice_make((const char *)id, id_bytes),
                      slice_make((char *)bytes, (size_t)len));
    OPENSSL_cleanse(bytes, (size_t)len);
    return 0; /* we keep no reference to the session itself */
}

static SSL_SESSION *on_get(SSL *ssl, const unsigned char *id, int id_bytes, int *copy)
{
    struct session_cache *cache = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), cache_index);
    unsigned char bytes[SESSION_BYTES_MAX];
    const unsigned char *at = bytes;
    size_t len = sizeof bytes;

    *copy = 0;
    if (cache == NULL || id_bytes <= 0 ||
        !session_cache_find(cache, slice_make((const char *)id, (size_t)id_bytes), bytes, &len))
        return NULL;
    SSL_SESSION *session = d2i_SSL_SESSION(NULL, &at, (long)len);

    OPENSSL_cleanse(bytes, len);
    return session;
}

static void on_remove(SSL_CTX *context, SSL_SESSION *session)
{
    struct session_cache *cache = SSL_CTX_get_ex_data(context, cache_index);
    unsigned id_bytes;
    const unsigned char *id = SSL_SESSION_get_id(session, &id_bytes);

    if (cache == NULL || id_bytes == 0)
        return;
    struct slice key = slice_make((const char *)id, id_bytes);
    uint64_t hash = slice_hash(key);
    struct shard *shard = &cache->shards[hash % SHARDS];

    pthread_mutex_lock(&shard->lock);
    struct entry **place = place_of(shard, hash, key);

    if (*place != NULL)
        drop(shard, place);
    pthread_mutex_unlock(&shard->lock);
}

bool session_cache_use(struct session_cache *cache, SSL_CTX *context)
{
    pthread_once(&cache_once, make_cache_index);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_new);
    SSL_CTX_sess_set_get_cb(context, on_get);
    SSL_CTX_sess_set_remove_cb(context, on_remove);
    return SSL_CTX_set_ex_data(context, cache_index, cache) == 1;
}
