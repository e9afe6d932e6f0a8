/* metrics: what is counted, of all loops together, in the text form of Prometheus.
 * Runs in: load: any; answers: worker, loop thread. */
#include "base/arena.h"
#include "base/list.h"
#include "http/conf.h"
#include "http/http_loop.h"
#include "http/response.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { PAGE_BYTES = 8192 };

struct page {
    char text[PAGE_BYTES];
    size_t len;
};

#define AT(member) offsetof(struct http_counters, member)

static const struct {
    const char *name;
    const char *type;
    const char *help;
    size_t at;
} rows[] = {
    {"connections_accepted_total", "counter", "Connections of clients accepted.", AT(accepted)},
    {"connections_handled_total", "counter", "Those that there was room for.", AT(handled)},
    {"connections_active", "gauge", "Connections of clients that are open.", AT(active)},
    {"connections_reading", "gauge", "Those whose request's head is being read.", AT(reading)},
    {"connections_writing", "gauge", "Those with a request that is being answered.", AT(writing)},
    {"connections_waiting", "gauge", "Those between two requests.", AT(waiting)},
    {"http_requests_total", "counter", "Requests.", AT(requests)},
    {"tls_handshakes_total", "counter", "TLS handshakes with clients that were completed.",
     AT(handshakes)},
    {"tls_handshakes_resumed_total", "counter", "Those that resumed a session (ticket or cache).",
     AT(handshakes_resumed)},
    {"tls_handshakes_early_total", "counter", "Those that brought early data along.",
     AT(handshakes_early)},
};

/* What `reason` is; in the order of enum tls_failure. */
static const char *const reasons[TLS_FAILURE_COUNT] = {
    [TLS_FAILURE_PROTOCOL] = "protocol", [TLS_FAILURE_CLOSED] = "closed",
    [TLS_FAILURE_TIMEOUT] = "timeout",   [TLS_FAILURE_LIMIT] = "limit",
    [TLS_FAILURE_NAME] = "name",         [TLS_FAILURE_OFFER] = "offer",
    [TLS_FAILURE_ALERT] = "alert",       [TLS_FAILURE_OURS] = "certificate",
};

/* Other loops go on counting meanwhile: each number is right, their sum is of about now. */
static uint64_t total(const struct http_shared *shared, size_t at)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < shared->loop_count; i++) {
        const struct http_loop *loop = shared->loops[i];
        const char *counters = (const char *)&loop->counters;

        if (loop != NULL)
            sum += __atomic_load_n((const uint64_t *)(const void *)(counters + at),
                                   __ATOMIC_RELAXED);
    }
    return sum;
}

static void add(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct page *page, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(page->text + page->len, sizeof page->text - page->len, format, args);

    va_end(args);
    assert(len >= 0);
    page->len += (size_t)len;
    assert(page->len < sizeof page->text); /* its size does not depend on anything but this file */
}

static void add_failures(struct page *page, const struct http_shared *shared)
{
    add(page, "# HELP pelayan_tls_handshakes_failed_total TLS handshakes with clients that came to "
              "nothing.\n# TYPE pelayan_tls_handshakes_failed_total counter\n");
    for (size_t i = 0; i < TLS_FAILURE_COUNT; i++)
        add(page, "pelayan_tls_handshakes_failed_total{reason=\"%s\"} %" PRIu64 "\n", reasons[i],
            total(shared, AT(handshakes_failed[i])));
}

static void answer(struct exchange *x, void *data)
{
    const struct http_shared *shared = x->http->shared;
    struct page page = {.len = 0};

    (void)data;
    if (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD) {
        exchange_fail_now(x, 405);
        return;
    }
    for (size_t i = 0; i < COUNT(rows); i++)
        add(&page, "# HELP pelayan_%s %s\n# TYPE pelayan_%s %s\npelayan_%s %" PRIu64 "\n",
            rows[i].name, rows[i].help, rows[i].name, rows[i].type, rows[i].name,
            total(shared, rows[i].at));
    add_failures(&page, shared);
    struct slice text = arena_copy(x->subject.arena, slice_make(page.text, page.len));

    response_send(x, 200, slice_of("text/plain; version=0.0.4"), text);
}

static bool set_metrics(struct conf_call *call)
{
    struct http_location *location = conf_location(call);

    location->content = (struct content_handler){.name = "metrics", .start = answer};
    return true;
}

static const struct directive directives[] = {
    {.name = "metrics",
     .contexts = CTX_LOCATION,
     .field = CUSTOM,
     .args_min = 0,
     .args_max = 0,
     .set = set_metrics,
     .doc =
         "Answers with counts of connections, requests and TLS handshakes (and why they failed), "
         "in the text form of Prometheus.",
     .example = "location = /metrics { allow 127.0.0.1; deny all; metrics; }"},
};

struct feature metrics_feature = {
    .conf = {.name = "metrics", .directives = directives, .directive_count = COUNT(directives)},
};
