/* Directives of the http core: limits, time-outs, files, error pages. Runs in: any process, at load
 * time. */
#include "http/core_conf.h"

#include "balance/resolver.h"
#include "balance/upstream.h"
#include "base/arena.h"
#include "base/diag.h"
#include "config/loader.h"
#include "config/snapshot.h"
#include "http/response.h"
#include "http/types.h"

#include <limits.h>

static const struct conf_word lingering_words[] = {
    {"off", LINGERING_OFF}, {"on", LINGERING_ON}, {"always", LINGERING_ALWAYS}, {NULL, 0}};
static const struct conf_word satisfy_words[] = {
    {"all", SATISFY_ALL}, {"any", SATISFY_ANY}, {NULL, 0}};
static const struct conf_word tokens_words[] = {
    {"off", TOKENS_OFF}, {"on", TOKENS_ON}, {"build", TOKENS_BUILD}, {NULL, 0}};
static const struct conf_word keepalive_disable_words[] = {{"none", 0},
                                                           {"msie6", KEEPALIVE_DISABLE_MSIE6},
                                                           {"safari", KEEPALIVE_DISABLE_SAFARI},
                                                           {NULL, 0}};
static const struct conf_word modified_words[] = {
    {"off", MODIFIED_OFF}, {"exact", MODIFIED_EXACT}, {"before", MODIFIED_BEFORE}, {NULL, 0}};
static const struct conf_word body_file_words[] = {
    {"off", BODY_FILE_OFF}, {"on", BODY_FILE_ON}, {"clean", BODY_FILE_CLEAN}, {NULL, 0}};

static struct template *compile(struct conf_call *call, size_t index, struct slice text)
{
    const char *error = NULL;
    struct template *made = template_compile(call->loader->variables, call->loader->arena, text,
                                             &error);

    if (made == NULL)
        conf_error(call, index, "%s", error);
    return made;
}

/* ---- keepalive_timeout TIME [HEADER_TIME] */

static bool set_keepalive_timeout(struct conf_call *call)
{
    struct core_conf *conf = call->conf;

    conf->keepalive_header_s = 0;
    if (!conf_parse_msec(conf_arg(call, 1), &conf->keepalive_timeout))
        return conf_error(call, 1, "invalid time \"%.*s\"", SLICE_ARG(conf_arg(call, 1)));
    if (conf_arg_count(call) > 2 && !conf_parse_sec(conf_arg(call, 2), &conf->keepalive_header_s))
        return conf_error(call, 2, "invalid time \"%.*s\"", SLICE_ARG(conf_arg(call, 2)));
    return true;
}

/* ---- error_page CODE... [=[CODE]] URI */

static bool read_status(struct conf_call *call, size_t index, int *status)
{
    int64_t number;

    if (!conf_parse_int(conf_arg(call, index), 300, 599, &number))
        return conf_error(call, index, "value \"%.*s\" must be between 300 and 599",
                          SLICE_ARG(conf_arg(call, index)));
    if (number == 499)
        return conf_error(call, index, "value \"499\" cannot be used: the client has gone");
    *status = (int)number;
    return true;
}

static bool read_overwrite(struct conf_call *call, size_t index, int *overwrite)
{
    struct slice word = conf_arg(call, index);
    int64_t number;

    if (word.len == 1) {
        *overwrite = -1;
        return true;
    }
    if (!conf_parse_int(slice_skip(word, 1), 200, 999, &number))
        return conf_error(call, index, "invalid value \"%.*s\"", SLICE_ARG(word));
    *overwrite = (int)number;
    return true;
}

static bool add_page(struct conf_call *call, const struct error_page *page)
{
    struct core_conf *conf = call->conf;
    struct error_page *copy = arena_alloc(call->loader->arena, sizeof *copy);
    const struct error_page **last = &conf->error_pages;

    if (copy == NULL)
        return conf_error(call, 0, "no memory for the configuration");
    *copy = *page;
    while (*last != NULL)
        last = (const struct error_page **)(uintptr_t) & (*last)->next;
    *last = copy;
    return true;
}

static bool set_error_page(struct conf_call *call)
{
    struct core_conf *conf = call->conf;
    size_t count = conf_arg_count(call);
    struct error_page page = {0};
    size_t codes = count - 2;

    if (call->first)
        conf->error_pages = NULL;
    if (codes > 1 && conf_arg(call, codes).len > 0 && conf_arg(call, codes).data[0] == '=') {
        if (!read_overwrite(call, codes, &page.overwrite))
            return false;
        codes--;
    }
    page.uri = compile(call, count - 1, conf_arg(call, count - 1));
    if (page.uri == NULL)
        return false;
    for (size_t i = 1; i <= codes; i++)
        if (!read_status(call, i, &page.status) || !add_page(call, &page))
            return false;
    return true;
}

/* ---- others */

static bool set_resolver(struct conf_call *call)
{
    struct core_conf *conf = call->conf;

    struct upstreams *upstreams = upstreams_of(call->loader);

    conf->resolver = resolver_conf_parse(call);
    if (conf->resolver == NULL)
        return false;
    if (upstreams == NULL)
        return conf_error(call, 0, "no memory");
    if (call->scope->context == CTX_HTTP)
        upstreams->resolver = conf->resolver;
    return true;
}

static bool set_aio(struct conf_call *call)
{
    struct core_conf *conf = call->conf;
    struct slice word = conf_arg(call, 1);

    conf->aio_threads = slice_starts(word, slice_of("threads"));
    if (conf->aio_threads || slice_eq(word, slice_of("off")))
        return true;
    if (!slice_eq(word, slice_of("on")))
        return conf_error(call, 1, "invalid value \"%.*s\": \"on\", \"off\" or \"threads\"",
                          SLICE_ARG(word));
    conf->aio_threads = true; /* Linux's own AIO wants O_DIRECT; threads serve the purpose */
    return true;
}

static bool set_directio(struct conf_call *call)
{
    struct core_conf *conf = call->conf;

    if (slice_eq(conf_arg(call, 1), slice_of("off")))
        conf->directio = SIZE_MAX;
    else if (!conf_parse_bytes(conf_arg(call, 1), &conf->directio))
        return conf_error(call, 1, "invalid size \"%.*s\"", SLICE_ARG(conf_arg(call, 1)));
    return true;
}

static bool set_max_ranges(struct conf_call *call)
{
    struct core_conf *conf = call->conf;
    int64_t number;

    if (!conf_parse_int(conf_arg(call, 1), 0, INT_MAX, &number))
        return conf_error(call, 1, "invalid number \"%.*s\"", SLICE_ARG(conf_arg(call, 1)));
    conf->max_ranges = (int)number;
    return true;
}

static bool set_internal(struct conf_call *call)
{
    struct core_conf *conf = call->conf;

    conf->internal = true;
    return true;
}

static bool set_temp_path(struct conf_call *call)
{
    struct core_conf *conf = call->conf;

    conf->client_body_temp_path = loader_path(call->loader, conf_arg(call, 1));
    if (conf->client_body_temp_path.data == NULL)
        return conf_error(call, 0, "no memory for the configuration");
    return true;
}

static bool check_large_buffers(struct conf_call *call)
{
    const struct core_conf *conf = call->conf;

    if (conf->large_client_header_buffers.bytes >= 256)
        return true;
    return conf_error(call, 2,
                      "the buffers of \"large_client_header_buffers\" must have at least "
                      "256 bytes");
}

static bool finish(struct loader *loader, struct scope *scope, void *data)
{
    struct core_conf *conf = data;
    uint64_t head = conf->client_header_buffer_size +
                    (uint64_t)conf->large_client_header_buffers.count *
                        conf->large_client_header_buffers.bytes;

    if ((conf->types == NULL && (conf->types = types_default(loader->arena)) == NULL) ||
        conf->client_body_temp_path.data == NULL ||
        !snapshot_work_dir(loader->context, "client_body", conf->client_body_temp_path,
                           scope->context)) {
        diag_add(loader->diag, DIAG_ERROR, NULL, "no memory for the configuration");
        return false;
    }
    conf->limits = (struct h1_limits){
        .line_bytes_max = (uint32_t)conf->large_client_header_buffers.bytes,
        .header_bytes_max = (uint32_t)conf->large_client_header_buffers.bytes,
        .head_bytes_max = head > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)head,
        .headers_max = (uint32_t)conf->max_headers,
    };
    return true;
}

/* ---- early_hints TEXT... */

static bool set_early_hints(struct conf_call *call)
{
    struct core_conf *conf = call->conf;
    size_t count = conf_arg_count(call) - 1;
    struct template **hints = arena_zalloc(call->loader->arena, (count + 1) * sizeof *hints);

    if (hints == NULL)
        return conf_error(call, 0, "no memory");
    for (size_t i = 0; i < count; i++)
        if ((hints[i] = compile(call, i + 1, conf_arg(call, i + 1))) == NULL)
            return false;
    conf->early_hints = hints;
    return true;
}

bool core_passes_hints(struct exchange *x)
{
    struct template *const *hint = core_of(x)->early_hints;

    if (hint == NULL)
        return true;
    while (*hint != NULL && !template_true(*hint, &x->subject))
        hint++;
    return *hint != NULL;
}

/* limit_rate belongs to the response: worked out when that begins. */
static bool on_head(struct exchange *x)
{
    const struct core_conf *conf = core_of(x);
    struct slice text;
    size_t bytes;

    if (!x->limit_rate_set && conf->limit_rate != NULL) {
        if (template_is_zero(conf->limit_rate)) {
            x->limit_rate = 0;
            return true;
        }
        if (!template_eval(conf->limit_rate, &x->subject, &text))
            return false;
        x->limit_rate = conf_parse_bytes(text, &bytes) ? bytes : 0;
    }
    if (conf->limit_rate_after == NULL || x->limit_rate == 0)
        return true;
    if (!template_eval(conf->limit_rate_after, &x->subject, &text))
        return false;
    x->limit_rate_after = conf_parse_bytes(text, &bytes) ? bytes : 0;
    return true;
}

#define T struct core_conf
#define HS (CTX_HTTP | CTX_SERVER)
#define HSL CTX_HTTP_ALL
#define HSLI (CTX_HTTP_ALL | CTX_LOCATION_IF)
#define SIZED_BY_US "tables are sized by what they hold: there is nothing to tune"

static const struct directive directives[] = {
    {"client_header_timeout", HS, MSEC(T, client_header_timeout), .def = "60s",
     .doc = "How long a request's line and header fields may take to arrive; then 408."},
    {"client_header_buffer_size", HS, BYTES(T, client_header_buffer_size), .def = "1k", .min = 16,
     .max = 1 << 20, .doc = "Counts towards the largest request head that is accepted."},
    {"large_client_header_buffers", HS, BUFFERS(T, large_client_header_buffers), .def = "4 8k",
     .min = 1, .max = 1024, .check = check_large_buffers,
     .doc = "Number and size: no request line (414) or header line (400) may be longer than one of "
            "them, no head larger than all together."},
    {"max_headers", HS, INT(T, max_headers), .def = "1000", .min = 1, .max = 65536,
     .doc = "How many header lines a request may have; more are answered with 400."},
    {"ignore_invalid_headers", HS, FLAG(T, ignore_invalid_headers), .def = "on",
     .doc = "Drop header fields with unusual names; when off, names that are no tokens are refused "
            "with 400."},
    {"underscores_in_headers", HS, FLAG(T, underscores_in_headers), .def = "off",
     .doc = "Take header names with underscores for valid."},
    {"merge_slashes", HS, FLAG(T, merge_slashes), .def = "on",
     .doc = "See \"//\" in a path as \"/\" when a location is chosen."},
    {"keepalive_timeout", HSL, CUSTOM, .def = "75s", .args_min = 1, .args_max = 2,
     .set = set_keepalive_timeout,
     .doc = "How long an idle client connection stays open; 0 closes after each response. A second "
            "time is told to clients as \"Keep-Alive: timeout=\"."},
    {"keepalive_time", HSL, MSEC(T, keepalive_time), .def = "1h",
     .doc = "A connection older than this is closed after the next response."},
    {"keepalive_min_timeout", HSL, MSEC(T, keepalive_min_timeout), .def = "0",
     .doc =
         "An idle connection is not closed earlier, not even at a graceful end or when there are "
         "too many."},
    {"keepalive_requests", HSL, INT(T, keepalive_requests), .def = "1000",
     .doc = "A connection is closed after so many requests."},
    {"keepalive_disable", HSL, BITS(T, keepalive_disable), .def = "msie6",
     .words = keepalive_disable_words,
     .doc = "Browsers that get no keep-alive connections after a POST."},
    {"send_timeout", HSL, MSEC(T, send_timeout), .def = "60s",
     .doc = "How long a client may take nothing of a response before its connection is closed."},
    {"reset_timedout_connection", HSL, FLAG(T, reset_timedout_connection), .def = "off",
     .doc = "End connections that timed out with RST, so that the kernel frees their memory at "
            "once."},
    {"tcp_nodelay", HSL, FLAG(T, tcp_nodelay), .def = "on",
     .doc = "Send small pieces at once (TCP_NODELAY)."},
    {"tcp_nopush", HSL, FLAG(T, tcp_nopush), .def = "off",
     .doc = "Send a response's head and the beginning of its file in one packet; done in any case "
            "here."},
    {"lingering_close", HSL, ENUM(T, lingering_close), .def = "on", .words = lingering_words,
     .doc = "Read what a client still sends before its connection is closed, so that it sees the "
            "answer."},
    {"lingering_time", HSL, MSEC(T, lingering_time), .def = "30s", .doc = "How long in all."},
    {"lingering_timeout", HSL, MSEC(T, lingering_timeout), .def = "5s",
     .doc = "How long to wait for more each time."},
    {"client_max_body_size", HSL, BYTES(T, client_max_body_size), .def = "1m",
     .doc = "The largest request body; more is answered with 413. 0: any."},
    {"client_body_buffer_size", HSL, BYTES(T, client_body_buffer_size), .def = "16k", .min = 1,
     .max = 1 << 30,
     .doc = "A body larger than this goes to a temporary file while it is buffered."},
    {"client_body_timeout", HSL, MSEC(T, client_body_timeout), .def = "60s",
     .doc = "How long to wait for the next part of a request's body; then 408."},
    {"client_body_temp_path", HSL, CUSTOM, .def = "client_body_temp", .args_min = 1, .args_max = 4,
     .set = set_temp_path,
     .doc = "Folder of temporary files with request bodies. They have no names, so that levels of "
            "sub-folders are accepted and not needed."},
    {"client_body_in_file_only", HSL, ENUM(T, client_body_in_file_only), .def = "off",
     .words = body_file_words, .doc = "Put every request body into a file."},
    {"client_body_in_single_buffer", HSL, FLAG(T, client_body_in_single_buffer), .def = "off",
     .doc = "$request_body is in one piece in any case; kept for compatibility."},
    {"types", HSL, CUSTOM, .block = true, .early = true, .repeatable = true, .set = conf_set_types,
     .doc = "File name extensions and their media types.",
     .example = "types { text/html html htm; image/png png; }"},
    {"default_type", HSL, TEXT(T, default_type), .def = "text/plain",
     .doc = "Media type of files whose extension is not in `types`."},
    {"types_hash_max_size", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = SIZED_BY_US, .doc = "Accepted: the table of types sizes itself."},
    {"types_hash_bucket_size", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = SIZED_BY_US, .doc = "Accepted: the table of types sizes itself."},
    {"server_names_hash_max_size", CTX_HTTP, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = SIZED_BY_US, .doc = "Accepted: the table of names sizes itself."},
    {"server_names_hash_bucket_size", CTX_HTTP, NOTHING, .args_min = 1, .args_max = 1,
     .quiet = true, .noop = SIZED_BY_US, .doc = "Accepted: the table of names sizes itself."},
    {"variables_hash_max_size", CTX_HTTP, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = SIZED_BY_US, .doc = "Accepted: the table of variables sizes itself."},
    {"variables_hash_bucket_size", CTX_HTTP, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = SIZED_BY_US, .doc = "Accepted: the table of variables sizes itself."},
    {"connection_pool_size", HS, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "idle connections own no pool", .doc = "Accepted: memory is managed otherwise."},
    {"request_pool_size", HS, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "exchanges share their memory", .doc = "Accepted: memory is managed otherwise."},
    {"output_buffers", HSL, NOTHING, .args_min = 2, .args_max = 2, .quiet = true,
     .noop = "files are sent by the kernel", .doc = "Accepted: files are sent without buffers."},
    {"subrequest_output_buffer_size", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "what a part of a page is made of goes straight into the page",
     .doc = "Size of the buffer that holds the answer to a subrequest."},
    {"postpone_output", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "what one turn makes is sent at once",
     .doc = "Accepted: output is gathered by turns."},
    {"send_lowat", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "Linux ignores it", .doc = "Accepted: without effect on Linux."},
    {"msie_padding", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "for browsers of the past", .doc = "Accepted: error pages are not padded."},
    {"msie_refresh", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "for browsers of the past", .doc = "Accepted: redirects are never refreshes."},
    {"sendfile", HSLI, FLAG(T, sendfile), .def = "off",
     .doc = "Let the kernel copy files to sockets. Files are sent that way in any case."},
    {"sendfile_max_chunk", HSL, BYTES(T, sendfile_max_chunk), .def = "2m",
     .doc = "How much of a file one call may send, so that a fast client does not hold a loop."},
    {"aio", HSL, CUSTOM, .def = "off", .args_min = 1, .args_max = 1, .set = set_aio,
     .doc = "Open and read files in threads, so that a slow disk does not stop a loop."},
    {"aio_write", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "temporary files are written to the page cache",
     .doc = "Accepted: temporary files go to the page cache."},
    {"directio", HSL, CUSTOM, .def = "off", .args_min = 1, .args_max = 1, .set = set_directio,
     .doc = "Files at least this large are read by threads, past sendfile."},
    {"directio_alignment", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "the page cache aligns", .doc = "Accepted: the page cache aligns."},
    {"read_ahead", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "the kernel reads ahead by itself", .doc = "Accepted: the kernel reads ahead."},
    {"etag", HSL, FLAG(T, etag), .def = "on", .doc = "Give files an ETag."},
    {"if_modified_since", HSL, ENUM(T, if_modified_since), .def = "exact", .words = modified_words,
     .doc = "How a file's time is compared with If-Modified-Since."},
    {"max_ranges", HSL, CUSTOM, .def = "2147483647", .args_min = 1, .args_max = 1,
     .set = set_max_ranges, .doc = "How many ranges one request may ask for; 0: none."},
    {"log_not_found", HSL, FLAG(T, log_not_found), .def = "on",
     .doc = "Log files that are not there."},
    {"log_subrequest", HSL, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .noop = "subrequests are not logged", .doc = "Accepted: subrequests are not logged."},
    {"error_page", HSLI, CUSTOM, .repeatable = true, .args_min = 2, .args_max = 255,
     .set = set_error_page,
     .doc =
         "What is shown for these statuses: a path, a URL or a named location; \"=code\" changes "
         "the status, \"=\" takes the page's own.",
     .example = "error_page 500 502 503 504 /50x.html;"},
    {"recursive_error_pages", HSL, FLAG(T, recursive_error_pages), .def = "off",
     .doc = "An error while an error page is made may have its own error page."},
    {"absolute_redirect", HSL, FLAG(T, absolute_redirect), .def = "on",
     .doc = "Redirects of our own name scheme and host."},
    {"server_name_in_redirect", HSL, FLAG(T, server_name_in_redirect), .def = "off",
     .doc = "Such redirects name the server's first name instead of the host asked for."},
    {"port_in_redirect", HSL, FLAG(T, port_in_redirect), .def = "on",
     .doc = "Such redirects name the port, if it is not the scheme's own."},
    {"chunked_transfer_encoding", HSL, FLAG(T, chunked_transfer_encoding), .def = "on",
     .doc = "Allow chunks for HTTP/1.1; when off, a body of unknown length ends the connection."},
    {"server_tokens", HSL, ENUM(T, server_tokens), .def = "on", .words = tokens_words,
     .doc = "Show the version in the Server field and on error pages."},
    {"limit_rate", HSLI, TEMPLATE(T, limit_rate), .def = "0",
     .doc = "Bytes per second of one response; 0: no limit. Variables may be used."},
    {"limit_rate_after", HSLI, TEMPLATE(T, limit_rate_after), .def = "0",
     .doc = "Bytes of a response that go out before limit_rate counts."},
    {"satisfy", HSL, ENUM(T, satisfy), .def = "all", .words = satisfy_words,
     .doc = "Whether all access rules must agree, or any of them is enough."},
    {"auth_delay", HSL, MSEC(T, auth_delay), .def = "0s",
     .doc = "How long a request that is refused with 401 waits for its answer, so that passwords "
            "cannot be tried quickly."},
    {"early_hints", HSL, CUSTOM, .args_min = 1, .args_max = 255, .set = set_early_hints,
     .doc = "When a peer's answers with status 103 are passed to the client: if one of these texts "
            "is neither empty nor \"0\". Without it they always are.",
     .example = "early_hints $http2;"},
    {"internal", CTX_LOCATION, CUSTOM, .set = set_internal,
     .doc = "Only for requests made inside: error_page, try_files, rewrites, X-Accel-Redirect."},
    {"resolver", HSL, CUSTOM, .args_min = 1, .args_max = 255, .set = set_resolver,
     .doc =
         "Name servers for names that are known only at run time, as in proxy_pass with variables, "
         "and for servers of upstreams with \"resolve\"; and how long answers hold. Without it the "
         "system's are asked.",
     .example = "resolver 127.0.0.1 [::1]:5353 valid=30s;"},
    {"resolver_timeout", HSL, MSEC(T, resolver_timeout), .def = "30s",
     .doc = "How long a name may take to be looked up."},
};

struct feature http_core_feature = {
    .conf = {.name = "http_core",
             .conf_bytes = sizeof(struct core_conf),
             .directives = directives,
             .directive_count = COUNT(directives),
             .finish = finish},
    .on_head = on_head,
};
