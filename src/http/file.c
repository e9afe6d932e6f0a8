#include "http/file.h"

#include "base/arena.h"
#include "base/buf.h"
#include "event/offload.h"
#include "http/core_conf.h"
#include "http/file_conf.h"
#include "http/file_internal.h"
#include "http/file_open.h"
#include "http/file_table.h"
#include "http/http_loop.h"
#include "http/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    CONTENTS_FILES_MAX = 2048,            /* per loop: small files kept in memory ... */
    CONTENTS_BYTES_MAX = 8 * 1024 * 1024, /* ... and how much they may be */
    CONTENTS_AGE_MS = 2000, /* a file that changed later than this before may change again without
                               another time stamp: it is not kept */
};

/* A loop's tables; slot of http_files_feature. */
struct loop_files {
    struct file_table open;     /* open_file_cache */
    struct file_table contents; /* of small files where that is off; compared at each use */
    bool ready;
};

struct asked {
    struct asked *next;
    struct slice path;
    enum file_want want;
    const struct file *file;
};

/* What an exchange has asked for; slot of http_files_feature. */
struct exchange_files {
    struct asked *first;
};

/* A file being looked for in a thread. It outlives an exchange that ends meanwhile. */
struct file_job {
    struct job job;     /* first */
    struct exchange *x; /* NULL: it has gone */
    struct file_request request;
    struct file file;
    struct slice path; /* text[] */
    char *contents;    /* heap: the thread may not use the loop's buffers */
    char text[];
};

void file_loop_end(void *slot)
{
    struct loop_files *files = slot;

    if (!files->ready)
        return;
    file_table_fini(&files->open);
    file_table_fini(&files->contents);
}

static struct loop_files *files_of_loop(struct http_loop *http)
{
    struct loop_files *files = http_loop_slot(http, &http_files_feature, sizeof *files);

    if (files == NULL || files->ready)
        return files;
    file_table_init(&files->open);
    file_table_init(&files->contents);
    files->ready = true;
    return files;
}

/* ---- what this exchange asked before */

static const struct file *asked_before(const struct exchange_files *files, struct slice path,
                                       enum file_want want)
{
    for (const struct asked *asked = files->first; asked != NULL; asked = asked->next)
        if (slice_eq(asked->path, path) && asked->want >= want &&
            (asked->want == want || asked->file->error != EACCES))
            return asked->file;
    return NULL;
}

static bool remember(struct exchange *x, struct slice path, enum file_want want,
                     const struct file *file)
{
    struct exchange_files *files = exchange_slot(x, &http_files_feature, sizeof *files);
    struct asked *asked = arena_alloc(x->subject.arena, sizeof *asked);

    if (files == NULL || asked == NULL)
        return false;
    *asked = (struct asked){.next = files->first, .path = path, .want = want, .file = file};
    files->first = asked;
    return true;
}

static bool use_entry(struct exchange *x, struct file_entry *entry)
{
    if (!arena_on_drop(x->subject.arena, file_entry_unref, entry))
        return false;
    (void)file_entry_ref(entry);
    return true;
}

/* ---- the loop's tables */

static bool serves(const struct file *file, enum file_want want)
{
    return want == FILE_TEST || file->error != 0 || !file->is_regular || file->fd >= 0 ||
           file->contents != NULL;
}

/* An entry that is right now, or NULL. */
static struct file_entry *fresh_entry(struct exchange *x, struct file_table *table,
                                      struct slice path, enum file_want want)
{
    const struct file_conf *conf = files_of(x);
    uint64_t now_ms = loop_now_ms(x->loop);
    struct file_entry *entry = file_table_find(table, path, now_ms);

    if (entry == NULL)
        return NULL;
    entry->uses++;
    if (!entry->known || !serves(&entry->file, want))
        return NULL;
    if (conf->open_max > 0 && now_ms - entry->checked_ms < conf->valid_ms)
        return entry;
    if (file_unchanged(&entry->file, entry->path)) {
        entry->checked_ms = now_ms;
        return entry;
    }
    file_table_drop(table, entry);
    return NULL;
}

static struct file_entry *find_entry(struct exchange *x, struct slice path, enum file_want want)
{
    const struct file_conf *conf = files_of(x);
    struct loop_files *files = files_of_loop(x->http);

    /* Whether links may be followed is asked anew each time. */
    if (files == NULL || conf->symlinks != SYMLINKS_FOLLOW)
        return NULL;
    return fresh_entry(x, conf->open_max > 0 ? &files->open : &files->contents, path, want);
}

static struct file_entry *keep_open(struct exchange *x, struct file_table *table, struct slice path,
                                    const struct file *file)
{
    const struct file_conf *conf = files_of(x);
    uint64_t now_ms = loop_now_ms(x->loop);
    struct file_entry *entry = file_table_find(table, path, now_ms);
    bool counts = (entry == NULL ? 1 : entry->uses) >= conf->min_uses;

    if ((file->error != 0 && !conf->errors) || !serves(file, FILE_OPEN))
        return NULL;
    if (counts || entry == NULL)
        entry = file_table_put(table, path, counts ? file : NULL, now_ms);
    file_table_trim(table, (size_t)conf->open_max, SIZE_MAX,
                    now_ms > conf->inactive_ms ? now_ms - conf->inactive_ms : 0);
    return counts ? entry : NULL;
}

static struct file_entry *keep_contents(struct exchange *x, struct file_table *table,
                                        struct slice path, const struct file *file)
{
    uint64_t changed_ms = (uint64_t)file->changed_exact.tv_sec * 1000;

    if (file->contents == NULL || changed_ms + CONTENTS_AGE_MS > loop_clock(x->loop)->wall_ms)
        return NULL;
    struct file_entry *entry = file_table_put(table, path, file, loop_now_ms(x->loop));

    file_table_trim(table, CONTENTS_FILES_MAX, CONTENTS_BYTES_MAX, 0);
    return entry;
}

/* Offers a file to the tables. The entry now owns its descriptor; NULL: not kept. */
static struct file_entry *keep(struct exchange *x, struct slice path, const struct file *file)
{
    const struct file_conf *conf = files_of(x);
    struct loop_files *files = files_of_loop(x->http);

    if (files == NULL || conf->symlinks != SYMLINKS_FOLLOW)
        return NULL;
    return conf->open_max > 0 ? keep_open(x, &files->open, path, file)
                              : keep_contents(x, &files->contents, path, file);
}

/* ---- looking */

static void close_file(void *data)
{
    const struct file *file = data;

    if (file->fd >= 0)
        close(file->fd);
}

/* `*found` is a copy that lives as long as the exchange, or an entry of a table. `file->fd` is
 * taken over in any case. */
static bool settle(struct exchange *x, struct slice path, const struct file *file,
                   const struct file **found)
{
    struct file_entry *entry = keep(x, path, file);

    if (entry != NULL) {
        *found = &entry->file;
        return use_entry(x, entry);
    }
    struct file *copy = arena_alloc(x->subject.arena, sizeof *copy);

    if (copy == NULL || (file->fd >= 0 && !arena_on_drop(x->subject.arena, close_file, copy))) {
        if (file->fd >= 0)
            close(file->fd);
        return false;
    }
    *copy = *file;
    *found = copy;
    return true;
}

static bool make_request(struct exchange *x, struct slice path, enum file_want want,
                         struct file_request *request)
{
    const struct file_conf *conf = files_of(x);
    struct slice trusted;

    *request = (struct file_request){.path = path.data,
                                     .want = want,
                                     .symlinks = conf->symlinks,
                                     .contents_max = FILE_CONTENTS_MAX};
    if (conf->symlinks == SYMLINKS_FOLLOW || conf->trusted_path == NULL)
        return true;
    if (!template_eval(conf->trusted_path, &x->subject, &trusted))
        return false;
    bool whole = trusted.len < path.len &&
                 (path.data[trusted.len] == '/' || slice_ends(trusted, slice_of("/")));

    if (whole && slice_starts(path, trusted))
        request->trusted_bytes = trusted.len;
    return true;
}

static void drop_buf(void *data)
{
    buf_unref(data);
}

static enum file_answer look_now(struct exchange *x, struct slice path, enum file_want want,
                                 const struct file **found)
{
    struct buf *buf = want == FILE_OPEN ? buf_get(loop_bufs(x->loop)) : NULL;
    struct file_request request;
    struct file file;

    if (!make_request(x, path, want, &request)) {
        buf_unref(buf);
        return FILE_NO_MEMORY;
    }
    request.contents = buf == NULL ? NULL : buf->data;
    file_open(&request, &file);
    bool lent = file.contents != NULL;

    if (!settle(x, path, &file, found)) {
        buf_unref(buf);
        return FILE_NO_MEMORY;
    }
    if (!lent || (*found)->contents != buf->data)
        buf_unref(buf);
    else if (!arena_on_drop(x->subject.arena, drop_buf, buf))
        return FILE_NO_MEMORY; /* the buffer is lost: nobody could give it back in time */
    return FILE_FOUND;
}

/* ---- looking in a thread */

static void job_free(struct file_job *job)
{
    free(job->contents);
    free(job);
}

static void free_contents(void *data)
{
    free(data);
}

static void job_work(struct job *base)
{
    struct file_job *job = container_of(base, struct file_job, job);

    file_open(&job->request, &job->file);
}

/* The exchange asks again and finds the answer among what it asked before. */
static void job_done(struct job *base)
{
    struct file_job *job = container_of(base, struct file_job, job);
    struct exchange *x = job->x;
    const struct file *found = NULL;

    if (x == NULL) {
        close_file(&job->file);
        job_free(job);
        return;
    }
    job->x = NULL;
    struct slice path = arena_copy(x->subject.arena, job->path);
    bool ok = path.data != NULL && settle(x, path, &job->file, &found);

    if (ok && found->contents != NULL && found->contents == job->contents) {
        ok = arena_on_drop(x->subject.arena, free_contents, job->contents);
        if (ok)
            job->contents = NULL;
    }
    ok = ok && remember(x, path, job->request.want, found);
    if (!ok)
        exchange_abort(x, false);
    else
        exchange_resume(x);
}

/* The exchange has gone, or the job is over and waits to be freed with it. */
static void job_forget(void *data)
{
    struct file_job *job = data;

    if (job->x == NULL)
        job_free(job);
    else
        job->x = NULL;
}

static bool look_in_thread(struct exchange *x, struct slice path, enum file_want want)
{
    struct offload *offload = x->http->shared == NULL ? NULL : x->http->shared->offload;
    struct file_job *job;

    if (offload == NULL)
        return false;
    job = calloc(1, sizeof *job + path.len + 1);
    if (job == NULL)
        return false;
    memcpy(job->text, path.data, path.len);
    job->path = slice_make(job->text, path.len);
    job->contents = want == FILE_OPEN ? malloc(FILE_CONTENTS_MAX) : NULL;
    job->job.work = job_work;
    job->job.done = job_done;
    job->file.fd = -1;
    if (!make_request(x, job->path, want, &job->request) ||
        !arena_on_drop(x->subject.arena, job_forget, job)) {
        job_free(job);
        return false;
    }
    job->request.contents = job->contents;
    if (!offload_submit(offload, x->loop, &job->job))
        return false; /* job_forget() frees it: job->x is NULL */
    job->x = x;
    return true;
}

enum file_answer file_find(struct exchange *x, const struct path *path, enum file_want want,
                           const struct file **file)
{
    struct exchange_files *files = exchange_slot(x, &http_files_feature, sizeof *files);

    if (files == NULL)
        return FILE_NO_MEMORY;
    *file = asked_before(files, path->full, want);
    if (*file != NULL)
        return FILE_FOUND;
    struct file_entry *entry = find_entry(x, path->full, want);

    if (entry != NULL) {
        *file = &entry->file;
        return use_entry(x, entry) ? FILE_FOUND : FILE_NO_MEMORY;
    }
    if (core_of(x)->aio_threads && look_in_thread(x, path->full, want))
        return FILE_LATER;
    enum file_answer answer = look_now(x, path->full, want, file);

    if (answer == FILE_FOUND && !remember(x, path->full, want, *file))
        return FILE_NO_MEMORY;
    return answer;
}

/* ---- what is said about files */

int file_error_status(struct exchange *x, const struct file *file, const struct path *path)
{
    enum log_level level = LOG_LEVEL_ERROR;
    int status;

    switch (file->error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        status = 404;
        break;
    case EACCES:
    case ELOOP:
    case EMLINK:
        status = 403;
        break;
    default:
        level = LOG_LEVEL_CRIT;
        status = 500;
    }
    if (status != 404 || core_of(x)->log_not_found)
        log_about(&x->log, level, file->error, "%s \"%.*s\" failed", file->failed,
                  SLICE_ARG(path->full));
    return status;
}

static char *put_hex(char *out, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";
    int shift = value == 0 ? 0 : (63 - __builtin_clzll(value)) & ~3;

    for (; shift >= 0; shift -= 4)
        *out++ = digits[value >> shift & 15];
    return out;
}

/* Seconds and size: two numbers of 16 digits at most. */
struct slice file_etag(const struct file *file, char out[FILE_ETAG_BYTES])
{
    char *at = out;

    *at++ = '"';
    at = put_hex(at, (uint64_t)file->modified);
    *at++ = '-';
    at = put_hex(at, file->size);
    *at++ = '"';
    return slice_make(out, (size_t)(at - out));
}
