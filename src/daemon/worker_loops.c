/* The worker's loops: threads, and letters to all of them. Runs in: worker, first loop; on_order_*:
 * each loop's own thread. */
#include "daemon/worker_internal.h"

#include "balance/balance.h"
#include "base/list.h"
#include "event/offload.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Handshakes that wait for a private key, at most: some seconds of work for all threads. */
enum { KEY_QUEUE_MAX = 1024 };

/* What all loops share of upstreams: it outlives every configuration. */
static bool start_balance(struct worker *worker)
{
    struct loop **loops = calloc(worker->loop_count, sizeof *loops);

    for (unsigned i = 0; loops != NULL && i < worker->loop_count; i++)
        loops[i] = worker->loops[i].loop;
    if (loops != NULL)
        worker->shared.balance = balance_new(loops, worker->loop_count);
    free(loops);
    if (worker->shared.balance == NULL)
        return false;
    worker_apps_init(worker);
    return true;
}

bool worker_loops_init(struct worker *worker, const struct manifest *manifest)
{
    worker->loop_count = manifest->loop_count;
    worker->loops = calloc(worker->loop_count, sizeof *worker->loops);
    worker->shared = (struct http_shared){
        .offload = offload_new(manifest->pool_threads, manifest->pool_queue),
        .keys = offload_new(worker->loop_count, KEY_QUEUE_MAX),
        .loops = calloc(worker->loop_count, sizeof *worker->shared.loops),
        .loop_count = worker->loop_count,
        .worker_connections = manifest->worker_connections,
    };
    if (worker->loops == NULL || worker->shared.loops == NULL || worker->shared.offload == NULL ||
        worker->shared.keys == NULL)
        return false;
    for (unsigned i = 0; i < worker->loop_count; i++) {
        struct worker_loop *one = &worker->loops[i];

        one->worker = worker;
        one->loop = loop_new(i);
        if (one->loop == NULL)
            return false;
        one->http = http_loop_new(one->loop, &worker->shared);
        if (one->http == NULL)
            return false;
        worker->shared.loops[i] = one->http;
    }
    return start_balance(worker);
}

void worker_loops_end(struct worker *worker)
{
    for (unsigned i = 0; worker->loops != NULL && i < worker->loop_count; i++) {
        if (worker->loops[i].has_thread)
            pthread_join(worker->loops[i].thread, NULL);
    }
    offload_free(worker->shared.offload);
    offload_free(worker->shared.keys);
    for (unsigned i = 0; worker->loops != NULL && i < worker->loop_count; i++)
        http_loop_free(worker->loops[i].http);
}

void worker_loops_free(struct worker *worker)
{
    balance_free(worker->shared.balance);
    for (unsigned i = 0; worker->loops != NULL && i < worker->loop_count; i++)
        loop_free(worker->loops[i].loop);
    free(worker->shared.loops);
    free(worker->loops);
    worker->loops = NULL;
}

static void *run_thread(void *data)
{
    struct worker_loop *one = data;

    loop_run(one->loop);
    return NULL;
}

static void pin(pthread_t thread, const struct manifest *manifest, unsigned index)
{
    size_t last = manifest->affinity_count - 1;

    if (manifest->affinity_count > 0) /* a mask that names no usable core changes nothing */
        pthread_setaffinity_np(thread, sizeof(cpu_set_t),
                               &manifest->affinity[index < last ? index : last]);
}

bool worker_loops_start(struct worker *worker, const struct manifest *manifest)
{
    worker->loops[0].thread = pthread_self();
    pin(worker->loops[0].thread, manifest, 0);
    for (unsigned i = 1; i < worker->loop_count; i++) {
        struct worker_loop *one = &worker->loops[i];
        char name[16];

        errno = pthread_create(&one->thread, NULL, run_thread, one);
        if (errno != 0)
            return false;
        one->has_thread = true;
        pin(one->thread, manifest, i);
        snprintf(name, sizeof name, "loop %u", i);
        pthread_setname_np(one->thread, name);
    }
    return true;
}

static struct loop *home(const struct worker *worker)
{
    return worker->loops[0].loop;
}

static void on_use_done(struct loop *loop, struct mail *mail)
{
    struct worker *worker = container_of(mail, struct worker_loop, use_done)->worker;
    bool by_all = true;

    (void)loop;
    if (worker->over)
        return;
    assert(worker->waiting_for > 0);
    if (--worker->waiting_for > 0)
        return;
    for (unsigned i = 0; i < worker->loop_count; i++)
        by_all = by_all && worker->loops[i].used;
    worker_used(worker, by_all);
}

static void on_order_use(struct loop *loop, struct mail *mail)
{
    struct worker_loop *one = container_of(mail, struct worker_loop, use);
    const struct worker_bundle *bundle = one->worker->next;

    if (one->worker->over)
        return;
    one->used = http_loop_use(one->http, bundle->snapshot,
                              bundle->loop_fds + loop_index(loop) * bundle->spec_count);
    one->use_done.run = on_use_done;
    loop_post(home(one->worker), &one->use_done);
}

void worker_use(struct worker *worker, struct worker_bundle *bundle)
{
    assert(worker->waiting_for == 0);
    worker->next = bundle;
    worker->waiting_for = worker->loop_count;
    for (unsigned i = 0; i < worker->loop_count; i++) {
        worker->loops[i].use.run = on_order_use;
        loop_post(worker->loops[i].loop, &worker->loops[i].use);
    }
}

static void on_empty(struct loop *loop, struct mail *mail)
{
    struct worker *worker = container_of(mail, struct worker_loop, empty)->worker;

    (void)loop;
    if (worker->over)
        return;
    assert(worker->waiting_for > 0);
    if (--worker->waiting_for == 0)
        worker_loops_stop(worker);
}

static void tell_empty(void *data)
{
    struct worker_loop *one = data;

    one->empty.run = on_empty;
    loop_post(home(one->worker), &one->empty);
}

/* No loop accepts any more. As long as anybody has a listening socket open the kernel goes on
 * accepting for it, so ours are closed: if the master has closed its own, clients are refused
 * instead of waiting for nothing. */
static void on_drain_done(struct loop *loop, struct mail *mail)
{
    struct worker *worker = container_of(mail, struct worker_loop, drain_done)->worker;

    (void)loop;
    if (worker->over)
        return;
    assert(worker->accepting > 0);
    if (--worker->accepting == 0 && worker->current != NULL)
        worker_bundle_deafen(worker->current);
}

static void on_order_drain(struct loop *loop, struct mail *mail)
{
    struct worker_loop *one = container_of(mail, struct worker_loop, drain);

    (void)loop;
    if (one->worker->over)
        return;
    http_loop_on_empty(one->http, tell_empty, one);
    http_loop_drain(one->http);
    one->drain_done.run = on_drain_done;
    loop_post(home(one->worker), &one->drain_done);
}

void worker_loops_drain(struct worker *worker)
{
    assert(worker->waiting_for == 0);
    worker->waiting_for = worker->loop_count;
    worker->accepting = worker->loop_count;
    for (unsigned i = 0; i < worker->loop_count; i++) {
        worker->loops[i].drain.run = on_order_drain;
        loop_post(worker->loops[i].loop, &worker->loops[i].drain);
    }
}

static void on_flush_done(struct loop *loop, struct mail *mail)
{
    struct worker *worker = container_of(mail, struct worker_loop, flush_done)->worker;

    (void)loop;
    if (worker->over)
        return;
    assert(worker->flushing > 0);
    if (--worker->flushing == 0)
        worker_flushed(worker);
}

static void on_order_flush(struct loop *loop, struct mail *mail)
{
    struct worker_loop *one = container_of(mail, struct worker_loop, flush);

    (void)loop;
    if (one->worker->over)
        return;
    http_loop_flush_logs(one->http);
    one->flush_done.run = on_flush_done;
    loop_post(home(one->worker), &one->flush_done);
}

void worker_loops_flush(struct worker *worker)
{
    assert(worker->flushing == 0);
    worker->flushing = worker->loop_count;
    for (unsigned i = 0; i < worker->loop_count; i++) {
        worker->loops[i].flush.run = on_order_flush;
        loop_post(worker->loops[i].loop, &worker->loops[i].flush);
    }
}

static void on_order_stop(struct loop *loop, struct mail *mail)
{
    struct worker_loop *one = container_of(mail, struct worker_loop, stop);

    if (one->worker->over)
        return;
    http_loop_abort(one->http);
    loop_stop(loop);
}

void worker_loops_stop(struct worker *worker)
{
    for (unsigned i = 0; worker->loops != NULL && i < worker->loop_count; i++) {
        if (worker->loops[i].stop.run != NULL || worker->loops[i].http == NULL)
            continue; /* on its way already, or never began */
        worker->loops[i].stop.run = on_order_stop;
        loop_post(worker->loops[i].loop, &worker->loops[i].stop);
    }
}
