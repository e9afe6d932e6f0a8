/* Goal: exchanges call the features that their config uses, wherever it does, and no others.
 * Method: rows of small configs. */
#include "tests/unit/check.h"

#include "base/list.h"
#include "config/files.h"
#include "config/snapshot.h"
#include "daemon/load.h"
#include "daemon/options.h"
#include "http/conf.h"
#include "http/features.h"

extern struct feature access_feature;
extern struct feature headers_feature;
extern struct feature not_modified_feature;
extern struct feature rewrite_feature;
extern struct feature server_rewrite_feature;

static const struct run_options options = {
    .conf_path = "/features.conf",
    .conf_prefix = "/",
    .prefix = "/",
    .error_log = "stderr",
};

static bool has(struct feature_row row, const struct feature *feature)
{
    for (size_t i = 0; i < row.count; i++)
        if (row.features[i] == feature)
            return true;
    return false;
}

/* What of the five above is called, in the order of the bits. */
static unsigned called(const char *text)
{
    struct config_files *files = config_files_from_disk();
    struct load load = {0};
    unsigned set = 0;

    CHECK(files != NULL);
    CHECK(config_files_add(files, options.conf_path, slice_of(text)));
    CHECK(load_run(&load, &options, files));
    const struct feature_rows *rows = load.snapshot->http->rows;

    set |= has(rows->phase[STEP_ACCESS], &access_feature) ? 1u : 0;
    set |= has(rows->head, &headers_feature) ? 2u : 0;
    set |= has(rows->head, &not_modified_feature) ? 4u : 0;
    set |= has(rows->phase[STEP_REWRITE], &rewrite_feature) ? 8u : 0;
    set |= has(rows->phase[STEP_SERVER_REWRITE], &server_rewrite_feature) ? 16u : 0;
    load_fini(&load);
    return set;
}

#define CONF(inside) "events { } http { server { listen 127.0.0.1:8080; " inside " } }"

TEST(only_what_is_used_is_called)
{
    CHECK_EQ(called(CONF("location / { proxy_pass http://127.0.0.1:1; }")), 4);
    CHECK_EQ(called(CONF("location / { deny all; }")), 4 | 1);
    CHECK_EQ(called(CONF("location / { location /x/ { add_header A b; } }")), 4 | 2);
    CHECK_EQ(called(CONF("location / { limit_except GET { deny all; } }")), 4 | 1);
    CHECK_EQ(called(CONF("location / { if ($args) { add_header A b; } }")), 4 | 2 | 8 | 16);
    CHECK_EQ(called(CONF("return 204;")), 4 | 8 | 16);
}
