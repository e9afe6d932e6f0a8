/* `open_file_cache` and its like, `disable_symlinks`. Runs in: any process, at load time. */
#include "http/file_conf.h"

#include "base/list.h"
#include "config/loader.h"
#include "http/conf.h"
#include "http/file_internal.h"
#include "http/file_open.h"

#include <limits.h>

enum { INACTIVE_MS = 60000 };

static bool set_cache(struct conf_call *call)
{
    struct file_conf *conf = call->conf;
    struct slice first = conf_arg(call, 1);
    int64_t max = 0;

    conf->open_max = 0;
    conf->inactive_ms = INACTIVE_MS;
    if (slice_eq(first, slice_of("off")) && conf_arg_count(call) == 2)
        return true;
    for (size_t i = 1; i < conf_arg_count(call); i++) {
        struct slice word = conf_arg(call, i);
        bool ok = false;

        if (slice_starts(word, slice_of("max=")))
            ok = conf_parse_int(slice_skip(word, 4), 1, INT_MAX, &max);
        else if (slice_starts(word, slice_of("inactive=")))
            ok = conf_parse_sec(slice_skip(word, 9), &conf->inactive_ms);
        if (!ok)
            return conf_error(call, i, "invalid \"open_file_cache\" parameter \"%.*s\"",
                              SLICE_ARG(word));
        if (word.data[0] == 'i')
            conf->inactive_ms *= 1000;
    }
    if (max == 0)
        return conf_error(call, 0, "\"open_file_cache\" must have the \"max\" parameter");
    conf->open_max = (int)max;
    return true;
}

static bool set_trusted(struct conf_call *call, struct slice text)
{
    struct file_conf *conf = call->conf;
    const char *error;

    if (text.len == 0)
        return conf_error(call, 2, "no path in \"from=\"");
    conf->trusted_path = template_compile(call->loader->variables, call->loader->arena, text,
                                          &error);
    return conf->trusted_path != NULL || conf_error(call, 2, "%s", error);
}

static bool set_symlinks(struct conf_call *call)
{
    struct file_conf *conf = call->conf;
    struct slice word = conf_arg(call, 1);

    conf->trusted_path = NULL;
    if (slice_eq(word, slice_of("off")))
        conf->symlinks = SYMLINKS_FOLLOW;
    else if (slice_eq(word, slice_of("on")))
        conf->symlinks = SYMLINKS_REFUSE;
    else if (slice_eq(word, slice_of("if_not_owner")))
        conf->symlinks = SYMLINKS_SAME_OWNER;
    else
        return conf_error(call, 1, "invalid value \"%.*s\": \"off\", \"on\" or \"if_not_owner\"",
                          SLICE_ARG(word));
    if (conf_arg_count(call) == 2)
        return true;
    if (conf->symlinks == SYMLINKS_FOLLOW || !slice_starts(conf_arg(call, 2), slice_of("from=")))
        return conf_error(call, 2, "invalid parameter \"%.*s\"", SLICE_ARG(conf_arg(call, 2)));
    return set_trusted(call, slice_skip(conf_arg(call, 2), 5));
}

static const struct directive directives[] = {
    {"open_file_cache", CTX_HTTP_ALL, CUSTOM, .def = "off", .args_min = 1, .args_max = 2,
     .set = set_cache,
     .doc = "Keep up to \"max\" files open in each loop, and what was learnt about folders and "
            "missing files; forget those not asked for in the \"inactive\" time (60 s). Contents "
            "of small files are kept in any case, and compared with the file's times and size at "
            "each use.",
     .example = "open_file_cache max=1000 inactive=20s;"},
    {"open_file_cache_valid", CTX_HTTP_ALL, MSEC(struct file_conf, valid_ms), .def = "60s",
     .doc = "For how long a file of the cache is used without asking the system whether it has "
            "changed."},
    {"open_file_cache_min_uses", CTX_HTTP_ALL, INT(struct file_conf, min_uses), .def = "1",
     .min = 1, .max = INT_MAX,
     .doc = "How often a file must be asked for in the \"inactive\" time to be kept open."},
    {"open_file_cache_errors", CTX_HTTP_ALL, FLAG(struct file_conf, errors), .def = "off",
     .doc = "Also remember which files were not there or could not be opened."},
    {"open_file_cache_events", CTX_HTTP_ALL, NOTHING, .def = "off", .args_min = 1, .args_max = 1,
     .quiet = true,
     .noop = "the kernel tells of changes only with kqueue, which Linux has not; "
             "open_file_cache_valid says how often we look",
     .doc = "Whether the system tells of changes to files of the cache."},
    {"disable_symlinks", CTX_HTTP_ALL, CUSTOM, .def = "off", .args_min = 1, .args_max = 2,
     .set = set_symlinks,
     .doc = "Refuse paths with symbolic links (\"on\"), or with links that do not belong to the "
            "owner of what they point to (\"if_not_owner\"). \"from=\" names the beginning of the "
            "path that is trusted.",
     .example = "disable_symlinks if_not_owner from=$document_root;"},
};

struct feature http_files_feature = {
    .conf = {.name = "http_files",
             .conf_bytes = sizeof(struct file_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .on_loop_end = file_loop_end,
};
