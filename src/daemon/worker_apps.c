/* What a worker tells the master of apps. Runs in: worker, first loop. */
#include "balance/balance.h"
#include "balance/roster.h"
#include "daemon/worker_internal.h"

/* Without a master nobody wants to know. */
static bool tell(const struct worker *worker, enum message_kind kind, struct slice text)
{
    return worker->master_gone || channel_send(worker->channel.fd, kind, 0, text);
}

static bool tell_wanted(void *data, struct slice name)
{
    return tell(data, MESSAGE_APP_WANTED, name);
}

static bool tell_load(void *data, struct slice text)
{
    return tell(data, MESSAGE_APP_LOAD, text);
}

void worker_apps_init(struct worker *worker)
{
    const struct roster_master master = {.wanted = tell_wanted, .load = tell_load, .data = worker};

    roster_attach(balance_roster(worker->shared.balance), &master);
}
