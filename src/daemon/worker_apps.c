/* What a worker tells the master of apps. Runs in: worker, first loop. */
#include "balance/balance.h"
#include "balance/roster.h"
#include "daemon/worker_internal.h"

/* Without a master nobody wants to know. */
static bool tell(const struct worker *worker, enum message_kind kind, uint64_t number,
                 struct slice text)
{
    return worker->master_gone || channel_send(worker->channel.fd, kind, number, text);
}

static bool tell_wanted(void *data, struct slice name)
{
    return tell(data, MESSAGE_APP_WANTED, 0, name);
}

static bool tell_load(void *data, uint64_t version, struct slice text)
{
    return tell(data, MESSAGE_APP_LOAD, version, text);
}

void worker_apps_init(struct worker *worker)
{
    const struct roster_master master = {.wanted = tell_wanted, .load = tell_load, .data = worker};

    roster_attach(balance_roster(worker->shared.balance), &master);
}
