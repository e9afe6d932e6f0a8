#include "http/auth_delay.h"

#include "base/arena.h"
#include "event/loop.h"
#include "http/core_conf.h"
#include "http/feature.h"

extern struct feature auth_delay_feature;

struct auth_delay {
    struct deadline deadline;
    struct exchange *x; /* NULL: not begun */
};

static void on_due(struct deadline *deadline)
{
    struct exchange *x = container_of(deadline, struct auth_delay, deadline)->x;

    x->on_abort = NULL;
    exchange_resume(x);
}

/* Its deadline ends with the exchange's arena. */
static void on_gone(struct exchange *x)
{
    (void)x;
}

static void disarm(void *data)
{
    struct auth_delay *delay = data;

    deadline_disarm(&delay->deadline);
}

bool auth_delay_holds(struct exchange *x)
{
    uint64_t delay_ms = core_of(x)->auth_delay;
    struct auth_delay *delay = delay_ms == 0 ? NULL
                                             : exchange_slot(x, &auth_delay_feature, sizeof *delay);

    if (delay == NULL)
        return false;
    if (delay->x != NULL)
        return deadline_armed(&delay->deadline);
    if (!arena_on_drop(x->subject.arena, disarm, delay))
        return false;
    delay->x = x;
    x->on_abort = on_gone; /* so that a client that leaves ends the waiting */
    delay->deadline.on_expire = on_due;
    deadline_arm(x->loop, &delay->deadline, delay_ms);
    return true;
}

/* Only a slot: the directive is the core's. */
struct feature auth_delay_feature = {.conf = {.name = "http_core"}};
