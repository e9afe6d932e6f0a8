/* A reason for a loop to look at something. Runs in: worker, any thread. */
#include "balance/nudge_internal.h"

#include "base/list.h"
#include "event/loop.h"

#include <stdatomic.h>
#include <stdlib.h>

struct nudge {
    struct mail mail;
    struct loop *loop;      /* borrowed */
    atomic_bool under_way;  /* the mail is the loop's */
    void (*fn)(void *data); /* NULL: the owner has gone, the mail frees */
    void *data;
};

static void on_mail(struct loop *loop, struct mail *mail)
{
    struct nudge *nudge = container_of(mail, struct nudge, mail);

    (void)loop;
    if (nudge->fn == NULL) {
        free(nudge);
        return;
    }
    /* Before looking: what changes while we look is worth another look. */
    atomic_store_explicit(&nudge->under_way, false, memory_order_seq_cst);
    nudge->fn(nudge->data); /* may free `nudge`: nothing may follow */
}

struct nudge *nudge_new(struct loop *loop, void (*fn)(void *data), void *data)
{
    struct nudge *nudge = calloc(1, sizeof(*nudge));

    if (nudge == NULL)
        return NULL;
    nudge->mail.run = on_mail;
    nudge->loop = loop;
    nudge->fn = fn;
    nudge->data = data;
    return nudge;
}

void nudge_send(struct nudge *nudge)
{
    if (!atomic_exchange_explicit(&nudge->under_way, true, memory_order_seq_cst))
        loop_post(nudge->loop, &nudge->mail);
}

void nudge_free(struct nudge *nudge)
{
    if (nudge == NULL)
        return;
    nudge->fn = NULL;
    if (!atomic_load_explicit(&nudge->under_way, memory_order_seq_cst))
        free(nudge);
}
