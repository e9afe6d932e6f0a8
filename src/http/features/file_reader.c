#include "http/features/file_reader.h"

#include "base/arena.h"
#include "base/buf.h"
#include "event/offload.h"
#include "http/chunk.h"
#include "http/core_conf.h"
#include "http/http_loop.h"
#include "http/response.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 128 * 1024,   /* what a thread reads at once */
    AHEAD_BYTES = 2 * BUF_BYTES /* how much may wait to be sent */
};

struct file_reader {
    struct exchange *x;
    struct read_job *job; /* running; NULL: none */
    int fd;               /* borrowed */
    uint64_t offset;
    uint64_t left;
    bool in_threads;
};

/* Outlives an exchange that ends meanwhile; then it owns its copy of the descriptor alone. */
struct read_job {
    struct job job;             /* first */
    struct file_reader *reader; /* NULL: the exchange has gone */
    int fd;                     /* owned */
    uint64_t offset;
    size_t wanted;
    ssize_t got;
    int error;
    char *bytes; /* heap */
};

static void go_on(struct exchange *x);

static void job_free(struct read_job *job)
{
    if (job->fd >= 0)
        close(job->fd);
    free(job->bytes);
    free(job);
}

static void job_work(struct job *base)
{
    struct read_job *job = container_of(base, struct read_job, job);

    do
        job->got = pread(job->fd, job->bytes, job->wanted, (off_t)job->offset);
    while (job->got < 0 && errno == EINTR);
    job->error = errno;
}

static void give_up(struct exchange *x, int error)
{
    log_about(&x->log, LOG_LEVEL_CRIT, error, "%s",
              error == 0 ? "a file became shorter while it was being sent" : "pread() failed");
    exchange_abort(x, false);
}

/* Copies into the loop's buffers: what a thread allocated would have to be freed piece by piece
 * anyway, and chunks hold buffers. */
static bool write_copy(struct exchange *x, const char *bytes, size_t count)
{
    while (count > 0) {
        struct buf *buf = buf_get(loop_bufs(x->loop));

        if (buf == NULL)
            return false;
        size_t n = count < buf->capacity ? count : buf->capacity;

        memcpy(buf->data, bytes, n);
        struct chunk *chunk = chunk_memory(x, slice_make(buf->data, n), buf);

        if (chunk == NULL) {
            buf_unref(buf);
            return false;
        }
        if (!response_write(x, chunk))
            return false;
        bytes += n;
        count -= n;
    }
    return true;
}

static void job_done(struct job *base)
{
    struct read_job *job = container_of(base, struct read_job, job);
    struct file_reader *reader = job->reader;

    if (reader == NULL) {
        job_free(job);
        return;
    }
    struct exchange *x = reader->x;
    int error = job->got < 0 ? job->error : 0;
    bool ok = job->got > 0 && write_copy(x, job->bytes, (size_t)job->got);

    reader->job = NULL;
    reader->offset += job->got > 0 ? (size_t)job->got : 0;
    reader->left -= job->got > 0 ? (size_t)job->got : 0;
    job_free(job);
    if (ok)
        go_on(x);
    else
        give_up(x, error);
}

static void forget(void *data)
{
    struct file_reader *reader = data;

    if (reader->job != NULL)
        reader->job->reader = NULL;
}

static bool submit(struct file_reader *reader)
{
    struct exchange *x = reader->x;
    struct read_job *job = calloc(1, sizeof *job);

    if (job == NULL)
        return false;
    job->wanted = reader->left < PIECE_BYTES ? (size_t)reader->left : PIECE_BYTES;
    job->bytes = malloc(job->wanted);
    job->fd = dup(reader->fd);
    job->offset = reader->offset;
    job->reader = reader;
    job->job.work = job_work;
    job->job.done = job_done;
    if (job->bytes == NULL || job->fd < 0 ||
        !offload_submit(x->http->shared->offload, x->loop, &job->job)) {
        job_free(job);
        return false;
    }
    reader->job = job;
    return true;
}

static bool read_here(struct file_reader *reader, int *error)
{
    struct exchange *x = reader->x;
    struct buf *buf = buf_get(loop_bufs(x->loop));
    ssize_t got;

    *error = ENOMEM;
    if (buf == NULL)
        return false;
    size_t wanted = reader->left < buf->capacity ? (size_t)reader->left : buf->capacity;

    do
        got = pread(reader->fd, buf->data, wanted, (off_t)reader->offset);
    while (got < 0 && errno == EINTR);
    *error = got < 0 ? errno : 0;
    struct chunk *chunk = got > 0 ? chunk_memory(x, slice_make(buf->data, (size_t)got), buf) : NULL;

    if (chunk == NULL) {
        buf_unref(buf);
        return false;
    }
    reader->offset += (size_t)got;
    reader->left -= (size_t)got;
    return response_write(x, chunk);
}

/* Until there is enough to send, or a thread has been asked. */
static void go_on(struct exchange *x)
{
    struct file_reader *reader = x->handler_data;
    int error;

    while (reader->left > 0 && response_room(x, AHEAD_BYTES) > 0) {
        if (reader->job != NULL)
            return;
        if (reader->in_threads && submit(reader))
            break;
        if (!read_here(reader, &error)) {
            give_up(x, error);
            return;
        }
    }
    if (reader->left == 0 && !x->response.ended) {
        if (!response_end(x)) {
            exchange_abort(x, false);
            return;
        }
    } else if (reader->left > 0 && reader->job == NULL) {
        response_wait_room(x, go_on);
    }
    response_flush(x);
}

void file_reader_start(struct exchange *x, int fd, uint64_t offset, uint64_t bytes)
{
    const struct core_conf *core = core_of(x);
    struct file_reader *reader = arena_alloc(x->subject.arena, sizeof *reader);

    if (reader == NULL || !arena_on_drop(x->subject.arena, forget, reader)) {
        exchange_abort(x, false);
        return;
    }
    *reader = (struct file_reader){
        .x = x,
        .fd = fd,
        .offset = offset,
        .left = bytes,
        .in_threads = (core->aio_threads || bytes >= core->directio) && x->http->shared != NULL &&
                      x->http->shared->offload != NULL,
    };
    x->handler_data = reader;
    go_on(x);
}
