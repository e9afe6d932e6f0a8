/* From files to a snapshot. Runs in: -t, the master's validating child, the worker's loading
 * thread. */
#include "daemon/load.h"

#include "base/arena.h"
#include "base/list.h"
#include "config/files.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/snapshot.h"
#include "config/variable.h"
#include "daemon/apps_conf.h"
#include "daemon/core_conf.h"
#include "daemon/options.h"
#include "http/server.h"
#include "policy/error_log.h"

#include <assert.h>
#include <malloc.h>
#include <pthread.h>

enum { FEATURES_MAX = 256 };

static const struct conf_feature *features[FEATURES_MAX];
static size_t feature_count;
static pthread_once_t features_once = PTHREAD_ONCE_INIT;

/* http's own with settings come first, because it takes a feature's position for its index; then
 * ours, and last those without, which need no place in the arrays of settings. */
static void list_features(void)
{
    size_t count;
    const struct conf_feature *const *of_http = http_conf_features(&count);
    size_t taken = 0;

    assert(count + 3 <= FEATURES_MAX);
    while (taken < count && of_http[taken]->conf_bytes > 0)
        features[feature_count++] = of_http[taken++];
    core_index = feature_count;
    features[feature_count++] = &core_feature;
    error_log_index = feature_count;
    features[feature_count++] = &error_log_feature;
    while (taken < count)
        features[feature_count++] = of_http[taken++];
    features[feature_count++] = apps_conf_feature();
}

const struct conf_feature *const *load_features(size_t *count)
{
    pthread_once(&features_once, list_features);
    *count = feature_count;
    return features;
}

static void parse(struct load *load, const struct run_options *options)
{
    if (options->directives != NULL)
        tree_parse_text(&load->tree, "command line", slice_of(options->directives), &load->diag);
    tree_parse(&load->tree, load->files, options->conf_path, &load->diag);
}

static void run_loader(struct load *load, const struct run_options *options)
{
    struct snapshot *snapshot = load->snapshot;
    size_t count;
    const struct conf_feature *const *list = load_features(&count);
    struct loader loader = {
        .arena = snapshot->arena,
        .diag = &load->diag,
        .tree = &load->tree,
        .variables = snapshot->http_variables,
        .prefix = options->prefix,
        .conf_prefix = options->conf_prefix,
        .context = snapshot,
        .strict = options->strict,
    };

    if (loader_init(&loader, list, count))
        loader_run(&loader, &snapshot->root);
    else
        diag_add(&load->diag, DIAG_ERROR, NULL, "no memory to load the configuration");
    loader_fini(&loader);
}

static bool make_snapshot(struct load *load, const struct run_options *options)
{
    struct snapshot *snapshot = snapshot_new();

    load->snapshot = snapshot;
    if (snapshot == NULL)
        return false;
    snapshot->error_log = arena_copy(snapshot->arena, slice_of(options->error_log));
    snapshot->http_variables = variables_new(snapshot->arena);
    if (snapshot->error_log.data == NULL || snapshot->http_variables == NULL)
        return false;
    snapshot->regexes = regex_set_new(snapshot->arena, snapshot->http_variables);
    return snapshot->regexes != NULL;
}

bool load_run(struct load *load, const struct run_options *options, struct config_files *files)
{
    *load = (struct load){.files = files};
    diag_init(&load->diag);
    tree_init(&load->tree, files);
    if (files == NULL || !make_snapshot(load, options)) {
        diag_add(&load->diag, DIAG_ERROR, NULL, "no memory to load the configuration");
        return false;
    }
    parse(load, options);
    run_loader(load, options);
    return !diag_failed(&load->diag);
}

static void free_sources(void *data)
{
    struct load *sources = data;

    tree_fini(&sources->tree);
    config_files_free(sources->files);
}

struct snapshot *load_take(struct load *load)
{
    struct snapshot *snapshot = load->snapshot;
    struct load *sources = arena_alloc(snapshot->arena, sizeof *sources);

    if (sources == NULL)
        return NULL;
    tree_drop_nodes(&load->tree);
    malloc_trim(0); /* they were most of what loading took: give the pages back */
    *sources = (struct load){.files = load->files, .tree = load->tree};
    if (!arena_on_drop(snapshot->arena, free_sources, sources))
        return NULL;
    load->snapshot = NULL;
    load->files = NULL;
    tree_init(&load->tree, NULL);
    return snapshot;
}

void load_fini(struct load *load)
{
    snapshot_unref(load->snapshot);
    diag_fini(&load->diag);
    tree_fini(&load->tree);
    config_files_free(load->files);
}
