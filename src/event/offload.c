/* A few threads that may block. Runs in: see the header; everything in `struct offload` is guarded
 * by its mutex, jobs on their way are touched by one thread at a time. */
#include "event/offload.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct offload {
    pthread_mutex_t mutex;
    pthread_cond_t work_or_end;
    struct job *first;
    struct job **last;
    unsigned queued;
    unsigned queue_max;
    unsigned idle; /* threads that wait for a job */
    unsigned started;
    unsigned thread_max;
    bool ending;
    pthread_t threads[];
};

static void come_home(struct loop *loop __attribute__((unused)), struct mail *mail)
{
    struct job *job = container_of(mail, struct job, mail);

    job->done(job); /* may free the job: nothing may follow */
}

/* Waits for a job with the mutex held; NULL: the pool ends and the queue is empty. */
static struct job *next_job(struct offload *offload)
{
    struct job *job;

    offload->idle++;
    while (offload->first == NULL && !offload->ending)
        pthread_cond_wait(&offload->work_or_end, &offload->mutex);
    offload->idle--;
    job = offload->first;
    if (job == NULL)
        return NULL;
    offload->first = job->next;
    if (offload->first == NULL)
        offload->last = &offload->first;
    offload->queued--;
    return job;
}

static void *run_thread(void *data)
{
    struct offload *offload = data;
    struct job *job;

    pthread_mutex_lock(&offload->mutex);
    while ((job = next_job(offload)) != NULL) {
        pthread_mutex_unlock(&offload->mutex);
        job->work(job);
        job->mail.run = come_home;
        loop_post(job->home, &job->mail); /* the home loop's from here on */
        pthread_mutex_lock(&offload->mutex);
    }
    pthread_mutex_unlock(&offload->mutex);
    return NULL;
}

struct offload *offload_new(unsigned thread_count, unsigned queue_max)
{
    struct offload *offload = calloc(1, sizeof *offload + thread_count * sizeof(pthread_t));

    assert(thread_count > 0);
    if (offload == NULL)
        return NULL;
    offload->thread_max = thread_count;
    offload->queue_max = queue_max;
    offload->last = &offload->first;
    pthread_mutex_init(&offload->mutex, NULL);
    pthread_cond_init(&offload->work_or_end, NULL);
    return offload;
}

void offload_free(struct offload *offload)
{
    if (offload == NULL)
        return;
    pthread_mutex_lock(&offload->mutex);
    offload->ending = true;
    pthread_cond_broadcast(&offload->work_or_end);
    pthread_mutex_unlock(&offload->mutex);

    for (unsigned i = 0; i < offload->started; i++)
        pthread_join(offload->threads[i], NULL);
    assert(offload->first == NULL);
    pthread_cond_destroy(&offload->work_or_end);
    pthread_mutex_destroy(&offload->mutex);
    free(offload);
}

/* One thread more if all are busy. Signals are for the threads that wait for them. */
static void start_thread(struct offload *offload)
{
    sigset_t all;
    sigset_t before;

    if (offload->idle > offload->queued || offload->started == offload->thread_max)
        return;
    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* a refused system call is told, not deadly */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&offload->threads[offload->started], NULL, run_thread, offload) == 0)
        offload->started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

bool offload_submit(struct offload *offload, struct loop *home, struct job *job)
{
    bool accepted = false;

    assert(job->work != NULL);
    assert(job->done != NULL);
    pthread_mutex_lock(&offload->mutex);
    assert(!offload->ending);
    start_thread(offload);
    if (offload->started > 0 && offload->queued < offload->queue_max) {
        job->home = home;
        job->next = NULL;
        *offload->last = job;
        offload->last = &job->next;
        offload->queued++;
        pthread_cond_signal(&offload->work_or_end);
        accepted = true;
    }
    pthread_mutex_unlock(&offload->mutex);
    return accepted;
}
