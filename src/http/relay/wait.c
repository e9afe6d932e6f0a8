/* A request that waits for an instance of its app: idle or starting, or replaced just now. Runs in:
 * worker, loop thread. */
#include "balance/wait.h"

#include "config/directive.h"
#include "http/feature.h"
#include "http/relay/relay_internal.h"

#include <assert.h>
#include <limits.h>

extern struct feature app_wait_feature;

struct app_wait_conf {
    uint64_t wait_ms;
    int queue;
};

static void on_change(void *data)
{
    struct relay *r = data;

    assert(r->state == RELAY_WAITING);
    deadline_disarm(&r->deadline);
    pick_wait_end(&r->pick);
    r->state = RELAY_IDLE;
    relay_connect(r);
}

void relay_wait_over(struct relay *r)
{
    pick_wait_end(&r->pick);
    if (r->pick.lost)
        relay_no_peer(r, 502, "no other instance came in time: ");
    else
        relay_no_peer(r, 504, "no instance became ready in time: ");
}

bool relay_wait(struct relay *r)
{
    const struct app_wait_conf *conf = exchange_conf(r->x, app_wait_feature);
    struct waiting waiting = {.wait_ms = conf->wait_ms,
                              .limit = (unsigned)conf->queue,
                              .on_change = on_change,
                              .data = r};
    uint64_t rest_ms = 0;

    switch (pick_wait(&r->pick, &waiting, &rest_ms)) {
    case WAIT_NOT:
        return false;
    case WAIT_BEGUN:
        r->state = RELAY_WAITING;
        r->x->doing = "waiting for an instance of an app";
        relay_await(r, rest_ms);
        break;
    case WAIT_OVER:
        relay_wait_over(r);
        break;
    case WAIT_FULL:
        relay_no_peer(r, 503, "app_queue requests wait already: ");
        break;
    case WAIT_NO_MEMORY:
        relay_refuse(r, 500);
        break;
    }
    return true;
}

#define T struct app_wait_conf

static const struct directive directives[] = {
    {"app_wait", CTX_HTTP_ALL, MSEC(T, wait_ms), .def = "10s",
     .doc = "How long a request may wait for an app that has no instance ready but one on its way, "
            "or that is started by the request. Then the answer is 504; 0: at once."},
    {"app_queue", CTX_HTTP_ALL, INT(T, queue), .def = "1000", .max = 1000000,
     .doc = "How many requests may wait for one app. Further ones are answered with 503."},
};

struct feature app_wait_feature = {
    .conf = {.name = "app_wait",
             .conf_bytes = sizeof(T),
             .directives = directives,
             .directive_count = COUNT(directives)},
};
