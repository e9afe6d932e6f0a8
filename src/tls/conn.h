/* One TLS connection on a socket of a loop: handshake, records, end.
 *
 * Reads and writes go through the socket's `io`: nothing is asked of the kernel that it has not
 * announced, and `io->ready` says for decrypted bytes what it says for plain ones: IO_READ may be
 * cleared only by tls_recv(), IO_WRITE only by tls_send(). Between two requests it keeps no buffer.
 * Runs in: worker, the loop's thread. */
#pragma once

#include "base/slice.h"
#include "event/loop.h"
#include "event/socket.h"
#include "tls/failure.h"

#include <stdbool.h>

struct buf;
struct arena;
struct offload;
struct template;
struct tls_conn;
struct tls_server;

/* What the protocol above decides during a handshake. `owner` is its connection. */
struct tls_choice {
    /* The server for a name the client asked for (lower case, without the last dot; empty: it named
     * none). NULL: refuse with unrecognized_name. */
    const struct tls_server *(*server)(void *owner, struct slice name);
    /* A certificate's or key's name with its variables filled in, into `out` (terminated). False:
     * cannot. */
    bool (*text)(void *owner, const struct template *template, char *out, size_t out_bytes);
    /* Protocols offered by ALPN to clients of the server that was chosen, in wire form, in the
     * order of preference; empty: none. */
    struct slice (*alpn)(void *owner);
    /* Something has happened elsewhere: call tls_handshake(). NULL: `keys` is never given. */
    void (*resume)(void *owner);
};

struct tls_accept {
    struct loop *loop;
    struct io *io;                     /* borrowed: the connection's, watched by it */
    const struct tls_server *fallback; /* its context is there before a name is known */
    const struct tls_choice *choice;
    void *owner;
    struct offload *keys; /* borrowed: threads for handshakes with expensive keys; NULL: none */
    struct buf *early; /* bytes of the handshake read already; the reference is taken. NULL: none */
};

/* NULL: no memory (`early` stays the caller's). */
struct tls_conn *tls_accept(const struct tls_accept *accept);

/* Frees; the socket stays open. What a graceful end takes: tls_close_notify() before. NULL is
 * fine. */
void tls_conn_free(struct tls_conn *conn);

enum tls_progress {
    TLS_MORE,
    TLS_DONE,
    TLS_FAILED,
    TLS_NEEDS_KEY, /* never told to owners: the next step is for a thread */
};

/* Goes on with the handshake. TLS_FAILED: tls_why() says what happened. */
enum tls_progress tls_handshake(struct tls_conn *conn);
const char *tls_why(const struct tls_conn *conn);
/* The kind of it. TLS_FAILURE_OURS: a certificate that cannot be used, not the client's fault. */
enum tls_failure tls_failure(const struct tls_conn *conn);

/* Was a session of before resumed? */
bool tls_conn_is_resumed(const struct tls_conn *conn);

/* Is what was read so far early data (RFC 8470): requests in the client's first message, which who
 * listened may send again? */
bool tls_conn_is_early(const struct tls_conn *conn);

/* What ALPN chose ("h2"); empty: nothing. */
struct slice tls_conn_protocol(const struct tls_conn *conn);

/* After the handshake another owner goes on with the same socket, watched with another `io`. */
void tls_conn_move(struct tls_conn *conn, struct io *io, void *owner);

/* To be told of every event of the socket before anything else; gives the events that matter to
 * the reader of decrypted bytes. */
unsigned tls_on_events(struct tls_conn *conn, unsigned events);

struct io_result tls_recv(struct tls_conn *conn, void *data, size_t bytes);

/* Takes as many of the parts as fit into one record: IO_DONE with fewer bytes than asked for is no
 * sign of a full socket (`io->ready` says that). After IO_AGAIN the same bytes must come again,
 * others may follow them. */
struct io_result tls_send(struct tls_conn *conn, const struct iovec *parts, int count);

/* The same for a part of a file; advances `*offset`. IO_END: the file is shorter. */
struct io_result tls_sendfile(struct tls_conn *conn, int file_fd, off_t *offset, size_t bytes);

/* Tells the peer that nothing follows; what does not fit into the socket is not sent. */
void tls_close_notify(struct tls_conn *conn);

/* Would `server` have made the same handshake as the one that was chosen: its certificates, and
 * whom it trusts? If not, a request for it does not belong on this connection. */
bool tls_conn_is_for(const struct tls_conn *conn, const struct tls_server *server);

struct ssl_st *tls_conn_ssl(struct tls_conn *conn);

/* Does the first byte of a connection belong to TLS? */
static inline bool tls_is_hello(unsigned char byte)
{
    return byte == 22 || (byte & 0x80) != 0;
}
