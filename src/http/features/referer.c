/* valid_referers: $invalid_referer says whether the page that links here is none of ours.
 * Runs in: load: any; evaluation: worker, loop thread. */
#include "base/arena.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/snapshot.h"
#include "http/conf.h"
#include "policy/host_table.h"

/* A host's pages that may link here. */
struct page {
    struct page *next;
    struct slice path; /* the beginning it must have; empty: any */
};

struct referer_pattern {
    struct referer_pattern *next;
    struct regex *regex;
};

struct referer_conf {
    const struct referer_conf
        *self; /* whose list this is: a copy made for a block inside differs */
    bool given;
    bool none;    /* no Referer is fine */
    bool blocked; /* one without a scheme (cut by a firewall) is fine */
    bool server_names;
    struct host_table hosts; /* -> struct page */
    struct referer_pattern *patterns;
};

static bool add_host(struct conf_call *call, size_t index)
{
    struct referer_conf *conf = call->conf;
    struct arena *arena = call->loader->arena;
    struct slice text = arena_copy(arena, conf_arg(call, index));
    struct page *page = arena_zalloc(arena, sizeof *page);
    struct slice host = text;
    ptrdiff_t slash;
    struct page *first;

    if (text.data == NULL || page == NULL)
        return conf_error(call, 0, "no memory");
    slash = slice_find(text, '/');
    if (slash >= 0) {
        host = slice_head(text, (size_t)slash);
        page->path = slice_skip(text, (size_t)slash);
    }
    switch (host_table_add(&conf->hosts, host, page)) {
    case HOST_NO_MEMORY:
        return conf_error(call, 0, "no memory");
    case HOST_INVALID:
        return conf_error(call, index, "invalid hostname or wildcard \"%.*s\"", SLICE_ARG(host));
    case HOST_DUPLICATE:
        first = map_get(&conf->hosts.exact, host);
        if (first == NULL)
            return conf_error(call, index, "conflicting parameter \"%.*s\"", SLICE_ARG(host));
        page->next = first->next;
        first->next = page;
        return true;
    default:
        return true;
    }
}

static bool add_pattern(struct conf_call *call, size_t index)
{
    struct referer_conf *conf = call->conf;
    const struct snapshot *snapshot = call->loader->context;
    struct referer_pattern *made = arena_zalloc(call->loader->arena, sizeof *made);
    const char *error;

    if (made == NULL)
        return conf_error(call, 0, "no memory");
    made->regex = regex_compile(snapshot->regexes, slice_skip(conf_arg(call, index), 1), true,
                                &error);
    if (made->regex == NULL)
        return conf_error(call, index, "%s", error);
    made->next = conf->patterns;
    conf->patterns = made;
    return true;
}

static bool set_valid_referers(struct conf_call *call)
{
    struct referer_conf *conf = call->conf;

    if (conf->self != conf) {
        *conf = (struct referer_conf){.self = conf, .given = true};
        host_table_init(&conf->hosts, call->loader->arena);
    }
    for (size_t i = 1; i < conf_arg_count(call); i++) {
        struct slice word = conf_arg(call, i);

        if (slice_eq(word, slice_of("none")))
            conf->none = true;
        else if (slice_eq(word, slice_of("blocked")))
            conf->blocked = true;
        else if (slice_eq(word, slice_of("server_names")))
            conf->server_names = true;
        else if (!(slice_starts(word, slice_of("~")) ? add_pattern(call, i) : add_host(call, i)))
            return false;
    }
    return true;
}

/* Does one of the server's own names fit? */
static bool is_server_name(const struct http_server *server, struct slice host)
{
    for (size_t i = 0; i < server->name_count; i++) {
        const struct server_name *name = &server->names[i];
        struct slice text = name->text;

        switch (name->kind) {
        case SERVER_NAME_EXACT:
            if (text.len > 0 && slice_eq_nocase(text, host))
                return true;
            break;
        case SERVER_NAME_HEAD:
            text = slice_skip(text, text.len > 0 && text.data[0] == '*' ? 1 : 0);
            if (host.len >= text.len &&
                slice_eq_nocase(slice_skip(host, host.len - text.len), text))
                return true;
            if (name->text.data[0] == '.' && slice_eq_nocase(slice_skip(text, 1), host))
                return true;
            break;
        case SERVER_NAME_TAIL:
            text = slice_head(text, text.len - 1);
            if (slice_eq_nocase(slice_head(host, text.len), text))
                return true;
            break;
        case SERVER_NAME_REGEX:
            if (regex_match(name->regex, host, NULL) == REGEX_YES)
                return true;
            break;
        }
    }
    return false;
}

static bool page_fits(const struct page *page, struct slice path)
{
    for (; page != NULL; page = page->next) {
        if (slice_starts(path, page->path))
            return true;
    }
    return false;
}

/* `rest`: the Referer without its scheme. */
static bool is_known(const struct exchange *x, const struct referer_conf *conf, struct slice rest)
{
    ptrdiff_t slash = slice_find(rest, '/');
    struct slice host = slash < 0 ? rest : slice_head(rest, (size_t)slash);
    struct slice path = slash < 0 ? slice_make("", 0) : slice_skip(rest, (size_t)slash);
    ptrdiff_t colon = slice_find(host, ':');

    if (colon > 0)
        host = slice_head(host, (size_t)colon);
    if (page_fits(host_table_find(&conf->hosts, host), path))
        return true;
    if (conf->server_names && is_server_name(x->server, host))
        return true;
    for (const struct referer_pattern *it = conf->patterns; it != NULL; it = it->next) {
        if (regex_match(it->regex, rest, NULL) == REGEX_YES)
            return true;
    }
    return false;
}

extern struct feature referer_feature;

static bool is_valid(struct exchange *x, const struct referer_conf *conf)
{
    struct slice referer = exchange_header(x, HEADER_REFERER);
    static const struct slice schemes[] = {SLICE("http://"), SLICE("https://")};

    if (referer.data == NULL)
        return conf->none;
    for (size_t i = 0; i < COUNT(schemes); i++) {
        if (referer.len > schemes[i].len &&
            slice_eq_nocase(slice_head(referer, schemes[i].len), schemes[i]))
            return is_known(x, conf, slice_skip(referer, schemes[i].len));
    }
    return conf->blocked;
}

static bool get_invalid(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    const struct referer_conf *conf = exchange_conf(x, referer_feature);

    (void)v;
    *text = slice_of(!conf->given || is_valid(x, conf) ? "" : "1");
    return true;
}

static const struct variable variables[] = {
    {.name = SLICE("invalid_referer"), .get = get_invalid, .flags = VARIABLE_VOLATILE},
};

#define SIZE_ROW(name_)                                                                            \
    {                                                                                              \
        .name = name_, .contexts = CTX_SERVER | CTX_LOCATION, .field = NOTHING, .args_min = 1,     \
        .args_max = 1, .quiet = true, .noop = "tables have the size they need",                    \
        .doc = "Accepted for nginx's sake."                                                        \
    }

static const struct directive directives[] = {
    {.name = "valid_referers",
     .contexts = CTX_SERVER | CTX_LOCATION,
     .field = CUSTOM,
     .args_min = 1,
     .args_max = 255,
     .repeatable = true,
     .set = set_valid_referers,
     .doc = "Which pages may link here, for $invalid_referer: none (no Referer), blocked (one "
            "without http:// or https://), server_names, names with wildcards and the beginning of "
            "a path, and regular expressions (~) over what follows the scheme.",
     .example = "valid_referers none blocked server_names *.example.com;"},
    SIZE_ROW("referer_hash_max_size"),
    SIZE_ROW("referer_hash_bucket_size"),
};

struct feature referer_feature = {
    .conf = {.name = "http_referer",
             .conf_bytes = sizeof(struct referer_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .variables = variables,
    .variable_count = COUNT(variables),
};
