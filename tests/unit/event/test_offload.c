#include "event/offload.h"

#include "tests/unit/check.h"

#include <pthread.h>
#include <stdlib.h>

struct sum {
    struct job job;
    pthread_t worker;
    int from;
    int result;
};

static int done_count;
static int done_sum;

static void add_up(struct job *job)
{
    struct sum *sum = container_of(job, struct sum, job);

    sum->worker = pthread_self();
    for (int i = 0; i <= sum->from; i++)
        sum->result += i;
}

static void on_added(struct job *job)
{
    struct sum *sum = container_of(job, struct sum, job);

    CHECK(!pthread_equal(sum->worker, pthread_self()));
    done_sum += sum->result;
    done_count++;
    free(sum);
}

static bool submit(struct offload *offload, struct loop *loop, int from)
{
    struct sum *sum = calloc(1, sizeof *sum);

    CHECK(sum != NULL);
    sum->from = from;
    sum->job.work = add_up;
    sum->job.done = on_added;
    if (offload_submit(offload, loop, &sum->job))
        return true;
    free(sum);
    return false;
}

TEST(jobs_come_home)
{
    struct loop *loop = loop_new(0);
    struct offload *offload = offload_new(3, 1000);

    done_count = 0;
    done_sum = 0;
    for (int i = 0; i < 500; i++)
        CHECK(submit(offload, loop, 10));
    while (done_count < 500)
        loop_turn(loop, -1);
    CHECK_EQ(done_sum, 500 * 55);
    offload_free(offload);
    loop_free(loop);
}

TEST(queued_jobs_are_finished_at_the_end)
{
    struct loop *loop = loop_new(0);
    struct offload *offload = offload_new(1, 100);
    int accepted = 0;

    done_count = 0;
    for (int i = 0; i < 50; i++)
        accepted += submit(offload, loop, 1000);
    CHECK_EQ(accepted, 50);
    offload_free(offload);
    loop_turn(loop, 0);
    CHECK_EQ(done_count, 50);
    loop_free(loop);
}

/* A job that holds its thread until the test lets it go. */
struct gate {
    struct job job;
    pthread_mutex_t closed;
    pthread_barrier_t entered;
    bool done;
};

static void wait_at_gate(struct job *job)
{
    struct gate *gate = container_of(job, struct gate, job);

    pthread_barrier_wait(&gate->entered);
    pthread_mutex_lock(&gate->closed);
    pthread_mutex_unlock(&gate->closed);
}

static void on_gate_open(struct job *job)
{
    container_of(job, struct gate, job)->done = true;
}

TEST(a_full_queue_refuses)
{
    struct loop *loop = loop_new(0);
    struct offload *offload = offload_new(1, 2);
    struct gate gate = {.job = {.work = wait_at_gate, .done = on_gate_open}};

    done_count = 0;
    pthread_mutex_init(&gate.closed, NULL);
    pthread_barrier_init(&gate.entered, NULL, 2);
    pthread_mutex_lock(&gate.closed);
    CHECK(offload_submit(offload, loop, &gate.job));
    pthread_barrier_wait(&gate.entered); /* the only thread is busy now */
    CHECK(submit(offload, loop, 1));
    CHECK(submit(offload, loop, 1));
    CHECK(!submit(offload, loop, 1));
    pthread_mutex_unlock(&gate.closed);
    while (done_count < 2 || !gate.done)
        loop_turn(loop, -1);
    CHECK(submit(offload, loop, 1), "there is room again");
    offload_free(offload);
    loop_free(loop);
    CHECK_EQ(done_count, 3);
    pthread_barrier_destroy(&gate.entered);
    pthread_mutex_destroy(&gate.closed);
}

TEST(a_pool_without_work_has_no_threads)
{
    offload_free(offload_new(4, 1));
    offload_free(NULL);
}
