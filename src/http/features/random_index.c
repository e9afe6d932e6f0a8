/* `random_index`: any file of a folder stands for it. Runs in: worker, loop thread. */
#include "base/arena.h"
#include "base/list.h"
#include "http/feature.h"
#include "http/features/listing.h"
#include "http/file.h"
#include "http/path.h"

#include <assert.h>
#include <sys/random.h>

extern struct feature random_index_feature;

struct random_index_conf {
    bool on;
};

static size_t count_files(const struct listing *listing)
{
    size_t count = 0;

    for (size_t i = 0; i < listing->count; i++)
        count += listing->entries[i].is_regular;
    return count;
}

static const struct listing_entry *nth_file(const struct listing *listing, size_t n)
{
    for (size_t i = 0; i < listing->count; i++)
        if (listing->entries[i].is_regular && n-- == 0)
            return &listing->entries[i];
    return NULL;
}

static enum phase_verdict choose(struct exchange *x, const struct listing *listing)
{
    size_t count = count_files(listing);
    uint64_t random = 0;

    if (count == 0)
        return PHASE_PASS;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = x->connection_requests;
    const struct listing_entry *entry = nth_file(listing, random % count);

    assert(entry != NULL); /* there are `count` of them */
    struct slice uri = arena_printf(x->subject.arena, "%.*s%s", SLICE_ARG(x->request.uri),
                                    entry->name);

    if (uri.data == NULL)
        return exchange_fail(x, 500);
    return exchange_redirect(x, uri, x->request.args);
}

static enum phase_verdict run(struct exchange *x)
{
    const struct random_index_conf *conf = exchange_conf(x, random_index_feature);
    struct listing listing;
    struct path path;

    if (!conf->on || !slice_ends(x->request.uri, slice_of("/")) ||
        (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD &&
         x->request.method != METHOD_POST))
        return PHASE_PASS;
    if (!path_for_uri(x, x->request.uri, &path))
        return exchange_fail(x, 500);
    listing_read(path.full.data, &listing);
    struct file file = {.error = listing.error, .failed = listing.failed};
    enum phase_verdict verdict = listing.error != 0
                                     ? exchange_fail(x, file_error_status(x, &file, &path))
                                     : choose(x, &listing);

    listing_free(&listing);
    return verdict;
}

static const struct directive directives[] = {
    {"random_index", CTX_LOCATION, FLAG(struct random_index_conf, on), .def = "off",
     .doc = "A folder is answered with one of its files, chosen anew each time."},
};

struct feature random_index_feature = {
    .conf = {.name = "http_random_index",
             .conf_bytes = sizeof(struct random_index_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .phase = STEP_CONTENT,
    .run = run,
};
