/* The peer has agreed to another protocol (101): from now on both connections are byte streams.
 * Runs in: worker, loop thread. */
#include "balance/pool.h"
#include "base/buf.h"
#include "http/core_conf.h"
#include "http/relay/relay_internal.h"
#include "http/response.h"
#include "http/tunnel.h"

#include <assert.h>

static void on_tunnel_end(void *data, const char *why)
{
    struct relay *r = data;
    struct exchange *x = r->x;

    if (why != NULL)
        log_about(&x->log, LOG_LEVEL_INFO, 0, "closing the tunnel: %s", why);
    relay_end_try(r, r->answer.status);
    relay_release_peer(r, false, OUTCOME_OK);
    relay_fini(r);
    exchange_abort(x, false); /* logs, closes; `r` is gone */
}

static bool begin_head(struct relay *r)
{
    struct exchange *x = r->x;
    struct slice protocol = header_list_value(r->answer.fields, HEADER_UPGRADE);

    x->response.status = 101;
    x->response.reason = r->answer.reason;
    if (!relay_copy_fields(r))
        return false;
    return protocol.len == 0 ||
           header_list_add_id(&x->response.headers, HEADER_UPGRADE, protocol) != NULL;
}

void relay_upgrade(struct relay *r)
{
    struct exchange *x = r->x;
    struct tunnel_end *client;

    if (!begin_head(r)) {
        relay_refuse(r, 500);
        return;
    }
    r->state = RELAY_TUNNEL;
    x->doing = "proxying upgraded connection";
    deadline_disarm(&r->deadline);
    if (!response_begin(x))
        return; /* `r` is gone */
    client = x->codec->upgrade(x);
    if (client == NULL) {
        exchange_abort(x, false);
        return;
    }
    struct tunnel_setup setup = {.x = x,
                                 .client = client,
                                 .peer = &r->conn->io,
                                 .peer_tls = r->conn->tls,
                                 .peer_early = buf_used(r->in) > 0 ? buf_ref(r->in) : NULL,
                                 .peer_received = &r->try->received_bytes,
                                 .peer_sent = &r->try->sent_bytes,
                                 .read_timeout_ms = r->conf->read_timeout,
                                 .send_timeout_ms = r->conf->send_timeout,
                                 .client_send_timeout_ms = core_of(x)->send_timeout,
                                 .on_end = on_tunnel_end,
                                 .data = r};

    r->tunnel = tunnel_start(&setup);
    if (r->tunnel == NULL)
        exchange_abort(x, false);
    else
        tunnel_run(r->tunnel); /* `r` may be gone */
}
