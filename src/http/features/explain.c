#include "http/features/explain.h"

#include "balance/upstream.h"
#include "base/arena.h"
#include "config/snapshot.h"
#include "event/loop.h"
#include "http/features.h"
#include "http/features/proxy_internal.h"
#include "http/features/rewrite.h"
#include "http/features/try_files.h"
#include "http/response.h"
#include "http/router.h"
#include "http/steps.h"
#include "http/uri.h"

enum { LOCATION_CYCLES_MAX = 10, LOOPBACK_PORT = 80 };

extern struct feature headers_feature;

/* The exchange's stream: where its codec prints to. */
struct told {
    FILE *out;
    bool answered;
    bool moved; /* to an error page */
    bool (*tell_app)(FILE *out, struct slice name, bool surely);
    struct address local;
};

static struct told *told_of(struct exchange *x)
{
    return x->stream;
}

/* ---- a codec that only tells */

static void tell_head(struct exchange *x)
{
    FILE *out = told_of(x)->out;

    told_of(x)->answered = true;
    fprintf(out, "answer    %d", x->response.status);
    if (x->response.location.len > 0)
        fprintf(out, ", Location: %.*s", SLICE_ARG(x->response.location));
    fputc('\n', out);
}

static void tell_nothing(struct exchange *x)
{
    (void)x;
}

static void tell_abort(struct exchange *x, bool reset)
{
    (void)reset;
    told_of(x)->answered = true;
    fputs("answer    none: the connection is closed\n", told_of(x)->out);
}

static const struct codec teller = {
    .name = "HTTP/1.1",
    .send_head = tell_head,
    .flush = tell_nothing,
    .read_body = tell_nothing,
    .done = tell_nothing,
    .abort = tell_abort,
};

/* ---- the request */

static bool parse_url(struct exchange *x, const char *text, uint16_t *port)
{
    struct slice url = slice_of(text);
    struct slice rest = url;
    struct host host = {0};
    struct uri uri;
    char *scratch;
    uint64_t number = LOOPBACK_PORT;
    ptrdiff_t scheme = slice_search(url, slice_of("://"));

    if (scheme > 0) {
        rest = slice_skip(url, (size_t)scheme + 3);
        ptrdiff_t slash = slice_find(rest, '/');

        if (!parse_host(slash < 0 ? rest : slice_head(rest, (size_t)slash), &host))
            return false;
        rest = slash < 0 ? slice_of("/") : slice_skip(rest, (size_t)slash);
    }
    if (host.port.len > 0 && (!slice_to_u64(host.port, &number) || number > UINT16_MAX))
        return false;
    *port = (uint16_t)number;
    scratch = arena_bytes(x->subject.arena, rest.len + 1);
    if (scratch == NULL || parse_uri(rest, true, scratch, &uri) != URI_OK)
        return false;
    x->request.target = rest;
    x->request.path = slice_head(rest, rest.len - (uri.args.data == NULL ? 0 : uri.args.len + 1));
    x->request.uri = uri.path;
    x->request.args = uri.args;
    x->request.host = host.name;
    x->request.host_port = host.port.len > 0 ? *port : 0;
    return true;
}

static bool add_header(struct exchange *x, const char *line)
{
    struct slice value = slice_of(line);
    struct slice name;

    if (!slice_split(&value, ':', &name) || value.data == NULL || name.len == 0)
        return false;
    if (header_id_of(name) == HEADER_HOST)
        x->request.host = slice_trim(value);
    return header_list_add(x->request.headers, slice_trim(name), slice_trim(value)) != NULL;
}

static const struct http_listen *choose_listen(const struct http_conf *conf, uint16_t port)
{
    for (size_t i = 0; i < conf->listen_count; i++) {
        if (address_port(&conf->listens[i].spec.options.address) == port)
            return &conf->listens[i];
    }
    return conf->listen_count == 0 ? NULL : &conf->listens[0];
}

static bool fill_request(struct exchange *x, const struct explain_request *request)
{
    uint16_t port;

    x->request.method_name = slice_of(request->method);
    x->request.method = method_of(x->request.method_name);
    x->request.version = 11;
    x->request.content_length = -1;
    x->request.headers = arena_zalloc(x->subject.arena, sizeof *x->request.headers);
    if (x->request.headers == NULL)
        return false;
    header_list_init(x->request.headers, x->subject.arena);
    if (!parse_url(x, request->url, &port))
        return false;
    x->request.line = arena_printf(x->subject.arena, "%s %.*s HTTP/1.1", request->method,
                                   SLICE_ARG(x->request.target));
    for (size_t i = 0; i < request->header_count; i++) {
        if (!add_header(x, request->headers[i]))
            return false;
    }
    x->listen = choose_listen(x->conf, port);
    return x->listen != NULL;
}

static void fill_exchange(struct exchange *x, struct arena *arena, const struct http_conf *conf,
                          struct told *told)
{
    x->subject.arena = arena;
    x->subject.variables = conf->snapshot->http_variables;
    x->subject.log = &x->log;
    x->subject.client = &told->local;
    x->conf = conf;
    x->codec = &teller;
    x->stream = told;
    x->client_fd = -1;
    x->local = &told->local;
    x->body.temp_fd = -1;
    x->response.last = &x->response.first;
    x->response.content_length = -1;
    x->response.last_modified = -1;
    header_list_init(&x->response.headers, arena);
    header_list_init(&x->response.trailers, arena);
}

/* ---- the steps */

static void tell_place(FILE *out, struct origin origin)
{
    fprintf(out, "   %s:%u\n", origin.file, origin.line);
}

static void tell_server(struct exchange *x)
{
    FILE *out = told_of(x)->out;
    struct subject *subject = &x->subject;
    bool named = x->listen->table != NULL &&
                 server_table_find(x->listen, x->request.host, subject) == x->server;

    for (size_t i = 0; i < x->server->name_count; i++)
        named = named || (x->server->names[i].kind == SERVER_NAME_EXACT &&
                          slice_eq(x->server->names[i].text, x->request.host));

    fprintf(out, "listen    %.*s\n", SLICE_ARG(x->listen->spec.text));
    fprintf(out, "server    \"%.*s\"", SLICE_ARG(x->server->name));
    if (x->server == x->listen->fallback && !named)
        fputs(", the default of this address", out);
    else
        fprintf(out, ", for host \"%.*s\"", SLICE_ARG(x->request.host));
    tell_place(out, x->server->origin);
}

static const char *kind_name(enum location_kind kind)
{
    static const char *const names[] = {
        [LOCATION_PREFIX] = "the longest prefix",
        [LOCATION_PREFIX_FINAL] = "the longest prefix (^~: no regular expression is tried)",
        [LOCATION_EXACT] = "the same URI (=)",
        [LOCATION_REGEX] = "the first regular expression that matches",
        [LOCATION_NAMED] = "by name",
        [LOCATION_IF] = "the settings of an if or limit_except",
    };

    return names[kind];
}

static void tell_location(struct exchange *x)
{
    FILE *out = told_of(x)->out;

    if (x->location == NULL) {
        fprintf(out, "location  none for %.*s: the server's settings\n", SLICE_ARG(x->request.uri));
        return;
    }
    fprintf(out, "location  %.*s for %.*s, %s", SLICE_ARG(x->location->name),
            SLICE_ARG(x->request.uri), kind_name(x->location->kind));
    tell_place(out, x->location->origin);
}

static void on_rewrite(struct exchange *x, const struct rewrite_step *step)
{
    FILE *out = told_of(x)->out;

    switch (step->kind) {
    case STEP_IS_RULE:
        fprintf(out, "rewrite   \"%.*s\"", SLICE_ARG(step->rule.pattern));
        if (step->rule.redirect == 0)
            fprintf(out, " -> %.*s?%.*s", SLICE_ARG(x->request.uri), SLICE_ARG(x->request.args));
        break;
    case STEP_IS_RETURN:
        fprintf(out, "return    %d", step->answer.status);
        break;
    case STEP_IS_IF:
        fputs("if        the condition holds", out);
        break;
    default:
        return;
    }
    tell_place(out, step->origin);
}

/* The step after exchange_fail(), as the exchange's own driver runs it. */
static enum phase_verdict answer_failure(struct exchange *x)
{
    while (x->step == STEP_FAIL) {
        x->step = STEP_RESPOND;
        error_page_answer(x, x->fail_status);
    }
    return told_of(x)->answered ? PHASE_RESPONDS : PHASE_MOVED;
}

/* The handlers of a phase, as the exchange's own driver runs them. False: the phases are over. */
static bool run_phase(struct exchange *x, enum step step)
{
    struct feature_row row = x->conf->rows->phase[step];

    x->step = step;
    for (size_t i = 0; i < row.count && !told_of(x)->answered; i++) {
        enum phase_verdict said = row.features[i]->run(x);

        if (x->step == STEP_FAIL)
            said = answer_failure(x);
        if (said == PHASE_MOVED) {
            told_of(x)->moved = true;
            return false;
        }
        if (said == PHASE_RESPONDS || said == PHASE_WAIT)
            return false;
    }
    return !told_of(x)->answered;
}

/* False: there is an answer already. */
static bool find_location(struct exchange *x)
{
    for (unsigned cycle = 0; cycle <= LOCATION_CYCLES_MAX; cycle++) {
        x->request.uri_changed = false;
        switch (router_choose_location(x)) {
        case ROUTE_ADD_SLASH:
            fprintf(told_of(x)->out, "answer    301, Location: %.*s\n",
                    SLICE_ARG(x->response.location));
            return false;
        case ROUTE_INTERNAL_ONLY:
            tell_location(x);
            fputs("answer    404: the location is internal\n", told_of(x)->out);
            return false;
        default:
            tell_location(x);
        }
        if (!run_phase(x, STEP_REWRITE))
            return false;
        if (!x->request.uri_changed)
            return true;
    }
    fputs("answer    500: the rewrites never end\n", told_of(x)->out);
    return false;
}

static void tell_peer(struct exchange *x, const struct server *server)
{
    const struct told *told = told_of(x);
    bool surely = server->kind == SERVER_APP ||
                  (server->kind == SERVER_APP_MAYBE &&
                   upstreams_has_app(x->conf->snapshot->http_upstreams, server->name));
    bool perhaps = server->kind == SERVER_APP_MAYBE && server->address_count == 0;

    if ((surely || perhaps) && told->tell_app != NULL &&
        told->tell_app(told->out, server->name, surely))
        return;
    fprintf(told->out, "peer      %.*s%s%s\n", SLICE_ARG(server->name),
            server->backup ? ", backup" : "", server->down ? ", down" : "");
}

static void tell_peers(struct exchange *x, const struct proxy_pass *pass)
{
    FILE *out = told_of(x)->out;
    const struct upstream *upstream = pass->upstream;
    struct slice url = {0};

    if (upstream == NULL) {
        if (pass->variable_url != NULL && template_eval(pass->variable_url, &x->subject, &url))
            fprintf(out, "upstream  %.*s, known when asked for\n", SLICE_ARG(url));
        return;
    }
    if (upstream->stands_for != NULL)
        upstream = upstream->stands_for;
    fprintf(out, "upstream  %.*s, %s", SLICE_ARG(upstream->name), upstream_method(upstream));
    tell_place(out, (struct origin){upstream->file, upstream->line});
    for (const struct server *server = upstream->servers; server != NULL; server = server->next)
        tell_peer(x, server);
}

static void tell_content(struct exchange *x)
{
    FILE *out = told_of(x)->out;
    const struct http_location *location = x->location;
    struct slice text;

    for (size_t i = 0; try_files_candidate(x, i, &text); i++)
        fprintf(out, "try       %.*s\n", SLICE_ARG(text));
    if (location == NULL || location->content.start == NULL) {
        fputs("content   files: index, autoindex, static\n", out);
        return;
    }
    fprintf(out, "content   %s\n", location->content.name);
    const struct proxy_pass *pass = proxy_pass_of(x);

    if (pass != NULL)
        tell_peers(x, pass);
}

static void tell_headers(struct exchange *x)
{
    uint32_t at = 0;

    if (!x->response.begun) {
        x->response.status = 200;
        if (!headers_feature.on_head(x))
            return;
    }
    for (const struct header *h; (h = header_list_next(&x->response.headers, &at)) != NULL;)
        fprintf(told_of(x)->out, "header    %.*s: %.*s\n", SLICE_ARG(h->name), SLICE_ARG(h->value));
}

/* From the server's rewrites, or from a named location, to the content. */
static void walk_once(struct exchange *x)
{
    bool goes_on;

    if (x->flags & X_NAMED) {
        tell_location(x);
        goes_on = run_phase(x, STEP_REWRITE);
    } else {
        goes_on = run_phase(x, STEP_SERVER_REWRITE) && find_location(x);
    }
    if (goes_on)
        tell_content(x);
}

static void walk(struct exchange *x)
{
    struct told *told = told_of(x);

    router_choose_server(x);
    x->settings = x->server->settings;
    tell_server(x);
    do {
        told->moved = false;
        walk_once(x);
        if (told->moved)
            fputs("error     its page is asked for inside\n", told->out);
    } while (told->moved && !told->answered);
    tell_headers(x);
}

bool explain(const struct http_conf *conf, const struct explain_request *request, FILE *out)
{
    struct told told = {.out = out, .tell_app = request->tell_app};
    struct arena *arena = arena_new(16384);
    struct exchange *x = arena == NULL ? NULL : arena_zalloc(arena, sizeof *x);
    struct loop *loop = loop_new(0);
    bool done = false;

    if (x == NULL || loop == NULL || !address_parse(slice_of("127.0.0.1"), 0, &told.local)) {
        fputs("no memory\n", out);
        goto out;
    }
    fill_exchange(x, arena, conf, &told);
    x->loop = loop;
    if (!fill_request(x, request)) {
        fprintf(out, "cannot understand the request %s %s\n", request->method, request->url);
        goto out;
    }
    rewrite_observe(on_rewrite);
    walk(x);
    rewrite_observe(NULL);
    done = true;
out:
    loop_free(loop);
    arena_drop(arena);
    return done;
}
