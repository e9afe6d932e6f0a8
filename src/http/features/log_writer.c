#include "http/features/log_writer.h"

#include "base/log.h"
#include "config/snapshot.h"
#include "http/features/access_log.h"
#include "http/features/log_path.h"
#include "http/http_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum {
    TURN_BYTES_MAX = 65536,   /* lines of one turn beyond that go out before its end */
    KEEP_BYTES_MAX = 1 << 18, /* a buffer that one giant line made larger is not kept */
    FLUSH_MS_MAX = 60 * 1000,
    COMPLAIN_EVERY_MS = 60 * 1000,
    GZIP_WINDOW_BITS = 15 + 16, /* zlib's way to ask for a gzip header */
};

bool log_write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = slice_skip(bytes, (size_t)n);
    }
    return true;
}

/* One gzip member per flush: members one after the other are a gzip file. */
static bool write_gzip(int fd, struct slice bytes, int level)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes.data, .avail_in = (uInt)bytes.len};
    uLong bound;
    char *out;
    bool done = false;

    if (deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    bound = deflateBound(&z, (uLong)bytes.len);
    out = malloc(bound);
    if (out != NULL) {
        z.next_out = (Bytef *)out;
        z.avail_out = (uInt)bound;
        done = deflate(&z, Z_FINISH) == Z_STREAM_END &&
               log_write_all(fd, slice_make(out, bound - z.avail_out));
    }
    free(out);
    deflateEnd(&z);
    return done;
}

static void write_out(struct log_writer *writer, size_t bytes)
{
    struct slice lines = slice_make(writer->text.data, bytes);
    uint64_t now_ms = loop_now_ms(writer->loop);
    bool done;

    if (bytes == 0)
        return;
    if (writer->policy.gzip_level > 0)
        done = write_gzip(writer->file->fd, lines, writer->policy.gzip_level);
    else
        done = log_write_all(writer->file->fd, lines);
    if (!done && now_ms >= writer->complain_after_ms) {
        log_write(&log_process, LOG_LEVEL_ALERT, errno,
                  "write() to \"%.*s\" failed: lines are lost", SLICE_ARG(writer->file->path));
        writer->complain_after_ms = now_ms + COMPLAIN_EVERY_MS;
    }
    writer->text.len -= bytes;
    if (writer->text.len > 0)
        memmove(writer->text.data, writer->text.data + bytes, writer->text.len);
}

static void flush(struct log_writer *writer)
{
    struct snapshot *snapshot = writer->snapshot;

    write_out(writer, writer->text.len);
    deadline_disarm(&writer->deadline);
    if (writer->text.capacity > KEEP_BYTES_MAX)
        log_text_free(&writer->text);
    writer->snapshot = NULL;
    snapshot_unref(snapshot);
}

static void on_turn_end(struct task *task)
{
    flush((struct log_writer *)(void *)task);
}

static void on_flush_deadline(struct deadline *deadline)
{
    flush(container_of(deadline, struct log_writer, deadline));
}

static struct log_writer *writer_new(struct http_loop *http)
{
    struct log_writer *writer = calloc(1, sizeof *writer);

    if (writer == NULL)
        return NULL;
    writer->task.run = on_turn_end;
    writer->deadline.on_expire = on_flush_deadline;
    writer->loop = http->loop;
    return writer;
}

static bool grow(struct log_loop *writers, size_t fd)
{
    size_t capacity = writers->capacity == 0 ? 64 : writers->capacity;
    struct log_writer **grown;

    while (capacity <= fd)
        capacity *= 2;
    grown = realloc(writers->by_fd, capacity * sizeof(struct log_writer *));
    if (grown == NULL)
        return false;
    for (size_t i = writers->capacity; i < capacity; i++)
        grown[i] = NULL;
    writers->by_fd = grown;
    writers->capacity = capacity;
    return true;
}

struct log_loop *log_loop_of(struct http_loop *http)
{
    return http_loop_slot(http, &access_log_feature, sizeof(struct log_loop));
}

struct log_writer *log_writer_for(struct http_loop *http, const struct log_file *file)
{
    struct log_loop *writers = log_loop_of(http);
    size_t fd = (size_t)file->fd;

    if (writers == NULL || file->fd < 0 || (fd >= writers->capacity && !grow(writers, fd)))
        return NULL;
    if (writers->by_fd[fd] == NULL)
        writers->by_fd[fd] = writer_new(http);
    struct log_writer *writer = writers->by_fd[fd];

    /* The number may have been another file's before: of which nothing waits any more. */
    if (writer != NULL && writer->text.len == 0)
        writer->file = file;
    return writer;
}

/* Lines that wait are of one snapshot: its reference keeps file and descriptor. */
static void hold(struct log_writer *writer, struct snapshot *snapshot)
{
    if (writer->snapshot == NULL)
        writer->snapshot = snapshot_ref(snapshot);
}

static void commit_buffered(struct log_writer *writer, size_t start)
{
    const struct log_policy *policy = &writer->policy;
    uint64_t flush_ms = policy->flush_ms == 0 ? FLUSH_MS_MAX : policy->flush_ms;

    if (writer->text.len > policy->buffer_bytes)
        write_out(writer, start);
    if (writer->text.len > policy->buffer_bytes)
        flush(writer);
    else if (!deadline_armed(&writer->deadline))
        deadline_arm(writer->loop, &writer->deadline, flush_ms);
}

void log_writer_commit(struct log_writer *writer, struct snapshot *snapshot, size_t start,
                       const struct log_policy *policy)
{
    writer->policy = *policy;
    hold(writer, snapshot);
    if (policy->buffer_bytes > 0)
        commit_buffered(writer, start);
    else if (writer->text.len >= TURN_BYTES_MAX)
        flush(writer);
    else
        loop_defer(writer->loop, &writer->task);
}

void log_writers_flush(struct http_loop *http)
{
    struct log_loop *writers = log_loop_of(http);

    for (size_t i = 0; writers != NULL && i < writers->capacity; i++) {
        if (writers->by_fd[i] != NULL && writers->by_fd[i]->text.len > 0)
            flush(writers->by_fd[i]);
    }
}

/* A task that is still queued would run after its writer is gone: the last turn has run them all.
 */
void log_loop_close(struct http_loop *http)
{
    struct log_loop *writers = log_loop_of(http);

    if (writers == NULL)
        return;
    log_writers_flush(http);
    for (size_t i = 0; i < writers->capacity; i++) {
        if (writers->by_fd[i] != NULL)
            log_text_free(&writers->by_fd[i]->text);
        free(writers->by_fd[i]);
    }
    free(writers->by_fd);
    log_text_free(&writers->scratch);
    log_cache_free(writers->cache);
    *writers = (struct log_loop){0};
}
