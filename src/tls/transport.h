/* Bytes over a socket, in the clear or by TLS: what codecs use instead of event/socket.h.
 *
 * `tls` NULL is the plain socket, for one comparison more. All keep `io->ready` true: a bit that is
 * gone means that the loop will announce it again. Runs in: worker, the loop's thread. */
#pragma once

#include "tls/conn.h"

/* A short read has emptied the socket, unless the end of the stream is still to be read. */
static inline struct io_result transport_recv(struct io *io, struct tls_conn *tls, void *data,
                                              size_t bytes)
{
    if (tls != NULL)
        return tls_recv(tls, data, bytes);
    struct io_result got = socket_recv(io->fd, data, bytes);

    if (got.kind != IO_DONE || (got.bytes < bytes && (io->ready & (IO_HANGUP | IO_ERROR)) == 0))
        io->ready &= ~(unsigned)IO_READ;
    return got;
}

static inline struct io_result transport_send(struct io *io, struct tls_conn *tls,
                                              const struct iovec *parts, int count,
                                              bool more_follows)
{
    if (tls != NULL)
        return tls_send(tls, parts, count);
    struct io_result sent = socket_send(io->fd, parts, count, more_follows);
    size_t asked = 0;

    for (int i = 0; i < count; i++)
        asked += parts[i].iov_len;
    if (sent.kind == IO_AGAIN || (sent.kind == IO_DONE && sent.bytes < asked))
        io->ready &= ~(unsigned)IO_WRITE;
    return sent;
}

static inline struct io_result transport_sendfile(struct io *io, struct tls_conn *tls, int file_fd,
                                                  off_t *offset, size_t bytes)
{
    if (tls != NULL)
        return tls_sendfile(tls, file_fd, offset, bytes);
    struct io_result sent = socket_sendfile(io->fd, file_fd, offset, bytes);

    if (sent.kind == IO_AGAIN)
        io->ready &= ~(unsigned)IO_WRITE;
    return sent;
}

/* Nothing more will be sent: a close_notify, if there is TLS, and a FIN. False: errno. */
bool transport_shutdown(struct io *io, struct tls_conn *tls);
