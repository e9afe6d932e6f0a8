/* `autoindex`: a folder without an index is listed. Runs in: worker, loop thread; reading the
 * folder also in a thread for blocking work. */
#include "http/features/autoindex.h"

#include "base/arena.h"
#include "base/list.h"
#include "event/offload.h"
#include "http/core_conf.h"
#include "http/features/listing.h"
#include "http/features/listing_text.h"
#include "http/features/lookup.h"
#include "http/file.h"
#include "http/http_loop.h"
#include "http/path.h"
#include "http/response.h"

#include <stdlib.h>

enum { CALLBACK_BYTES_MAX = 128 };

struct autoindex_conf {
    bool on;
    bool exact_size;
    bool local_time;
    int format;
};

/* A folder being read; it outlives an exchange that ends meanwhile. */
struct list_job {
    struct job job;     /* first */
    struct exchange *x; /* NULL: it has gone, or does not wait any more */
    bool running;
    struct listing listing;
    char path[];
};

/* Slot of the exchange. */
struct autoindex_state {
    struct list_job *job;
};

static void job_free(struct list_job *job)
{
    listing_free(&job->listing);
    free(job);
}

static void job_work(struct job *base)
{
    struct list_job *job = container_of(base, struct list_job, job);

    listing_read(job->path, &job->listing);
}

static void job_done(struct job *base)
{
    struct list_job *job = container_of(base, struct list_job, job);

    job->running = false;
    if (job->x == NULL)
        job_free(job);
    else
        exchange_resume(job->x);
}

static void job_forget(void *data)
{
    struct list_job *job = data;

    job->x = NULL;
    if (!job->running)
        job_free(job);
}

static struct list_job *job_new(struct exchange *x, const struct path *path)
{
    struct list_job *job = calloc(1, sizeof *job + path->full.len + 1);

    if (job == NULL)
        return NULL;
    memcpy(job->path, path->full.data, path->full.len);
    job->x = x;
    job->job.work = job_work;
    job->job.done = job_done;
    if (arena_on_drop(x->subject.arena, job_forget, job))
        return job;
    free(job);
    return NULL;
}

/* A name that a script may have; anything else could be a script itself. */
static bool callback_of(struct exchange *x, struct slice *name)
{
    if (!parse_query_value(x->request.args, slice_of("callback"), name) || name->len == 0)
        return true;
    for (size_t i = 0; i < name->len; i++) {
        char c = ascii_lower(name->data[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '.')
            return false;
    }
    return name->len <= CALLBACK_BYTES_MAX;
}

static void free_text(void *data)
{
    free(data);
}

static enum phase_verdict send_listing(struct exchange *x, const struct listing *listing)
{
    static const char *const types[] = {
        [LISTING_HTML] = "text/html",
        [LISTING_JSON] = "application/json",
        [LISTING_JSONP] = "application/javascript",
        [LISTING_XML] = "text/xml",
    };
    const struct autoindex_conf *conf = exchange_conf(x, autoindex_feature);
    struct listing_style style = {
        .format = (enum listing_format)conf->format,
        .exact_size = conf->exact_size,
        .local_time = conf->local_time,
    };

    if (style.format == LISTING_JSONP && !callback_of(x, &style.callback)) {
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "invalid callback for a listing: \"%.*s\"",
                  SLICE_ARG(style.callback));
        return exchange_fail(x, 400);
    }
    if (style.format == LISTING_JSONP && style.callback.len == 0)
        style.format = LISTING_JSON;
    struct slice text = listing_text(listing, x->request.uri, &style);

    if (text.data == NULL)
        return exchange_fail(x, 500);
    if (!arena_on_drop(x->subject.arena, free_text, (void *)(uintptr_t)text.data)) {
        free((void *)(uintptr_t)text.data);
        return exchange_fail(x, 500);
    }
    response_send(x, 200, slice_of(types[style.format]), text);
    return PHASE_RESPONDS;
}

static enum phase_verdict answer(struct exchange *x, const struct list_job *job)
{
    const struct listing *listing = &job->listing;

    if (listing->error != 0) {
        struct file file = {.error = listing->error, .failed = listing->failed};
        struct path path = {.full = slice_of(job->path)};

        return exchange_fail(x, file_error_status(x, &file, &path));
    }
    if (listing->cut)
        log_about(&x->log, LOG_LEVEL_WARN, 0, "\"%s\" has too many files: only %zu are listed",
                  job->path, listing->count);
    return send_listing(x, listing);
}

static bool read_in_thread(struct exchange *x, struct list_job *job)
{
    if (!core_of(x)->aio_threads || x->http->shared == NULL || x->http->shared->offload == NULL)
        return false;
    job->running = offload_submit(x->http->shared->offload, x->loop, &job->job);
    return job->running;
}

static enum phase_verdict run(struct exchange *x)
{
    const struct autoindex_conf *conf = exchange_conf(x, autoindex_feature);
    struct autoindex_state *state;
    struct path path;

    if (!conf->on || !slice_ends(x->request.uri, slice_of("/")) ||
        (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD))
        return PHASE_PASS;
    state = exchange_slot(x, &autoindex_feature, sizeof *state);
    if (state == NULL)
        return exchange_fail(x, 500);
    if (state->job != NULL) {
        if (state->job->running)
            return PHASE_WAIT;
        struct list_job *job = state->job;

        state->job = NULL;
        return answer(x, job);
    }
    if (!path_for_uri(x, x->request.uri, &path))
        return exchange_fail(x, 500);
    struct list_job *job = job_new(x, &path);

    if (job == NULL)
        return exchange_fail(x, 500);
    if (read_in_thread(x, job)) {
        state->job = job;
        return PHASE_WAIT;
    }
    job_work(&job->job);
    return answer(x, job);
}

static const struct conf_word format_words[] = {{"html", LISTING_HTML},
                                                {"json", LISTING_JSON},
                                                {"jsonp", LISTING_JSONP},
                                                {"xml", LISTING_XML},
                                                {NULL, 0}};

#define T struct autoindex_conf

static const struct directive directives[] = {
    {"autoindex", CTX_HTTP_ALL, FLAG(T, on), .def = "off",
     .doc = "List folders that have no index."},
    {"autoindex_exact_size", CTX_HTTP_ALL, FLAG(T, exact_size), .def = "on",
     .doc = "Sizes in bytes rather than rounded to kilobytes and more (HTML only)."},
    {"autoindex_localtime", CTX_HTTP_ALL, FLAG(T, local_time), .def = "off",
     .doc = "Times in the server's zone rather than in UTC (HTML only)."},
    {"autoindex_format", CTX_HTTP_ALL, ENUM(T, format), .def = "html", .words = format_words,
     .doc = "The form of listings; jsonp calls the function that the argument \"callback\" names.",
     .example = "autoindex_format json;"},
};

struct feature autoindex_feature = {
    .conf = {.name = "http_autoindex",
             .conf_bytes = sizeof(struct autoindex_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &autoindex_feature,
    .phase = STEP_CONTENT,
    .run = run,
};
