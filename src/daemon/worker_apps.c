/* What a worker tells the master of apps. Runs in: worker, first loop. */
#include "balance/balance.h"
#include "balance/roster.h"
#include "daemon/worker_internal.h"

/* Without a master nobody wants to know. */
static bool tell_wanted(void *data, struct slice name)
{
    const struct worker *worker = data;

    return worker->master_gone || channel_send(worker->channel.fd, MESSAGE_APP_WANTED, 0, name);
}

/* What did not go out is out of date the next time: it begins anew. */
static bool tell_load(void *data, uint64_t version, struct slice text)
{
    const struct worker *worker = data;
    size_t sent = 0;

    return worker->master_gone ||
           parts_send(worker->channel.fd, MESSAGE_APP_LOAD, version, text, &sent);
}

void worker_apps_init(struct worker *worker)
{
    const struct roster_master master = {.wanted = tell_wanted, .load = tell_load, .data = worker};

    roster_attach(balance_roster(worker->shared.balance), &master);
}
