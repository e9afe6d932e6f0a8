/* Keys of session tickets. Runs in: any thread. */
#include "tls/ticket.h"

#include "base/list.h"
#include "base/slice.h"
#include "tls/settings.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    NAME_BYTES = 16,
    HMAC_BYTES_MAX = 32,
    AES_BYTES_MAX = 32,
    RING_KEYS_MAX = 16,
    OWN_KEYS = 3, /* the present one and two before it */
    ROTATE_S = 3600,
};

struct ticket_key {
    unsigned char name[NAME_BYTES];
    unsigned char hmac[HMAC_BYTES_MAX];
    unsigned char aes[AES_BYTES_MAX];
    unsigned hmac_bytes; /* 16 with AES-128 */
    unsigned aes_bytes;
};

struct ticket_ring {
    struct ticket_ring *next;
    pthread_mutex_t lock;
    struct ticket_key keys[RING_KEYS_MAX]; /* newest first */
    unsigned count;
    bool fixed; /* of files: never changed */
    uint64_t rotate_s;
    uint64_t made_s; /* when keys[0] began to encrypt */
};

/* All rings of the process: there are as many as configurations ever named. */
static struct {
    pthread_mutex_t lock;
    struct ticket_ring *first;
} rings = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

static bool make_key(struct ticket_key *key)
{
    key->hmac_bytes = HMAC_BYTES_MAX;
    key->aes_bytes = AES_BYTES_MAX;
    return RAND_bytes(key->name, sizeof key->name) == 1 &&
           RAND_priv_bytes(key->hmac, sizeof key->hmac) == 1 &&
           RAND_priv_bytes(key->aes, sizeof key->aes) == 1;
}

/* nginx's forms: 48 bytes are name, HMAC key, AES-128 key; 80 the same with 32-byte keys. */
static void read_key(struct ticket_key *key, struct slice bytes)
{
    unsigned half = bytes.len == 48 ? 16 : 32;

    assert(bytes.len == 48 || bytes.len == 80);
    key->hmac_bytes = half;
    key->aes_bytes = half;
    memcpy(key->name, bytes.data, NAME_BYTES);
    if (half == 16) { /* nginx has the AES key first in the short form */
        memcpy(key->aes, bytes.data + NAME_BYTES, half);
        memcpy(key->hmac, bytes.data + NAME_BYTES + half, half);
        return;
    }
    memcpy(key->hmac, bytes.data + NAME_BYTES, half);
    memcpy(key->aes, bytes.data + NAME_BYTES + half, half);
}

static struct ticket_ring *ring_new(const struct tls_item *keys)
{
    struct ticket_ring *ring = calloc(1, sizeof *ring);

    if (ring == NULL)
        return NULL;
    pthread_mutex_init(&ring->lock, NULL);
    ring->made_s = now_s();
    ring->fixed = keys != NULL;
    ring->rotate_s = ROTATE_S;
    if (keys == NULL)
        ring->count = make_key(&ring->keys[0]) ? 1 : 0;
    for (; keys != NULL && ring->count < RING_KEYS_MAX; keys = keys->next)
        read_key(&ring->keys[ring->count++], keys->source.bytes);
    if (ring->count > 0)
        return ring;
    free(ring);
    return NULL;
}

/* Has `ring` just these keys? */
static bool ring_equal(const struct ticket_ring *ring, const struct tls_item *keys)
{
    unsigned count = 0;

    if (keys == NULL || !ring->fixed)
        return keys == NULL && !ring->fixed;
    for (; keys != NULL && count < RING_KEYS_MAX; keys = keys->next, count++) {
        struct ticket_key key = {0};

        read_key(&key, keys->source.bytes);
        if (count >= ring->count || memcmp(&key, &ring->keys[count], sizeof key) != 0)
            return false;
    }
    return count == ring->count;
}

struct ticket_ring *ticket_ring_get(const struct tls_item *keys, uint64_t session_timeout_s)
{
    pthread_mutex_lock(&rings.lock);
    struct ticket_ring *ring = rings.first;

    while (ring != NULL && !ring_equal(ring, keys))
        ring = ring->next;
    if (ring == NULL && (ring = ring_new(keys)) != NULL) {
        ring->next = rings.first;
        rings.first = ring;
    }
    pthread_mutex_unlock(&rings.lock);
    if (ring == NULL)
        return NULL;
    pthread_mutex_lock(&ring->lock);
    if (ring->rotate_s < session_timeout_s)
        ring->rotate_s = session_timeout_s;
    pthread_mutex_unlock(&ring->lock);
    return ring;
}

void ticket_ring_age(struct ticket_ring *ring, uint64_t seconds)
{
    pthread_mutex_lock(&ring->lock);
    ring->made_s -= seconds;
    pthread_mutex_unlock(&ring->lock);
}

/* A key too many may be lost when no random bytes can be had: then the old one goes on. */
static void rotate(struct ticket_ring *ring)
{
    uint64_t now = now_s();
    uint64_t steps = (now - ring->made_s) / ring->rotate_s;
    struct ticket_key key = {0};

    if (ring->fixed || steps == 0 || !make_key(&key))
        return;
    if (steps > 2 * OWN_KEYS) /* nobody used the ring for so long: nothing old is good any more */
        ring->count = 0;
    unsigned kept = ring->count < OWN_KEYS - 1 ? ring->count : OWN_KEYS - 1;

    memmove(&ring->keys[1], &ring->keys[0], kept * sizeof key);
    ring->keys[0] = key;
    ring->count = kept + 1;
    ring->made_s = now;
    OPENSSL_cleanse(&key, sizeof key);
}

/* A copy of the key to encrypt with, or of the one called `name`. -1: there is none; else its
 * place. */
static int take_key(struct ticket_ring *ring, const unsigned char *name, struct ticket_key *key)
{
    int found = -1;

    pthread_mutex_lock(&ring->lock);
    rotate(ring);
    for (unsigned i = 0; i < ring->count && found < 0; i++)
        if (name == NULL || memcmp(ring->keys[i].name, name, NAME_BYTES) == 0)
            found = (int)i;
    if (found >= 0)
        *key = ring->keys[found];
    pthread_mutex_unlock(&ring->lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, key->hmac_bytes),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static const EVP_CIPHER *cipher_of(const struct ticket_key *key)
{
    return key->aes_bytes == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
}

static int ring_index;
static pthread_once_t ring_once = PTHREAD_ONCE_INIT;

static void make_ring_index(void)
{
    ring_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* 1: use it; 2: use it and send a new ticket; 0: a full handshake; -1: failed. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
    struct ticket_ring *ring = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ring_index);
    struct ticket_key key;
    int result = -1;

    if (ring == NULL)
        return 0;
    int place = take_key(ring, encrypt ? NULL : name, &key);

    if (place < 0)
        return encrypt ? -1 : 0;
    if (encrypt) {
        memcpy(name, key.name, NAME_BYTES);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher_of(&key))) == 1 &&
            EVP_EncryptInit_ex(cipher, cipher_of(&key), NULL, key.aes, iv) == 1 &&
            set_mac(mac, &key))
            result = 1;
    } else if (set_mac(mac, &key) &&
               EVP_DecryptInit_ex(cipher, cipher_of(&key), NULL, key.aes, iv) == 1) {
        result = place > 0 || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
    }
    OPENSSL_cleanse(&key, sizeof key);
    return result;
}

bool ticket_ring_use(struct ticket_ring *ring, SSL_CTX *context)
{
    pthread_once(&ring_once, make_ring_index);
    return SSL_CTX_set_ex_data(context, ring_index, ring) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) == 1;
}
