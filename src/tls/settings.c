/* What the ssl_* directives say. Runs in: any process, at load time. */
#include "tls/settings.h"

#include "base/arena.h"
#include "base/diag.h"
#include "config/files.h"
#include "config/loader.h"
#include "config/variable.h"

#include <assert.h>

enum { CACHE_BYTES_MIN = 8 * 4096, BUILTIN_SESSION_BYTES = 256, BUILTIN_SESSIONS = 20480 };

const struct conf_word tls_protocol_words[] = {
    {"SSLv2", TLS_SSLV2},  {"SSLv3", TLS_SSLV3},  {"TLSv1", TLS_V1}, {"TLSv1.1", TLS_V1_1},
    {"TLSv1.2", TLS_V1_2}, {"TLSv1.3", TLS_V1_3}, {NULL, 0},
};

const struct conf_word tls_verify_words[] = {
    {"off", TLS_VERIFY_OFF},
    {"on", TLS_VERIFY_ON},
    {"optional", TLS_VERIFY_OPTIONAL},
    {"optional_no_ca", TLS_VERIFY_OPTIONAL_NO_CA},
    {NULL, 0},
};

static bool no_memory(struct conf_call *call)
{
    return conf_error(call, 0, "no memory for the configuration");
}

/* ---- files */

bool tls_read_source(struct conf_call *call, struct slice path, struct tls_source *source)
{
    struct loader *loader = call->loader;
    struct slice absolute = loader_conf_path(loader, path);
    struct diag diag;

    diag_init(&diag);
    source->name = path;
    source->why = NULL;
    source->path = absolute;
    if (absolute.data != NULL &&
        !config_files_secret(loader->tree->sources, absolute.data, &source->bytes, &diag))
        source->why = arena_copy(loader->arena,
                                 slice_of(diag.first != NULL ? diag.first->message : "no memory"))
                          .data;
    bool ok = absolute.data != NULL && (source->bytes.data != NULL || source->why != NULL);

    diag_fini(&diag);
    return ok || no_memory(call);
}

static bool has_variables(struct slice text)
{
    return slice_find(text, '$') >= 0;
}

/* A file, "data:PEM", or a text with variables that becomes one of both. */
static bool read_pem(struct conf_call *call, struct tls_source *source)
{
    static const struct slice data_prefix = SLICE("data:");
    struct slice word = conf_arg(call, 1);

    if (has_variables(word)) {
        const char *error = NULL;

        source->name = word;
        source->template = template_compile(call->loader->variables, call->loader->arena, word,
                                            &error);
        return source->template != NULL || conf_error(call, 1, "%s", error);
    }
    if (!slice_starts(word, data_prefix))
        return tls_read_source(call, word, source);
    source->name = slice_head(word, data_prefix.len);
    source->bytes = slice_skip(word, data_prefix.len);
    return true;
}

/* ---- lists */

/* A list begins anew in the first directive of a block: it replaces the parent's. */
static struct tls_item *append(struct conf_call *call, struct tls_item **list)
{
    struct tls_item *item = arena_zalloc(call->loader->arena, sizeof *item);

    if (call->first)
        *list = NULL;
    while (*list != NULL)
        list = &(*list)->next;
    *list = item;
    if (item == NULL)
        no_memory(call);
    return item;
}

bool tls_set_certificate(struct conf_call *call)
{
    struct tls_settings *settings = call->conf;
    struct tls_item *item = append(call, &settings->certificates);
    struct diag_place place;

    if (call->first) {
        tree_place(call->loader->tree, call->node, 0, &place);
        settings->file = place.file;
        settings->line = call->node->line;
    }
    return item != NULL && read_pem(call, &item->source);
}

bool tls_set_key(struct conf_call *call)
{
    struct tls_settings *settings = call->conf;
    struct tls_item *item = append(call, &settings->keys);

    if (item == NULL)
        return false;
    if (slice_starts(conf_arg(call, 1), slice_of("engine:")) ||
        slice_starts(conf_arg(call, 1), slice_of("store:")))
        return conf_error(call, 1, "keys in engines and stores are not a part of this build");
    return read_pem(call, &item->source);
}

/* One password per line, tried in order. */
bool tls_set_passwords(struct conf_call *call)
{
    struct tls_settings *settings = call->conf;
    struct tls_source source = {0};
    struct slice line;

    settings->passwords = NULL;
    if (!tls_read_source(call, conf_arg(call, 1), &source))
        return false;
    if (source.why != NULL)
        return conf_error(call, 1, "%s", source.why);
    struct tls_item **last = &settings->passwords;

    while (slice_split(&source.bytes, '\n', &line)) {
        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0)
            continue;
        struct tls_item *item = arena_zalloc(call->loader->arena, sizeof *item);

        if (item == NULL)
            return no_memory(call);
        item->value = line;
        *last = item;
        last = &item->next;
    }
    return true;
}

bool tls_set_command(struct conf_call *call)
{
    struct tls_settings *settings = call->conf;
    struct tls_item *item = append(call, &settings->commands);

    if (item == NULL)
        return false;
    item->name = arena_copy(call->loader->arena, conf_arg(call, 1));
    item->value = arena_copy(call->loader->arena, conf_arg(call, 2));
    return (item->name.data != NULL && item->value.data != NULL) || no_memory(call);
}

bool tls_set_ticket_key(struct conf_call *call)
{
    struct tls_settings *settings = call->conf;
    struct tls_source source = {0};

    if (!tls_read_source(call, conf_arg(call, 1), &source))
        return false;
    if (source.why != NULL)
        return conf_error(call, 1, "%s", source.why);
    if (source.bytes.len != 48 && source.bytes.len != 80)
        return conf_error(call, 1, "\"%.*s\" must be 48 or 80 bytes", SLICE_ARG(conf_arg(call, 1)));
    struct tls_item *item = append(call, &settings->ticket_keys);

    if (item != NULL)
        item->source = source;
    return item != NULL;
}

/* ---- single files */

static bool set_source(struct conf_call *call, struct tls_source *source)
{
    *source = (struct tls_source){0};
    if (conf_arg(call, 1).len == 0) /* "" takes back what a parent says */
        return true;
    return tls_read_source(call, conf_arg(call, 1), source);
}

bool tls_set_client_ca(struct conf_call *call)
{
    return set_source(call, &((struct tls_settings *)call->conf)->client_ca);
}

bool tls_set_trusted_ca(struct conf_call *call)
{
    return set_source(call, &((struct tls_settings *)call->conf)->trusted_ca);
}

bool tls_set_crl(struct conf_call *call)
{
    return set_source(call, &((struct tls_settings *)call->conf)->crl);
}

bool tls_set_dhparam(struct conf_call *call)
{
    return set_source(call, &((struct tls_settings *)call->conf)->dhparam);
}

bool tls_set_staple_file(struct conf_call *call)
{
    return set_source(call, &((struct tls_settings *)call->conf)->staple_file);
}

/* ---- ssl_session_cache */

/* "shared:NAME:SIZE" */
static bool read_shared(struct conf_call *call, size_t index, struct tls_settings *settings)
{
    struct slice rest = slice_skip(conf_arg(call, index), strlen("shared:"));
    struct slice name;

    if (!slice_split(&rest, ':', &name) || name.len == 0 || rest.data == NULL ||
        !conf_parse_bytes(rest, &settings->cache_bytes))
        return conf_error(call, index, "invalid session cache \"%.*s\"",
                          SLICE_ARG(conf_arg(call, index)));
    if (settings->cache_bytes < CACHE_BYTES_MIN)
        return conf_error(call, index, "session cache \"%.*s\" is too small", SLICE_ARG(name));
    settings->cache = TLS_CACHE_SHARED;
    settings->cache_name = name;
    return true;
}

/* "builtin[:SESSIONS]": nginx's cache of one process; all loops are one process here, so it is a
 * shared one with a name nobody else can write. */
static bool read_builtin(struct conf_call *call, size_t index, struct tls_settings *settings)
{
    struct slice count = slice_skip(conf_arg(call, index), strlen("builtin"));
    int64_t sessions = BUILTIN_SESSIONS;

    if (count.len > 0 &&
        (count.data[0] != ':' || !conf_parse_int(slice_skip(count, 1), 1, 1 << 24, &sessions)))
        return conf_error(call, index, "invalid session cache \"%.*s\"",
                          SLICE_ARG(conf_arg(call, index)));
    if (settings->cache == TLS_CACHE_SHARED && index > 1)
        return true;
    settings->cache = TLS_CACHE_SHARED;
    settings->cache_name = conf_arg(call, index);
    settings->cache_bytes = (size_t)sessions * BUILTIN_SESSION_BYTES;
    return true;
}

static bool read_cache_word(struct conf_call *call, size_t index, struct tls_settings *settings)
{
    struct slice word = conf_arg(call, index);
    bool off = slice_eq(word, slice_of("off"));

    if (slice_starts(word, slice_of("shared:")))
        return read_shared(call, index, settings);
    if (slice_starts(word, slice_of("builtin")))
        return read_builtin(call, index, settings);
    if ((!off && !slice_eq(word, slice_of("none"))) || conf_arg_count(call) > 2)
        return conf_error(call, index, "invalid session cache \"%.*s\"", SLICE_ARG(word));
    settings->cache = off ? TLS_CACHE_OFF : TLS_CACHE_NONE;
    return true;
}

bool tls_set_session_cache(struct conf_call *call)
{
    for (size_t i = 1; i < conf_arg_count(call); i++)
        if (!read_cache_word(call, i, call->conf))
            return false;
    return true;
}

/* ---- ssl_certificate_cache */

bool tls_set_keep(struct conf_call *call)
{
    struct tls_settings *settings = call->conf;
    struct tls_keep keep = {.inactive_ms = 10 * 1000, .valid_ms = 60 * 1000};
    int64_t max = 0;

    if (slice_eq(conf_arg(call, 1), slice_of("off")) && conf_arg_count(call) == 2) {
        settings->keep = (struct tls_keep){0};
        return true;
    }
    for (size_t i = 1; i < conf_arg_count(call); i++) {
        struct slice word = conf_arg(call, i);
        struct slice value = slice_skip(word, (size_t)(slice_find(word, '=') + 1));
        bool good = false;

        if (slice_starts(word, slice_of("max=")))
            good = conf_parse_int(value, 1, 1 << 24, &max);
        else if (slice_starts(word, slice_of("inactive=")))
            good = conf_parse_msec(value, &keep.inactive_ms);
        else if (slice_starts(word, slice_of("valid=")))
            good = conf_parse_msec(value, &keep.valid_ms);
        if (!good)
            return conf_error(call, i, "invalid parameter \"%.*s\"", SLICE_ARG(word));
    }
    if (max == 0)
        return conf_error(call, 0, "\"ssl_certificate_cache\" must have the \"max\" parameter");
    keep.max = (unsigned)max;
    settings->keep = keep;
    return true;
}
