#include "http/body.h"

#include "base/arena.h"
#include "base/buf.h"
#include "event/loop.h"
#include "http/chunk.h"
#include "http/core_conf.h"
#include "http/temp_file.h"

#include <assert.h>
#include <errno.h>

/* Kept in the exchange's arena while a body is read to its end. */
struct gather {
    void (*then)(struct exchange *x);
    struct chunk *memory; /* pieces that stay in memory: what came before the file began */
    struct chunk **memory_last;
    uint64_t memory_bytes;
};

bool body_expected(const struct exchange *x)
{
    if (x->body.first != NULL)
        return true;
    return !x->body.complete && body_declared(x);
}

struct chunk *body_take(struct exchange *x)
{
    struct chunk *chunk = x->body.first;

    if (chunk == NULL)
        return NULL;
    x->body.first = chunk->next;
    if (x->body.first == NULL)
        x->body.last = &x->body.first;
    x->body.queued_bytes -= chunk->bytes.len;
    chunk->next = NULL;
    return chunk;
}

void body_more(struct exchange *x)
{
    if (!x->body.complete && !x->body.failed)
        x->codec->read_body(x);
}

void body_stream(struct exchange *x, size_t memory_max, void (*on_data)(struct exchange *x))
{
    x->body.started = true;
    x->body.memory_max = memory_max;
    x->body.on_data = on_data;
    if (!body_expected(x)) {
        x->body.complete = true;
        on_data(x);
        return;
    }
    x->codec->read_body(x);
}

static bool open_file(struct exchange *x)
{
    const struct core_conf *core = core_of(x);

    if (core->client_body_in_file_only == BODY_FILE_OFF)
        return temp_file_open(x, core->client_body_temp_path);
    return temp_file_open_named(x, core->client_body_temp_path,
                                core->client_body_in_file_only == BODY_FILE_CLEAN);
}

/* Moves all waiting chunks to the end of the file. */
static bool spill(struct exchange *x)
{
    struct chunk *chunk;

    if (x->body.temp_fd < 0 && !open_file(x))
        return false;
    while ((chunk = body_take(x)) != NULL) {
        bool written = temp_file_append(x, x->body.temp_fd, chunk->bytes);

        x->body.temp_bytes += chunk->bytes.len;
        chunk_release(x, chunk);
        if (!written)
            return false;
    }
    return true;
}

static void keep(struct exchange *x, struct gather *gather)
{
    struct chunk *chunk;

    while ((chunk = body_take(x)) != NULL) {
        gather->memory_bytes += chunk->bytes.len;
        if (gather->memory != NULL &&
            chunk_join(container_of(gather->memory_last, struct chunk, next), chunk->bytes,
                       chunk->buf)) {
            chunk_release(x, chunk);
            continue;
        }
        *gather->memory_last = chunk;
        gather->memory_last = &chunk->next;
    }
}

void body_forsake(struct exchange *x)
{
    struct gather *gather = x->body_gather;

    x->flags |= X_CLOSE_AFTER | X_LINGER;
    chunk_release_all(x, x->body.first);
    x->body.first = NULL;
    x->body.last = &x->body.first;
    x->body.queued_bytes = 0;
    x->body.temp_bytes = 0;
    x->body.complete = true;
    x->body.failed = false;
    x->body.on_data = NULL;
    x->request.content_length = -1;
    x->request.chunked = false;
    if (gather == NULL)
        return;
    chunk_release_all(x, gather->memory);
    *gather = (struct gather){.then = gather->then, .memory_last = &gather->memory};
}

static void fail_body(struct exchange *x)
{
    int status = x->body.fail_status;

    x->body.on_data = NULL;
    if (status == 499) {
        exchange_client_gone(x);
        return;
    }
    body_forsake(x);
    exchange_fail_now(x, status);
}

static void on_gathered(struct exchange *x)
{
    struct gather *gather = x->body_gather;
    size_t memory_max = core_of(x)->client_body_buffer_size;
    bool in_file = core_of(x)->client_body_in_file_only != BODY_FILE_OFF && x->body.first != NULL;
    bool to_file = x->body.temp_fd >= 0 || in_file ||
                   gather->memory_bytes + x->body.queued_bytes > memory_max;

    if (x->body.failed) {
        fail_body(x);
        return;
    }
    if (!to_file)
        keep(x, gather);
    else if (!spill(x)) {
        x->body.fail_status = 500;
        fail_body(x);
        return;
    }
    if (!x->body.complete) {
        x->codec->read_body(x);
        return;
    }
    x->body.on_data = NULL;
    gather->then(x);
}

static void release_gathered(void *data)
{
    struct exchange *x = data;
    struct gather *gather = x->body_gather;

    chunk_release_all(x, gather->memory);
    gather->memory = NULL;
}

void body_read_all(struct exchange *x, void (*then)(struct exchange *x))
{
    struct gather *gather = x->body_gather;

    if (gather != NULL) { /* read before: by another location, before an internal redirect */
        gather->then = then;
        then(x);
        return;
    }
    gather = arena_zalloc(x->subject.arena, sizeof *gather);
    if (gather == NULL || !arena_on_drop(x->subject.arena, release_gathered, x)) {
        x->body.fail_status = 500;
        fail_body(x);
        return;
    }
    gather->then = then;
    gather->memory_last = &gather->memory;
    x->body_gather = gather;
    /* The codec may hand over a buffer more than what stays in memory before it asks. */
    body_stream(x, core_of(x)->client_body_buffer_size + BUF_BYTES, on_gathered);
}

struct chunk *body_chunks(struct exchange *x, uint64_t *total_bytes)
{
    struct gather *gather = x->body_gather;
    struct chunk *first = NULL;
    struct chunk **last = &first;

    *total_bytes = 0;
    if (gather == NULL)
        return NULL;
    for (struct chunk *piece = gather->memory; piece != NULL; piece = piece->next) {
        struct chunk *copy = chunk_memory(x, piece->bytes, NULL);

        if (copy == NULL)
            return first;
        *total_bytes += piece->bytes.len;
        *last = copy;
        last = &copy->next;
    }
    if (x->body.temp_bytes > 0) {
        *last = chunk_file(x, x->body.temp_fd, 0, x->body.temp_bytes);
        *total_bytes += *last == NULL ? 0 : x->body.temp_bytes;
    }
    return first;
}

bool body_text(struct exchange *x, struct slice *text)
{
    struct gather *gather = x->body_gather;

    if (gather == NULL || x->body.temp_bytes > 0)
        return false;
    if (gather->memory == NULL || gather->memory->next == NULL) {
        *text = gather->memory == NULL ? slice_make(NULL, 0) : gather->memory->bytes;
        return true;
    }
    char *out = arena_bytes(x->subject.arena, gather->memory_bytes);
    size_t at = 0;

    for (struct chunk *piece = gather->memory; out != NULL && piece != NULL; piece = piece->next) {
        memcpy(out + at, piece->bytes.data, piece->bytes.len);
        at += piece->bytes.len;
    }
    *text = slice_make(out, at);
    return out != NULL;
}
