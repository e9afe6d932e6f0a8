#include "http/features.h"

#include "balance/upstream_conf.h"
#include "base/arena.h"
#include "config/loader.h"
#include "http/core_conf.h"
#include "http/server.h"
#include "http/structure.h"

#include <assert.h>
#include <pthread.h>

/* The order in which handlers of one phase run, and in which head filters see a response. */
#define FEATURES(R)                                                                                \
    R(http_structure)                                                                              \
    R(http_core)                                                                                   \
    R(http_path)                                                                                   \
    R(variables_request)                                                                           \
    R(variables_connection)                                                                        \
    R(variables_response)                                                                          \
    R(variables_file)                                                                              \
    R(map)                                                                                         \
    R(geo)                                                                                         \
    R(split_clients)                                                                               \
    R(realip) /* first: who asks must be known before anything is asked about it */                \
    R(http_files)                                                                                  \
    R(ssl) /* behind realip: a refusal is logged with the client's own address */                  \
    R(server_rewrite)                                                                              \
    R(limit_except) /* before rewrite: its block has none */                                       \
    R(rewrite)                                                                                     \
    R(realip_location)                                                                             \
    R(referer)                                                                                     \
    R(secure_link)                                                                                 \
    R(stub_status)                                                                                 \
    R(metrics)                                                                                     \
    R(access) /* before auth_basic: an address costs less to check than a password */              \
    R(auth_basic)                                                                                  \
    R(auth_delay)                                                                                  \
    R(try_files)                                                                                   \
    R(dav) /* its methods are not for those after it */                                            \
    R(empty_gif)                                                                                   \
    R(random_index) /* before index: it is the narrower choice */                                  \
    R(index)        /* a folder is looked into before it is listed or refused */                   \
    R(autoindex)                                                                                   \
    R(gzip_static) /* before static: the same file, smaller */                                     \
    R(static)                                                                                      \
    R(not_modified) /* before whatever costs work on a body that is not sent then */               \
    R(headers)      /* after whatever makes fields of its own */                                   \
    R(charset)                                                                                     \
    R(gunzip) /* before gzip: which then may compress anew */                                      \
    R(gzip)                                                                                        \
    R(range)         /* last: ranges are of the bytes as they go out */                            \
    R(http_upstream) /* variables of every feature that relays */                                  \
    R(app_wait)                                                                                    \
    R(proxy_ssl)                                                                                   \
    R(http_proxy)                                                                                  \
    R(grpc_ssl)                                                                                    \
    R(http_grpc)                                                                                   \
    R(http_grpc_headers)                                                                           \
    R(http_grpc_pass)                                                                              \
    R(http_proxy_pass)                                                                             \
    R(http_proxy_headers)                                                                          \
    R(http2)                                                                                       \
    R(access_log)

#define FEATURE_DECLARE(name) extern struct feature name##_feature;
FEATURES(FEATURE_DECLARE)

#define FEATURE_ITEM(name) &name##_feature,

struct feature *const http_feature_list[] = {FEATURES(FEATURE_ITEM) NULL};

enum { FEATURES_MAX = COUNT(http_feature_list) };

/* For the loader: those with settings first, so that the arrays of settings, of which a large
 * configuration has 100,000, end with them, and of these first the frequent ones, which share a
 * group; last what stands in an http block without being a part of exchanges. */
static const struct conf_feature *conf_features[FEATURES_MAX];

size_t http_feature_count = FEATURES_MAX - 1;

enum { RANK_FREQUENT, RANK_SETTINGS, RANK_NONE, RANKS };

static int rank_of(const struct conf_feature *conf)
{
    if (conf->conf_bytes == 0)
        return RANK_NONE;
    return conf->frequent ? RANK_FREQUENT : RANK_SETTINGS;
}

/* Indexes are places in that order. */
static void number_features(void)
{
    unsigned next = 0;

    for (int rank = 0; rank < RANKS; rank++) {
        for (unsigned i = 0; i < http_feature_count; i++) {
            struct feature *feature = http_feature_list[i];

            if (rank_of(&feature->conf) != rank)
                continue;
            conf_features[next] = &feature->conf;
            feature->index = next++;
        }
    }
    conf_features[next] = &upstream_feature;
}

void http_features_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, number_features);
}

const struct conf_feature *const *http_conf_features(size_t *count)
{
    http_features_init();
    *count = COUNT(conf_features);
    return conf_features;
}

static bool in_phase(const struct feature *feature, int phase)
{
    return feature->run != NULL && (int)feature->phase == phase;
}

static bool has_head_filter(const struct feature *feature, int unused)
{
    (void)unused;
    return feature->on_head != NULL;
}

static bool has_log(const struct feature *feature, int unused)
{
    (void)unused;
    return feature->on_log != NULL;
}

/* Those that are used and fit, at `*end`, which moves behind them. */
static struct feature_row make_row(const struct loader *loader, const struct feature ***end,
                                   bool (*fits)(const struct feature *feature, int phase),
                                   int phase)
{
    struct feature_row row = {.features = *end};

    for (unsigned i = 0; i < http_feature_count; i++) {
        const struct feature *feature = http_feature_list[i];
        const struct feature *needed = feature->idle_without;

        if (!fits(feature, phase) || (needed != NULL && !loader_uses(loader, &needed->conf)))
            continue;
        *(*end)++ = feature;
        row.count++;
    }
    return row;
}

const struct feature_rows *features_in_use(const struct loader *loader)
{
    struct feature_rows *rows = arena_zalloc(loader->arena, sizeof *rows);
    const struct feature **end = arena_alloc(loader->arena, 3 * FEATURES_MAX * sizeof(void *));

    if (rows == NULL || end == NULL)
        return NULL;
    for (int phase = 0; phase < STEP_COUNT; phase++)
        rows->phase[phase] = make_row(loader, &end, in_phase, phase);
    rows->head = make_row(loader, &end, has_head_filter, 0);
    rows->log = make_row(loader, &end, has_log, 0);
    return rows;
}
