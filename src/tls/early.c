/* Early data: requests in the first message of a client that comes again (RFC 8446, 2.3; RFC 8470).
 *
 * For who reads and writes, the connection is established as soon as the first byte of such a
 * request is there; the handshake's end is read on the way, after the last one. Whoever listened
 * can send the first message again: it is accepted once by this process (replay.c), and what may be
 * done with such requests is for HTTP to decide. Runs in: worker, loop thread. */
#include "tls/conn_internal.h"
#include "tls/replay.h"
#include "tls/settings.h"

#include <assert.h>

static int accept_once(SSL *ssl, void *data)
{
    unsigned char random[SSL3_RANDOM_SIZE];

    (void)data;
    return SSL_get_client_random(ssl, random, sizeof random) == sizeof random &&
           replay_is_first(slice_make((const char *)random, sizeof random), replay_now_ms());
}

void tls_early_on(SSL_CTX *context, const struct tls_settings *settings)
{
    SSL_CTX_set_max_early_data(context, TLS_EARLY_BYTES_MAX);
    SSL_CTX_set_allow_early_data_cb(context, accept_once, NULL);
    if (settings->ticket_keys != NULL) /* a process before this one may have seen them, too */
        replay_begin(replay_now_ms());
}

bool tls_conn_is_early(const struct tls_conn *conn)
{
    return conn->unfinished && !SSL_is_init_finished(conn->ssl);
}

int tls_early_handshake(struct tls_conn *conn)
{
    size_t got = 0;

    switch (SSL_read_early_data(conn->ssl, &conn->first_byte, 1, &got)) {
    case SSL_READ_EARLY_DATA_SUCCESS:
        assert(got == 1);
        conn->tries_early = false;
        conn->in_early = true;
        conn->unfinished = true;
        conn->has_first_byte = true;
        return 1;
    case SSL_READ_EARLY_DATA_FINISH:
        conn->tries_early = false;
        return SSL_do_handshake(conn->ssl);
    default:
        return 0;
    }
}

static struct io_result give(size_t bytes)
{
    return (struct io_result){.kind = IO_DONE, .bytes = bytes};
}

struct io_result tls_early_recv(struct tls_conn *conn, void *data, size_t bytes)
{
    unsigned char *out = data;
    size_t used = 0;
    size_t got = 0;

    if (conn->has_first_byte) {
        out[used++] = conn->first_byte;
        conn->has_first_byte = false;
    }
    if (used == bytes)
        return give(used);
    int result = SSL_read_early_data(conn->ssl, out + used, bytes - used, &got);

    if (result == SSL_READ_EARLY_DATA_FINISH)
        conn->in_early = false;
    if (used + got > 0) /* why there is no more will be seen by the next read */
        return give(used + got);
    return result == SSL_READ_EARLY_DATA_FINISH ? tls_recv(conn, data, bytes) : tls_recv_none(conn);
}

int tls_early_write(struct tls_conn *conn, const void *data, size_t bytes, size_t *sent)
{
    if (!SSL_is_init_finished(conn->ssl))
        return SSL_write_early_data(conn->ssl, data, bytes, sent);
    conn->unfinished = false;
    return SSL_write_ex(conn->ssl, data, bytes, sent);
}
