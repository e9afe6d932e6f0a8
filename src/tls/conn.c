/* One TLS connection on a socket of a loop. Runs in: worker, loop thread. */
#include "tls/conn_internal.h"

#include "base/buf.h"
#include "base/list.h"
#include "tls/keypair.h"
#include "tls/memory.h"
#include "tls/server_internal.h"
#include "tls/transport.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RECORD_BYTES_MAX = 16384,
    RECORD_BYTES_SMALL = 4096, /* fits into the first packets of a connection */
    BURST_BYTES = 16384,       /* are sent in small records: what an idle TCP sends at once */
    BURST_PAUSE_MS = 1000,
};

struct tls_conn *tls_conn_of(const SSL *ssl)
{
    struct tls_wire *wire = BIO_get_data(SSL_get_rbio(ssl));

    return container_of(wire, struct tls_conn, wire);
}

/* It is empty nearly always, and to see that costs a fifth of emptying it. */
static void forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

struct tls_conn *tls_conn_new(SSL_CTX *context, struct loop *loop, struct io *io)
{
    struct tls_conn *conn = calloc(1, sizeof *conn);
    BIO *bio = conn == NULL ? NULL : tls_bio_new(&conn->wire);
    SSL *ssl = bio == NULL ? NULL : SSL_new(context);

    if (ssl == NULL) {
        BIO_free(bio);
        free(conn);
        return NULL;
    }
    tls_memory_keep();
    SSL_set_bio(ssl, bio, bio); /* takes it over */
    conn->ssl = ssl;
    conn->loop = loop;
    conn->wire.io = io;
    return conn;
}

struct tls_conn *tls_accept(const struct tls_accept *accept)
{
    struct tls_conn *conn = tls_conn_new(accept->fallback->context, accept->loop, accept->io);

    if (conn == NULL)
        return NULL;
    SSL_set_accept_state(conn->ssl);
    conn->tries_early = accept->fallback->store->early_data;
    conn->keys = accept->keys;
    conn->choice = accept->choice;
    conn->owner = accept->owner;
    conn->wire.early = accept->early;
    conn->wire.drained = (accept->io->ready & (IO_READ | IO_HANGUP | IO_ERROR)) == 0;
    return conn;
}

void tls_conn_free(struct tls_conn *conn)
{
    if (conn == NULL)
        return;
    if (conn->away != NULL) {
        tls_away_abandon(conn); /* freed when it comes home */
        return;
    }
    if (conn->established && !conn->failed) /* or the library would forget the session */
        SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(conn->ssl);
    buf_unref(conn->wire.early);
    free(conn->session_key);
    free(conn->why);
    free(conn);
}

void tls_set_why(struct tls_conn *conn, const char *what)
{
    char text[256];
    char line[400];

    if (conn->why != NULL)
        return; /* the first reason is the cause of the others */
    long verify = SSL_is_server(conn->ssl) ? X509_V_OK : SSL_get_verify_result(conn->ssl);

    snprintf(line, sizeof line, "%s (%s)%s%s", what, tls_error_text(text, sizeof text),
             verify == X509_V_OK ? "" : ": certificate verify error: ",
             verify == X509_V_OK ? "" : X509_verify_cert_error_string(verify));
    conn->why = strdup(line);
}

const char *tls_why(const struct tls_conn *conn)
{
    return conn->why == NULL ? "the connection was closed" : conn->why;
}

enum tls_failure tls_failure(const struct tls_conn *conn)
{
    return conn->fault_is_ours ? TLS_FAILURE_OURS : conn->failure;
}

bool tls_conn_is_resumed(const struct tls_conn *conn)
{
    return SSL_session_reused(conn->ssl) == 1;
}

/* What the library's first error is to operators. */
static enum tls_failure failure_of(unsigned long error)
{
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET)
        return TLS_FAILURE_ALERT;
    switch (ERR_GET_REASON(error)) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return TLS_FAILURE_OFFER;
    default:
        return TLS_FAILURE_PROTOCOL;
    }
}

struct ssl_st *tls_conn_ssl(struct tls_conn *conn)
{
    return conn->ssl;
}

bool tls_conn_is_for(const struct tls_conn *conn, const struct tls_server *server)
{
    return memcmp(conn->session_context, server->session_context, sizeof conn->session_context) ==
           0;
}

unsigned tls_on_events(struct tls_conn *conn, unsigned events)
{
    if (conn->away != NULL) {
        conn->missed |= events;
        return events;
    }
    if ((events & (IO_READ | IO_HANGUP | IO_ERROR)) != 0)
        conn->wire.drained = false;
    if ((events & IO_WRITE) != 0 && conn->read_wants_write) {
        conn->read_wants_write = false;
        conn->wire.io->ready |= IO_READ;
        events |= IO_READ;
    }
    return events;
}

enum tls_progress tls_shake(struct tls_conn *conn)
{
    forget_errors();
    int result = conn->tries_early ? tls_early_handshake(conn) : SSL_do_handshake(conn->ssl);

    if (result == 1) {
        conn->established = true;
        return TLS_DONE;
    }
    switch (SSL_get_error(conn->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_MORE;
    case SSL_ERROR_WANT_X509_LOOKUP:
        return TLS_NEEDS_KEY;
    case SSL_ERROR_SYSCALL:
        conn->failed = true;
        conn->failure = TLS_FAILURE_CLOSED;
        if (conn->why == NULL && conn->wire.error == 0)
            conn->why = strdup("the peer closed the connection");
        return TLS_FAILED;
    default:
        conn->failed = true;
        if (conn->wire.ended)
            conn->failure = TLS_FAILURE_CLOSED;
        else if (conn->failure == TLS_FAILURE_PROTOCOL)
            conn->failure = failure_of(ERR_peek_error());
        tls_set_why(conn, "SSL_do_handshake() failed");
        return TLS_FAILED;
    }
}

static enum tls_progress send_away(struct tls_conn *conn)
{
    if (tls_away_send(conn))
        return TLS_MORE;
    conn->failed = true;
    conn->fault_is_ours = true;
    if (conn->why == NULL)
        conn->why = strdup("too many handshakes wait for the private key");
    return TLS_FAILED;
}

enum tls_progress tls_handshake(struct tls_conn *conn)
{
    enum tls_progress progress = TLS_MORE;

    if (conn->away != NULL)
        return TLS_MORE;
    if (conn->is_home)
        progress = conn->away_result;
    conn->is_home = false;
    if (progress == TLS_MORE)
        progress = tls_away_is_next(conn) ? TLS_NEEDS_KEY : tls_shake(conn);
    if (progress == TLS_NEEDS_KEY)
        return send_away(conn);
    if (progress == TLS_DONE && (!conn->wire.drained || SSL_has_pending(conn->ssl)))
        conn->wire.io->ready |= IO_READ;
    return progress;
}

/* ---- bytes */

static struct io_result done(size_t bytes)
{
    return (struct io_result){.kind = IO_DONE, .bytes = bytes};
}

static struct io_result fail(struct tls_conn *conn, const char *what)
{
    conn->failed = true;
    tls_set_why(conn, what);
    return (struct io_result){.kind = IO_FAILED,
                              .error = conn->wire.error != 0 ? conn->wire.error : EPROTO};
}

struct io_result tls_recv_none(struct tls_conn *conn)
{
    struct io *io = conn->wire.io;

    switch (SSL_get_error(conn->ssl, 0)) {
    case SSL_ERROR_WANT_WRITE:
        conn->read_wants_write = true;
        break;
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_ZERO_RETURN:
        io->ready &= ~(unsigned)IO_READ;
        return (struct io_result){.kind = IO_END};
    default:
        io->ready &= ~(unsigned)IO_READ;
        if (conn->wire.ended && conn->wire.error == 0)
            return (struct io_result){.kind = IO_END};
        return fail(conn, "SSL_read() failed");
    }
    io->ready &= ~(unsigned)IO_READ;
    return (struct io_result){.kind = IO_AGAIN};
}

struct io_result tls_recv(struct tls_conn *conn, void *data, size_t bytes)
{
    size_t got = 0;

    if (bytes == 0)
        return done(0);
    forget_errors();
    if (conn->in_early)
        return tls_early_recv(conn, data, bytes);
    if (SSL_read_ex(conn->ssl, data, bytes, &got) != 1)
        return tls_recv_none(conn);
    if (conn->wire.drained && SSL_has_pending(conn->ssl) == 0)
        conn->wire.io->ready &= ~(unsigned)IO_READ;
    return done(got);
}

/* How large the next record may be. Small ones at the beginning can be read by the client before
 * the last packet of a large one has come. */
static size_t record_limit(struct tls_conn *conn)
{
    uint64_t now_ms = loop_now_ms(conn->loop);
    size_t limit = conn->record_bytes;

    if (limit == 0) {
        if (now_ms - conn->last_ms > BURST_PAUSE_MS)
            conn->burst_bytes = 0;
        conn->last_ms = now_ms;
        limit = conn->burst_bytes < BURST_BYTES ? RECORD_BYTES_SMALL : RECORD_BYTES_MAX;
    }
    return limit < conn->pending_bytes ? conn->pending_bytes : limit;
}

/* `bytes` is at most one record. */
static struct io_result write_record(struct tls_conn *conn, const void *data, size_t bytes)
{
    size_t sent = 0;

    assert(bytes <= RECORD_BYTES_MAX);
    if (bytes == 0)
        return done(0);
    forget_errors();
    int result = conn->unfinished ? tls_early_write(conn, data, bytes, &sent)
                                  : SSL_write_ex(conn->ssl, data, bytes, &sent);

    if (result == 1) {
        conn->pending_bytes = 0;
        if (conn->burst_bytes < BURST_BYTES)
            conn->burst_bytes += (uint32_t)sent;
        return done(sent);
    }
    if (SSL_get_error(conn->ssl, 0) != SSL_ERROR_WANT_WRITE)
        return fail(conn, "SSL_write() failed");
    conn->wire.io->ready &= ~(unsigned)IO_WRITE;
    conn->pending_bytes = (uint32_t)bytes;
    return (struct io_result){.kind = IO_AGAIN};
}

struct io_result tls_send(struct tls_conn *conn, const struct iovec *parts, int count)
{
    size_t limit = record_limit(conn);
    char together[RECORD_BYTES_MAX];
    size_t used = 0;

    if (count > 0 && (count == 1 || parts[0].iov_len >= limit))
        return write_record(conn, parts[0].iov_base,
                            parts[0].iov_len < limit ? parts[0].iov_len : limit);
    for (int i = 0; i < count && used < limit; i++) {
        size_t n = parts[i].iov_len < limit - used ? parts[i].iov_len : limit - used;

        memcpy(together + used, parts[i].iov_base, n);
        used += n;
    }
    return write_record(conn, together, used);
}

struct io_result tls_sendfile(struct tls_conn *conn, int file_fd, off_t *offset, size_t bytes)
{
    size_t limit = record_limit(conn);
    char data[RECORD_BYTES_MAX];
    ssize_t got;

    do {
        got = pread(file_fd, data, bytes < limit ? bytes : limit, *offset);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return (struct io_result){.kind = IO_FAILED, .error = errno};
    if (got == 0)
        return (struct io_result){.kind = IO_END};
    struct io_result sent = write_record(conn, data, (size_t)got);

    if (sent.kind == IO_DONE)
        *offset += (off_t)sent.bytes;
    return sent;
}

void tls_close_notify(struct tls_conn *conn)
{
    if (conn->away != NULL || !conn->established || conn->failed || conn->pending_bytes > 0)
        return;
    ERR_clear_error();
    if (conn->unfinished && !SSL_is_init_finished(conn->ssl))
        (void)SSL_do_handshake(conn->ssl); /* its end has come by now, most likely */
    if (SSL_shutdown(conn->ssl) < 0)
        ERR_clear_error();
}

bool transport_shutdown(struct io *io, struct tls_conn *tls)
{
    if (tls != NULL)
        tls_close_notify(tls);
    return shutdown(io->fd, SHUT_WR) == 0;
}

struct slice tls_conn_protocol(const struct tls_conn *conn)
{
    const unsigned char *name = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(conn->ssl, &name, &len);
    return slice_make((const char *)name, len);
}

void tls_conn_move(struct tls_conn *conn, struct io *io, void *owner)
{
    assert(conn->established);
    conn->wire.io = io;
    conn->owner = owner;
}
