/* The part of an answer that the client has not taken yet and memory may not hold: in a file
 * without a name.
 *
 * The file is written at `end` and read from `sent`; when all of it was queued and sent it begins
 * anew, so that its size is bounded by what waits, not by the answer. Runs in: worker, loop thread.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "http/chunk.h"
#include "http/relay/relay_internal.h"
#include "http/response.h"
#include "http/temp_file.h"

#include <errno.h>
#include <unistd.h>

/* From the file into the queue at a time, when the bytes go out of the file by themselves. */
enum { FEED_BYTES = 1 << 20 };

bool relay_spool_open(const struct relay *r)
{
    return (r->flags & RELAY_UNBUFFERED) == 0 && !r->spool.useless &&
           r->spool.end < r->conf->max_temp_file_size;
}

static bool open_file(struct relay *r)
{
    struct exchange *x = r->x;

    r->spool.fd = temp_file_create(x, r->conf->temp_path);
    r->spool.useless = r->spool.fd < 0;
    if (r->spool.fd >= 0)
        log_about(&x->log, LOG_LEVEL_WARN, 0,
                  "an upstream response is buffered to a temporary file in \"%.*s\"",
                  SLICE_ARG(r->conf->temp_path));
    return r->spool.fd >= 0;
}

static bool write_all(const struct relay_spool *spool, struct slice bytes)
{
    uint64_t at = spool->end;

    while (bytes.len > 0) {
        ssize_t n = pwrite(spool->fd, bytes.data, bytes.len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = slice_skip(bytes, (size_t)n);
        at += (uint64_t)n;
    }
    return true;
}

bool relay_spool_bytes(struct relay *r, struct slice bytes)
{
    if (!relay_spool_open(r))
        return false;
    if (r->spool.fd < 0 && !open_file(r))
        return false;
    if (!write_all(&r->spool, bytes)) {
        log_about(&r->x->log, LOG_LEVEL_CRIT, errno,
                  "cannot write to a temporary file; the upstream has to wait for the client");
        r->spool.useless = true;
        return false;
    }
    r->spool.end += bytes.len;
    return true;
}

/* Filters want bytes in memory. */
static bool feed_memory(struct relay *r, uint64_t bytes)
{
    struct buf *buf = buf_get(loop_bufs(r->x->loop));
    size_t want = bytes < BUF_BYTES ? (size_t)bytes : BUF_BYTES;
    struct chunk *chunk;
    ssize_t n;

    if (buf == NULL)
        return false;
    do {
        n = pread(r->spool.fd, buf->data, want, (off_t)r->spool.sent);
    } while (n < 0 && errno == EINTR);
    chunk = n <= 0 ? NULL : chunk_memory(r->x, slice_make(buf->data, (size_t)n), buf);
    if (chunk == NULL) {
        buf_unref(buf);
        return false;
    }
    r->spool.sent += (uint64_t)n;
    return response_write(r->x, chunk);
}

static bool feed_file(struct relay *r, uint64_t bytes)
{
    uint64_t part = bytes < FEED_BYTES ? bytes : FEED_BYTES;
    struct chunk *chunk = chunk_file(r->x, r->spool.fd, (off_t)r->spool.sent, part);

    if (chunk == NULL)
        return false;
    r->spool.sent += part;
    return response_write(r->x, chunk);
}

/* Nothing of the file is needed any more: it can begin anew. */
static void rewind_file(struct relay *r)
{
    if (r->spool.end == 0 || r->x->response.queued_bytes > 0)
        return;
    if (ftruncate(r->spool.fd, 0) != 0)
        return; /* it only stays as large as it is */
    r->spool.sent = 0;
    r->spool.end = 0;
}

bool relay_spool_feed(struct relay *r)
{
    struct exchange *x = r->x;

    while (relay_spooled(r) && x->response.queued_bytes < r->conf->queue_bytes_max) {
        uint64_t bytes = r->spool.end - r->spool.sent;
        bool fed = x->response.filters != NULL ? feed_memory(r, bytes) : feed_file(r, bytes);

        if (!fed)
            return false;
    }
    if (!relay_spooled(r))
        rewind_file(r);
    return true;
}

void relay_spool_fini(struct relay *r)
{
    if (r->spool.fd >= 0)
        close(r->spool.fd);
    r->spool.fd = -1;
}
