/* Between the library and a socket of a loop. Runs in: worker, loop thread. */
#include "base/buf.h"
#include "event/socket.h"
#include "tls/away.h"
#include "tls/bio_internal.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static int take_early(struct tls_wire *wire, char *out, size_t bytes)
{
    struct buf *early = wire->early;
    size_t n = buf_used(early) < bytes ? buf_used(early) : bytes;

    memcpy(out, early->data + early->start, n);
    early->start += (uint32_t)n;
    if (buf_used(early) == 0) {
        buf_unref(early);
        wire->early = NULL;
    }
    return (int)n;
}

/* As socket_recv() and socket_send(), in a thread. */
static struct io_result result_of(ssize_t moved)
{
    if (moved > 0)
        return (struct io_result){.kind = IO_DONE, .bytes = (size_t)moved};
    if (moved == 0)
        return (struct io_result){.kind = IO_END};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return (struct io_result){.kind = IO_AGAIN};
    return (struct io_result){.kind = IO_FAILED, .error = errno};
}

static struct io_result receive(struct tls_wire *wire, char *out, size_t bytes)
{
    if (wire->away != NULL) {
        struct io_result got = result_of(tls_away_recv(wire->away, out, bytes));

        wire->drained = got.kind == IO_AGAIN; /* whether a FIN waits is not known here */
        return got;
    }
    struct io_result got = socket_recv(wire->io->fd, out, bytes);

    wire->drained = got.kind == IO_AGAIN || (got.kind == IO_DONE && got.bytes < bytes &&
                                             (wire->io->ready & IO_HANGUP) == 0);
    return got;
}

static int on_read(BIO *bio, char *out, int bytes)
{
    struct tls_wire *wire = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (bytes <= 0)
        return 0;
    if (wire->early != NULL)
        return take_early(wire, out, (size_t)bytes);
    if (wire->drained) {
        BIO_set_retry_read(bio);
        return -1;
    }
    struct io_result got = receive(wire, out, (size_t)bytes);

    wire->ended = got.kind == IO_END;
    if (got.kind == IO_DONE)
        return (int)got.bytes;
    if (got.kind == IO_AGAIN)
        BIO_set_retry_read(bio);
    wire->error = got.kind == IO_FAILED ? got.error : 0;
    return got.kind == IO_END ? 0 : -1;
}

static struct io_result send_bytes(struct tls_wire *wire, const char *data, size_t bytes)
{
    struct io *io = wire->io;
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    struct io_result sent = {.kind = IO_AGAIN};

    if (wire->away != NULL) {
        sent = result_of(tls_away_send_bytes(wire->away, data, bytes));
        wire->blocked = sent.kind == IO_AGAIN || (sent.kind == IO_DONE && sent.bytes < bytes);
        return sent;
    }
    if ((io->ready & IO_WRITE) != 0)
        sent = socket_send(io->fd, &part, 1, false);
    if (sent.kind == IO_AGAIN || (sent.kind == IO_DONE && sent.bytes < bytes))
        io->ready &= ~(unsigned)IO_WRITE;
    return sent;
}

static int on_write(BIO *bio, const char *data, int bytes)
{
    struct tls_wire *wire = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (bytes <= 0)
        return 0;
    struct io_result sent = send_bytes(wire, data, (size_t)bytes);

    if (sent.kind == IO_DONE)
        return (int)sent.bytes;
    if (sent.kind == IO_AGAIN)
        BIO_set_retry_write(bio);
    else
        wire->error = sent.error;
    return -1;
}

static long on_control(BIO *bio, int command, long number, void *pointer)
{
    struct tls_wire *wire = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return wire->ended;
    default:
        return 0;
    }
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop");
    if (method == NULL || BIO_meth_set_read(method, on_read) != 1 ||
        BIO_meth_set_write(method, on_write) != 1 || BIO_meth_set_ctrl(method, on_control) != 1) {
        BIO_meth_free(method);
        method = NULL;
    }
}

BIO *tls_bio_new(struct tls_wire *wire)
{
    pthread_once(&method_once, make_method);
    BIO *bio = method == NULL ? NULL : BIO_new(method);

    if (bio == NULL)
        return NULL;
    BIO_set_data(bio, wire);
    BIO_set_init(bio, 1);
    return bio;
}
