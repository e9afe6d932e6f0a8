/* Handshakes in a thread. Runs in: loop thread, but for work() and what the library calls within
 * it: a thread of the pool. `abandoned` and the socket are guarded by the lock. */
#include "tls/away.h"

#include "base/list.h"
#include "event/offload.h"
#include "tls/conn_internal.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { CHEAP_EC_BITS_MAX = 256 };

struct tls_away {
    struct job job;
    struct tls_conn *conn;
    pthread_mutex_t lock;
    bool abandoned; /* the socket is not ours any more */
    int fd;         /* borrowed */
};

bool tls_key_is_costly(EVP_PKEY *key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_ED25519:
        return false;
    case EVP_PKEY_EC:
        return EVP_PKEY_get_bits(key) > CHEAP_EC_BITS_MAX;
    default:
        return true;
    }
}

/* The first call of a full handshake, in the loop, ends the step before anything is signed. */
static int on_certificate(SSL *ssl, void *data)
{
    const struct tls_conn *conn = tls_conn_of(ssl);

    (void)data;
    return conn->costly && conn->away == NULL && conn->wire.early == NULL ? -1 : 1;
}

void tls_away_on(SSL_CTX *context)
{
    SSL_CTX_set_cert_cb(context, on_certificate, NULL);
}

bool tls_away_is_next(const struct tls_conn *conn)
{
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(conn->ssl);

    return conn->costly && cipher != NULL && SSL_CIPHER_get_kx_nid(cipher) == NID_kx_rsa &&
           conn->wire.early == NULL && !SSL_session_reused(conn->ssl);
}

static void work(struct job *job)
{
    struct tls_away *away = container_of(job, struct tls_away, job);

    away->conn->away_result = tls_shake(away->conn);
}

/* What the kernel announced meanwhile counts more than what the thread found before. */
static void settle(struct tls_conn *conn)
{
    unsigned missed = conn->missed;

    if ((missed & (IO_READ | IO_HANGUP | IO_ERROR)) != 0)
        conn->wire.drained = false;
    if (conn->wire.blocked && (missed & IO_WRITE) == 0)
        conn->wire.io->ready &= ~(unsigned)IO_WRITE;
    conn->wire.blocked = false;
    conn->missed = 0;
}

static void come_home(struct job *job)
{
    struct tls_away *away = container_of(job, struct tls_away, job);
    struct tls_conn *conn = away->conn;
    bool abandoned = away->abandoned;

    conn->away = NULL;
    conn->wire.away = NULL;
    pthread_mutex_destroy(&away->lock);
    free(away);
    if (abandoned) {
        tls_conn_free(conn);
        return;
    }
    settle(conn);
    conn->is_home = true;
    conn->choice->resume(conn->owner); /* frees `conn`, perhaps: nothing may follow */
}

bool tls_away_send(struct tls_conn *conn)
{
    struct tls_away *away = calloc(1, sizeof *away);

    assert(conn->away == NULL);
    assert(!conn->is_home);
    if (away == NULL)
        return false;
    pthread_mutex_init(&away->lock, NULL);
    away->job.work = work;
    away->job.done = come_home;
    away->conn = conn;
    away->fd = conn->wire.io->fd;
    conn->away = away;
    conn->wire.away = away;
    if (offload_submit(conn->keys, conn->loop, &away->job))
        return true;
    conn->away = NULL;
    conn->wire.away = NULL;
    pthread_mutex_destroy(&away->lock);
    free(away);
    return false;
}

void tls_away_abandon(struct tls_conn *conn)
{
    pthread_mutex_lock(&conn->away->lock);
    conn->away->abandoned = true;
    pthread_mutex_unlock(&conn->away->lock);
}

/* ---- in the thread */

ssize_t tls_away_recv(struct tls_away *away, void *data, size_t bytes)
{
    ssize_t got = -1;

    errno = ECONNABORTED;
    pthread_mutex_lock(&away->lock);
    if (!away->abandoned)
        got = recv(away->fd, data, bytes, MSG_DONTWAIT);
    pthread_mutex_unlock(&away->lock);
    return got;
}

ssize_t tls_away_send_bytes(struct tls_away *away, const void *data, size_t bytes)
{
    ssize_t sent = -1;

    errno = ECONNABORTED;
    pthread_mutex_lock(&away->lock);
    if (!away->abandoned)
        sent = send(away->fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    pthread_mutex_unlock(&away->lock);
    return sent;
}
