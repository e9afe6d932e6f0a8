/* add_header, add_trailer: fields added to responses. Runs in: load: any; filters: worker, loop
 * thread. */
#include "base/arena.h"
#include "base/clock.h"
#include "config/loader.h"
#include "http/feature.h"
#include "http/features/expires.h"
#include "http/response.h"

enum inherit { INHERIT_ON, INHERIT_OFF, INHERIT_MERGE };

struct added {
    const struct added *next;
    struct slice name;
    enum header_id id;
    struct template *value;
    bool always; /* also to errors */
};

/* The fields of one block, and those in force in it. */
struct added_list {
    const void *owner; /* the settings whose block `own` is of */
    struct added *own;
    const struct added *parents; /* in force in the block around */
    const struct added *all;
    int inherit;
};

struct headers_conf {
    struct added_list headers;
    struct added_list trailers;
    struct expires_conf expires;
};

/* ---- loading */

static bool add(struct conf_call *call, struct added_list *list)
{
    struct added *field = arena_zalloc(call->loader->arena, sizeof *field);
    struct added **last = &list->own;
    const char *error;

    if (field == NULL)
        return conf_error(call, 0, "no memory");
    if (list->owner != call->conf) {
        list->owner = call->conf;
        list->parents = list->all;
        list->own = NULL;
    }
    field->name = arena_copy(call->loader->arena, conf_arg(call, 1));
    field->id = header_id_of(field->name);
    field->value = template_compile(call->loader->variables, call->loader->arena, conf_arg(call, 2),
                                    &error);
    if (field->value == NULL)
        return conf_error(call, 2, "%s", error);
    if (conf_arg_count(call) == 4) {
        if (!slice_eq(conf_arg(call, 3), slice_of("always")))
            return conf_error(call, 3, "invalid parameter \"%.*s\"", SLICE_ARG(conf_arg(call, 3)));
        field->always = true;
    }
    while (*last != NULL)
        last = (struct added **)(uintptr_t) & (*last)->next;
    *last = field;
    list->all = list->own;
    return true;
}

static bool set_add_header(struct conf_call *call)
{
    return add(call, &((struct headers_conf *)call->conf)->headers);
}

static bool set_add_trailer(struct conf_call *call)
{
    return add(call, &((struct headers_conf *)call->conf)->trailers);
}

static bool set_expires(struct conf_call *call)
{
    return expires_parse(call, &((struct headers_conf *)call->conf)->expires);
}

/* The parents' fields first: copied, for a list's end cannot be shared. */
static const struct added *merge(struct arena *arena, const struct added *parents,
                                 const struct added *own)
{
    const struct added *first = own;
    const struct added **last = &first;

    for (const struct added *it = parents; it != NULL; it = it->next) {
        struct added *copy = arena_alloc(arena, sizeof *copy);

        if (copy == NULL)
            return NULL;
        *copy = *it;
        copy->next = own;
        *last = copy;
        last = &copy->next;
    }
    return first;
}

static bool resolve(struct loader *loader, struct added_list *list, const void *conf)
{
    bool has_own = list->owner == conf;
    const struct added *parents = has_own ? list->parents : list->all;
    const struct added *own = has_own ? list->own : NULL;

    if (list->inherit == INHERIT_OFF)
        list->all = own;
    else if (list->inherit == INHERIT_MERGE && own != NULL)
        list->all = merge(loader->arena, parents, own);
    return list->all != NULL || own == NULL;
}

static bool finish(struct loader *loader, struct scope *scope, void *data)
{
    struct headers_conf *conf = data;

    (void)scope;
    return resolve(loader, &conf->headers, conf) && resolve(loader, &conf->trailers, conf);
}

static const struct conf_word inherit_words[] = {
    {"on", INHERIT_ON},
    {"off", INHERIT_OFF},
    {"merge", INHERIT_MERGE},
    {NULL, 0},
};

enum { HEADERS_CONTEXTS = CTX_HTTP_ALL | CTX_LOCATION_IF };

static const struct directive directives[] = {
    {.name = "add_header",
     .contexts = HEADERS_CONTEXTS,
     .field = CUSTOM,
     .args_min = 2,
     .args_max = 3,
     .repeatable = true,
     .set = set_add_header,
     .doc = "Adds a field to responses with status 200, 201, 204, 206, 301, 302, 303, 304, 307 and "
            "308, or with always to all. An empty value adds nothing. A block with an add_header "
            "of its own no longer has those above it, unless add_header_inherit says merge.",
     .example = "add_header X-Frame-Options DENY always;"},
    {.name = "add_trailer",
     .contexts = HEADERS_CONTEXTS,
     .field = CUSTOM,
     .args_min = 2,
     .args_max = 3,
     .repeatable = true,
     .set = set_add_trailer,
     .doc = "Adds a field behind the body; the rules are those of add_header.",
     .example = "add_trailer X-Took $request_time;"},
    {.name = "add_header_inherit",
     .contexts = HEADERS_CONTEXTS,
     .field = ENUM(struct headers_conf, headers.inherit),
     .def = "on",
     .words = inherit_words,
     .doc = "on: a block without add_header has those above it; merge: a block with some has both; "
            "off: only its own."},
    {.name = "add_trailer_inherit",
     .contexts = HEADERS_CONTEXTS,
     .field = ENUM(struct headers_conf, trailers.inherit),
     .def = "on",
     .words = inherit_words,
     .doc = "As add_header_inherit, for add_trailer."},
    {.name = "expires",
     .contexts = HEADERS_CONTEXTS,
     .field = CUSTOM,
     .def = "off",
     .args_min = 1,
     .args_max = 2,
     .set = set_expires,
     .doc = "Sets Expires and Cache-Control of successful responses: a time from now, `modified` "
            "and a time from the last change, @ and a time of day, epoch, max, a negative time (no "
            "cache), or off. The time may be a variable.",
     .example = "expires 24h;"},
};

static bool on_head(struct exchange *x);

struct feature headers_feature = {
    .conf = {.name = "http_headers_filter",
             .conf_bytes = sizeof(struct headers_conf),
             .frequent = true,
             .directives = directives,
             .directive_count = COUNT(directives),
             .finish = finish},
    .idle_without = &headers_feature,
    .on_head = on_head,
};

/* ---- filters */

static bool is_successful(int status)
{
    switch (status) {
    case 200:
    case 201:
    case 204:
    case 206:
    case 301:
    case 302:
    case 303:
    case 304:
    case 307:
    case 308:
        return true;
    default:
        return false;
    }
}

/* Fields that the response keeps elsewhere, or has at most once, are replaced. */
static bool add_field(struct exchange *x, const struct added *field, struct slice value)
{
    struct header_list *headers = &x->response.headers;
    time_t modified;

    switch (field->id) {
    case HEADER_LAST_MODIFIED:
        header_list_remove_id(headers, HEADER_LAST_MODIFIED);
        x->response.last_modified = -1;
        if (value.len == 0)
            return true;
        if (clock_parse_http_date(value, &modified)) {
            x->response.last_modified = modified;
            return true;
        }
        break;
    case HEADER_ETAG:
        header_list_remove_id(headers, HEADER_ETAG);
        break;
    default:
        break;
    }
    return value.len == 0 || header_list_add(headers, field->name, value) != NULL;
}

static bool add_headers(struct exchange *x, const struct added *first, bool successful)
{
    for (const struct added *field = first; field != NULL; field = field->next) {
        struct slice value;

        if (!successful && !field->always)
            continue;
        if (!template_eval(field->value, &x->subject, &value) || !add_field(x, field, value))
            return false;
    }
    return true;
}

/* Values of trailers are known when the body has ended. */
struct trailer_filter {
    struct body_filter filter; /* first */
    const struct added *fields;
    bool successful;
};

static bool push_trailers(struct body_filter *filter, struct exchange *x, struct chunk *chunk)
{
    const struct trailer_filter *trailers = (const struct trailer_filter *)(void *)filter;

    for (const struct added *field = trailers->fields; chunk == NULL && field != NULL;
         field = field->next) {
        struct slice value;

        if (!trailers->successful && !field->always)
            continue;
        if (!template_eval(field->value, &x->subject, &value))
            return false;
        if (value.len > 0 && header_list_add(&x->response.trailers, field->name, value) == NULL)
            return false;
    }
    return body_filter_pass(filter, x, chunk);
}

static bool add_trailers(struct exchange *x, const struct added *first, bool successful)
{
    struct trailer_filter *trailers;

    if (first == NULL || x->response.no_body)
        return true;
    trailers = arena_zalloc(x->subject.arena, sizeof *trailers);
    if (trailers == NULL)
        return false;
    trailers->filter.push = push_trailers;
    trailers->fields = first;
    trailers->successful = successful;
    response_add_filter(x, &trailers->filter);
    return true;
}

static bool on_head(struct exchange *x)
{
    const struct headers_conf *conf;
    bool successful = is_successful(x->response.status);

    if (x->settings == NULL)
        return true;
    conf = exchange_conf(x, headers_feature);
    if (successful && !expires_apply(&conf->expires, x))
        return false;
    return add_headers(x, conf->headers.all, successful) &&
           add_trailers(x, conf->trailers.all, successful);
}
