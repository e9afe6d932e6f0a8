/* stub_status: how many connections and requests there are, of all loops together.
 * Runs in: load: any; answers: worker, loop thread. */
#include "base/arena.h"
#include "http/conf.h"
#include "http/features/variable_text.h"
#include "http/http_loop.h"
#include "http/response.h"

#include <inttypes.h>

struct totals {
    uint64_t active;
    uint64_t accepted;
    uint64_t handled;
    uint64_t requests;
    uint64_t reading;
    uint64_t writing;
    uint64_t waiting;
};

/* Other loops go on counting meanwhile: each number is right, their sum is of about now. */
static uint64_t read_counter(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static struct totals count(const struct exchange *x)
{
    const struct http_shared *shared = x->http->shared;
    struct totals sum = {0};

    for (unsigned i = 0; i < shared->loop_count; i++) {
        const struct http_loop *loop = shared->loops[i];

        if (loop == NULL)
            continue;
        sum.active += read_counter(&loop->counters.active);
        sum.accepted += read_counter(&loop->counters.accepted);
        sum.handled += read_counter(&loop->counters.handled);
        sum.requests += read_counter(&loop->counters.requests);
        sum.reading += read_counter(&loop->counters.reading);
        sum.writing += read_counter(&loop->counters.writing);
        sum.waiting += read_counter(&loop->counters.waiting);
    }
    return sum;
}

static void answer(struct exchange *x, void *data)
{
    struct totals sum = count(x);
    struct slice text;

    (void)data;
    if (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD) {
        exchange_fail_now(x, 405);
        return;
    }
    text = arena_printf(x->subject.arena,
                        "Active connections: %" PRIu64 " \n"
                        "server accepts handled requests\n"
                        " %" PRIu64 " %" PRIu64 " %" PRIu64 " \n"
                        "Reading: %" PRIu64 " Writing: %" PRIu64 " Waiting: %" PRIu64 " \n",
                        sum.active, sum.accepted, sum.handled, sum.requests, sum.reading,
                        sum.writing, sum.waiting);
    response_send(x, 200, slice_of("text/plain"), text);
}

static bool set_stub_status(struct conf_call *call)
{
    struct http_location *location = conf_location(call);

    location->content = (struct content_handler){.name = "stub_status", .start = answer};
    return true;
}

static bool get(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    struct totals sum = count(x);

    return text_decimal(x, *(const uint64_t *)(const void *)((const char *)&sum + v->data), text);
}

static const struct directive directives[] = {
    {.name = "stub_status",
     .contexts = CTX_LOCATION,
     .field = CUSTOM,
     .args_min = 0,
     .args_max = 1,
     .set = set_stub_status,
     .doc = "Answers with counts of connections and requests, in nginx's form.",
     .example = "stub_status;"},
};

#define TOTAL(name_, member)                                                                       \
    {                                                                                              \
        .name = SLICE(name_), .get = get, .data = offsetof(struct totals, member),                 \
        .flags = VARIABLE_VOLATILE                                                                 \
    }

static const struct variable variables[] = {
    TOTAL("connections_active", active),
    TOTAL("connections_reading", reading),
    TOTAL("connections_writing", writing),
    TOTAL("connections_waiting", waiting),
};

struct feature stub_status_feature = {
    .conf = {.name = "http_stub_status",
             .directives = directives,
             .directive_count = COUNT(directives)},
    .variables = variables,
    .variable_count = COUNT(variables),
};
