/* Names to addresses: the cache, who waits for it, and the thread that asks.
 *
 *   lookup, follower --> name (cache) --due--> hosts file, else dns.c --> settle --> followers;
 * mail to the loops
 *
 * One lock guards it all; the thread gives it up only while it waits. Runs in: worker, its own
 * thread and loop threads. */
#include "balance/resolver.h"

#include "balance/dns_internal.h"
#include "balance/resolver_internal.h"
#include "base/arena.h"
#include "base/clock.h"
#include "event/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    BUCKETS = 4096,
    NAMES_MAX = 10000, /* that nobody follows: names made from requests must not fill the memory */
    IN_FLIGHT_MAX = 512,
    FDS_MAX = 256,
    IDLE_MS = 600 * 1000,  /* a name nobody asked for so long is forgotten */
    HOSTS_VALID_MS = 5000, /* an answer from the hosts file: looking again costs a stat() */
    RETRY_FIRST_MS = 1000,
    RETRY_LONGEST_MS = 15000,
    TIMEOUT_MS = 30000,
    WAIT_LONGEST_MS = 60000,
    HOSTS_ADDRESSES_MAX = 64,
};

struct name {
    struct name *next; /* in its bucket */
    struct list link;  /* in resolver->names */
    struct resolver *resolver;
    struct channel *channel;
    uint64_t hash;
    uint64_t valid_ms;
    bool system, ipv4, ipv6;
    bool asking;               /* the DNS holds a pointer to it */
    bool answered;             /* the first answer or failure is there */
    struct address *addresses; /* owned */
    size_t count;
    size_t turn;       /* rotates the order from lookup to lookup */
    const char *error; /* of the last question; the addresses may be good nevertheless */
    uint64_t due_ms;   /* until then the answer stands */
    uint64_t used_ms;
    uint64_t retry_ms;
    struct list followers;
    struct lookup_job *jobs;
    struct slice host; /* behind the struct; terminated */
};

/* Belongs to the resolver until it is posted, then to the loop. `lookup` and `deadline` are the
 * loop's all the time. */
struct lookup_job {
    struct mail mail;
    struct lookup_job *next;
    struct lookup *lookup; /* NULL: nobody waits any more */
    struct loop *loop;
    struct deadline deadline;
    struct address *addresses; /* owned */
    size_t count;
    const char *error;
};

struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    pthread_t thread;
    bool running, stopping;
    bool dirty; /* somebody wants something new */
    int wake_fd;
    struct dns dns;
    struct list names;
    size_t name_count;
    size_t followed_count;
    uint64_t next_due_ms;
    struct name *buckets[BUCKETS];
};

/* ---- delivering */

static struct address *copy_rotated(const struct name *name, size_t turn)
{
    struct address *copy = malloc(name->count * sizeof(*copy));

    for (size_t i = 0; copy != NULL && i < name->count; i++)
        copy[i] = name->addresses[(i + turn) % name->count];
    return copy;
}

/* Loop thread: the addresses into the asker's arena, with his port. */
static enum lookup_result fill(struct lookup *lookup, const struct address *addresses, size_t count,
                               const char *error)
{
    struct address *copy = NULL;

    if (count > 0)
        copy = arena_alloc(lookup->arena, count * sizeof(*copy));
    if (copy == NULL) {
        lookup->addresses = NULL;
        lookup->address_count = 0;
        lookup->error = count > 0 ? "out of memory" : error;
        return LOOKUP_FAILED;
    }
    for (size_t i = 0; i < count; i++) {
        copy[i] = addresses[i];
        address_set_port(&copy[i], lookup->port);
    }
    lookup->addresses = copy;
    lookup->address_count = count;
    lookup->error = NULL;
    return LOOKUP_DONE;
}

static void on_job_home(struct loop *loop, struct mail *mail)
{
    struct lookup_job *job = container_of(mail, struct lookup_job, mail);
    struct lookup *lookup = job->lookup;

    (void)loop;
    if (lookup != NULL) {
        deadline_disarm(&job->deadline);
        lookup->job = NULL;
        fill(lookup, job->addresses, job->count, job->error);
    }
    free(job->addresses);
    free(job);
    if (lookup != NULL)
        lookup->on_done(lookup);
}

static void on_job_expire(struct deadline *deadline)
{
    struct lookup_job *job = container_of(deadline, struct lookup_job, deadline);
    struct lookup *lookup = job->lookup;

    job->lookup = NULL;
    lookup->job = NULL;
    fill(lookup, NULL, 0, "Operation timed out");
    lookup->on_done(lookup);
}

void lookup_cancel(struct lookup *lookup)
{
    if (lookup->job == NULL)
        return;
    deadline_disarm(&lookup->job->deadline);
    lookup->job->lookup = NULL;
    lookup->job = NULL;
}

static void post_jobs(struct name *name)
{
    while (name->jobs != NULL) {
        struct lookup_job *job = name->jobs;

        name->jobs = job->next;
        job->error = name->error;
        job->addresses = name->count == 0 ? NULL : copy_rotated(name, name->turn++);
        job->count = job->addresses == NULL ? 0 : name->count;
        if (job->count == 0 && job->error == NULL)
            job->error = "out of memory";
        loop_post(job->loop, &job->mail);
    }
}

static void settle(struct name *name, bool changed)
{
    bool first = !name->answered;

    name->answered = true;
    name->asking = false;
    name->resolver->dirty = true;
    if (first)
        pthread_cond_broadcast(&name->resolver->answered);
    if (first || changed) {
        list_each(it, keep, &name->followers)
        {
            struct follower *follower = container_of(it, struct follower, link);

            follower->on_change(follower, name->addresses, name->count, name->error);
        }
    }
    post_jobs(name);
}

static bool same_addresses(const struct name *name, const struct address *other, size_t count)
{
    if (name->count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        bool found = false;

        /* Servers rotate the order of what stays the same. */
        for (size_t j = 0; j < count && !found; j++)
            found = address_equal(&name->addresses[j], &other[i]);
        if (!found)
            return false;
    }
    return true;
}

/* Takes `addresses` over. */
static void settle_good(struct name *name, struct address *addresses, size_t count,
                        uint64_t valid_ms)
{
    bool changed = name->error != NULL || !same_addresses(name, addresses, count);

    if (changed) {
        free(name->addresses);
        name->addresses = addresses;
        name->count = count;
    } else {
        free(addresses);
    }
    name->error = NULL;
    name->retry_ms = 0;
    name->due_ms = clock_monotonic_ms() + (name->valid_ms > 0 ? name->valid_ms : valid_ms);
    settle(name, changed);
}

static void on_answer(void *data, struct address *addresses, size_t count, uint64_t ttl_s)
{
    settle_good(data, addresses, count, ttl_s * 1000);
}

static void on_failure(void *data, const char *error)
{
    struct name *name = data;
    bool changed = name->error == NULL;

    name->error = error;
    name->retry_ms = name->retry_ms == 0                     ? RETRY_FIRST_MS
                     : name->retry_ms * 2 < RETRY_LONGEST_MS ? name->retry_ms * 2
                                                             : RETRY_LONGEST_MS;
    name->due_ms = clock_monotonic_ms() + name->retry_ms;
    settle(name, changed);
}

/* ---- names */

struct name_key {
    struct slice host;
    struct slice servers;
    uint64_t valid_ms;
    bool ipv4, ipv6;
};

static struct name_key key_of(struct slice host, const struct resolver_conf *conf)
{
    if (host.len > 0 && host.data[host.len - 1] == '.')
        host.len--;
    if (conf == NULL)
        return (struct name_key){.host = host, .ipv4 = true, .ipv6 = true};
    return (struct name_key){.host = host,
                             .servers = conf->servers,
                             .valid_ms = conf->valid_ms,
                             .ipv4 = conf->ipv4,
                             .ipv6 = conf->ipv6};
}

static struct name *name_new(struct resolver *resolver, const struct name_key *key)
{
    struct name *name = calloc(1, sizeof(*name) + key->host.len + 1);
    char *host;

    if (name == NULL)
        return NULL;
    name->resolver = resolver;
    name->channel = dns_channel(&resolver->dns, key->servers);
    if (name->channel == NULL) {
        free(name);
        return NULL;
    }
    host = (char *)(name + 1);
    for (size_t i = 0; i < key->host.len; i++)
        host[i] = ascii_lower(key->host.data[i]);
    name->host = slice_make(host, key->host.len);
    name->hash = slice_hash(name->host);
    name->valid_ms = key->valid_ms;
    name->system = key->servers.len == 0;
    name->ipv4 = key->ipv4;
    name->ipv6 = key->ipv6;
    list_init(&name->followers);
    return name;
}

static void name_free(struct name *name)
{
    free(name->addresses);
    free(name);
}

static void name_forget(struct name *name)
{
    struct name **place = &name->resolver->buckets[name->hash % BUCKETS];

    while (*place != name)
        place = &(*place)->next;
    *place = name->next;
    list_remove(&name->link);
    name->resolver->name_count--;
    name_free(name);
}

static bool is_idle(const struct name *name)
{
    return !name->asking && name->jobs == NULL && list_empty(&name->followers);
}

/* True: there is room for one more name nobody follows. */
static bool make_room(struct resolver *resolver, uint64_t now_ms)
{
    if (resolver->name_count - resolver->followed_count < NAMES_MAX)
        return true;
    list_each(it, keep, &resolver->names)
    {
        struct name *name = container_of(it, struct name, link);

        if (is_idle(name) && name->due_ms <= now_ms)
            name_forget(name);
    }
    return resolver->name_count - resolver->followed_count < NAMES_MAX;
}

/* Finds or adds. NULL: no memory, or too many. */
static struct name *get_name(struct resolver *resolver, const struct name_key *key)
{
    uint64_t hash = slice_hash_nocase(key->host);
    struct name *name;

    for (name = resolver->buckets[hash % BUCKETS]; name != NULL; name = name->next) {
        if (name->hash == hash && slice_eq_nocase(name->host, key->host) &&
            name->valid_ms == key->valid_ms && name->ipv4 == key->ipv4 && name->ipv6 == key->ipv6 &&
            name->channel == dns_channel(&resolver->dns, key->servers))
            return name;
    }
    if (!make_room(resolver, clock_monotonic_ms()))
        return NULL;
    name = name_new(resolver, key);
    if (name == NULL)
        return NULL;
    name->hash = hash;
    name->next = resolver->buckets[hash % BUCKETS];
    resolver->buckets[hash % BUCKETS] = name;
    list_push_back(&resolver->names, &name->link);
    resolver->name_count++;
    return name;
}

/* ---- the thread */

static bool ask_hosts(struct name *name)
{
    struct address found[HOSTS_ADDRESSES_MAX];
    struct address *copy;
    size_t count = hosts_find(name->host, 0, found, HOSTS_ADDRESSES_MAX);

    if (count == 0 || (copy = malloc(count * sizeof(*copy))) == NULL)
        return false;
    memcpy(copy, found, count * sizeof(*copy));
    settle_good(name, copy, count, HOSTS_VALID_MS);
    return true;
}

static void ask(struct name *name)
{
    struct dns_question question = {
        .channel = name->channel,
        .host = name->host.data,
        .ipv4 = name->ipv4,
        .ipv6 = name->ipv6,
        .on_answer = on_answer,
        .on_failure = on_failure,
        .data = name,
    };

    if (name->system && ask_hosts(name))
        return;
    name->asking = true;
    dns_ask(&name->resolver->dns, &question);
}

static bool is_wanted(const struct name *name)
{
    return name->jobs != NULL || !list_empty(&name->followers);
}

static void ask_due(struct resolver *resolver)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t next_ms = now_ms + WAIT_LONGEST_MS;

    resolver->dirty = false;
    list_each(it, keep, &resolver->names)
    {
        struct name *name = container_of(it, struct name, link);

        if (is_idle(name) && now_ms > name->used_ms + IDLE_MS) {
            name_forget(name);
            continue;
        }
        if (name->asking || !is_wanted(name))
            continue;
        if (name->due_ms <= now_ms && resolver->dns.in_flight < IN_FLIGHT_MAX)
            ask(name);
        if (!name->asking && name->due_ms < next_ms)
            next_ms = name->due_ms;
    }
    resolver->next_due_ms = next_ms;
}

/* Without the lock. */
static void wait_for_news(struct resolver *resolver, struct pollfd *fds, size_t count, int wait_ms)
{
    uint64_t drained;

    fds[count] = (struct pollfd){.fd = resolver->wake_fd, .events = POLLIN};
    if (poll(fds, count + 1, wait_ms) > 0 && fds[count].revents != 0 &&
        read(resolver->wake_fd, &drained, sizeof(drained)) < 0)
        assert(errno == EAGAIN || errno == EINTR);
}

static void *run(void *data)
{
    struct resolver *resolver = data;
    struct pollfd fds[FDS_MAX + 1];

    pthread_mutex_lock(&resolver->lock);
    while (!resolver->stopping) {
        uint64_t now_ms = clock_monotonic_ms();
        int wait_ms;
        size_t count;

        if (resolver->dirty || now_ms >= resolver->next_due_ms)
            ask_due(resolver);
        now_ms = clock_monotonic_ms();
        wait_ms = resolver->dirty || resolver->next_due_ms <= now_ms
                      ? 1
                      : (int)(resolver->next_due_ms - now_ms);
        count = dns_wait_for(&resolver->dns, fds, FDS_MAX, &wait_ms);
        pthread_mutex_unlock(&resolver->lock);
        wait_for_news(resolver, fds, count, wait_ms);
        pthread_mutex_lock(&resolver->lock);
        dns_process(&resolver->dns, fds, count);
    }
    pthread_mutex_unlock(&resolver->lock);
    return NULL;
}

/* Under the lock. False: the thread cannot be started. */
static bool wake(struct resolver *resolver)
{
    uint64_t one = 1;
    sigset_t all, before;

    resolver->dirty = true;
    if (!resolver->running) {
        sigfillset(&all);
        sigdelset(&all, SIGSYS); /* a refused system call is told, not deadly */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        resolver->running = pthread_create(&resolver->thread, NULL, run, resolver) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (resolver->running && write(resolver->wake_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN);
    return resolver->running;
}

struct resolver *resolver_new(void)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    pthread_condattr_t attributes;

    if (resolver == NULL)
        return NULL;
    resolver->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (resolver->wake_fd < 0) {
        free(resolver);
        return NULL;
    }
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&resolver->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    list_init(&resolver->names);
    dns_init(&resolver->dns);
    return resolver;
}

static void drop_jobs(struct name *name)
{
    while (name->jobs != NULL) {
        struct lookup_job *job = name->jobs;

        name->jobs = job->next;
        if (job->lookup != NULL)
            lookup_cancel(job->lookup);
        free(job);
    }
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    if (resolver->running) {
        pthread_mutex_lock(&resolver->lock);
        resolver->stopping = true;
        wake(resolver);
        pthread_mutex_unlock(&resolver->lock);
        pthread_join(resolver->thread, NULL);
    }
    list_each(it, keep, &resolver->names) drop_jobs(container_of(it, struct name, link));
    dns_fini(&resolver->dns); /* open questions end in on_failure(), on names that still exist */
    assert(resolver->followed_count == 0);
    list_each(it, keep, &resolver->names) name_free(container_of(it, struct name, link));
    close(resolver->wake_fd);
    pthread_cond_destroy(&resolver->answered);
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

/* ---- followers */

bool resolver_follow(struct resolver *resolver, struct follower *follower, struct slice host,
                     const struct resolver_conf *conf)
{
    struct name_key key = key_of(host, conf);
    struct name *name;

    pthread_mutex_lock(&resolver->lock);
    name = get_name(resolver, &key);
    if (name != NULL && wake(resolver)) {
        resolver->followed_count += list_empty(&name->followers);
        list_push_back(&name->followers, &follower->link);
        follower->name = name;
        if (name->answered)
            follower->on_change(follower, name->addresses, name->count, name->error);
    }
    pthread_mutex_unlock(&resolver->lock);
    return follower->name != NULL;
}

void resolver_unfollow(struct resolver *resolver, struct follower *follower)
{
    if (follower->name == NULL)
        return;
    pthread_mutex_lock(&resolver->lock);
    list_remove(&follower->link);
    resolver->followed_count -= list_empty(&follower->name->followers);
    follower->name->used_ms = clock_monotonic_ms();
    follower->name = NULL;
    pthread_mutex_unlock(&resolver->lock);
}

bool resolver_wait(struct resolver *resolver, const struct follower *follower, uint64_t deadline_ms)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    int status = 0;
    bool answered;

    if (follower->name == NULL)
        return true;
    pthread_mutex_lock(&resolver->lock);
    while (!follower->name->answered && status == 0)
        status = pthread_cond_timedwait(&resolver->answered, &resolver->lock, &until);
    answered = follower->name->answered;
    pthread_mutex_unlock(&resolver->lock);
    return answered;
}

/* ---- lookups */

static struct lookup_job *job_new(struct loop *loop, struct lookup *lookup)
{
    struct lookup_job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->mail.run = on_job_home;
    job->deadline.on_expire = on_job_expire;
    job->loop = loop;
    job->lookup = lookup;
    return job;
}

static enum lookup_result start_job(struct name *name, struct loop *loop, struct lookup *lookup)
{
    struct lookup_job *job = job_new(loop, lookup);

    if (job == NULL || !wake(name->resolver)) {
        free(job);
        return fill(lookup, NULL, 0, "out of memory");
    }
    job->next = name->jobs;
    name->jobs = job;
    lookup->job = job;
    deadline_arm(loop, &job->deadline, lookup->timeout_ms > 0 ? lookup->timeout_ms : TIMEOUT_MS);
    return LOOKUP_PENDING;
}

static enum lookup_result from_cache(struct name *name, struct lookup *lookup)
{
    struct address *addresses = name->count == 0 ? NULL : copy_rotated(name, name->turn++);
    enum lookup_result result = fill(lookup, addresses, addresses == NULL ? 0 : name->count,
                                     name->error);

    free(addresses);
    return result;
}

/* Without asking anybody: a numeric address, or a name of the hosts file. */
static bool is_known(struct lookup *lookup, enum lookup_result *result)
{
    struct address found[HOSTS_ADDRESSES_MAX];
    size_t count = 0;

    if (address_parse(lookup->name, lookup->port, &found[0]) &&
        (lookup->name.len > 5 || found[0].any.sa_family != AF_UNIX) &&
        slice_find(lookup->name, ':') < 0 && slice_find(lookup->name, '.') >= 0)
        count = 1;
    else if (lookup->name.len > 1 && lookup->name.data[0] == '[' &&
             address_parse(lookup->name, lookup->port, &found[0]))
        count = 1;
    else if (!host_name_valid(lookup->name)) {
        *result = fill(lookup, NULL, 0, "Host not found");
        return true;
    } else if (lookup->conf == NULL || host_is_local(lookup->name)) {
        count = hosts_find(lookup->name, lookup->port, found, HOSTS_ADDRESSES_MAX);
    }
    if (count > 0)
        *result = fill(lookup, found, count, NULL);
    return count > 0;
}

enum lookup_result resolver_lookup(struct resolver *resolver, struct loop *loop,
                                   struct lookup *lookup)
{
    struct name_key key = key_of(lookup->name, lookup->conf);
    enum lookup_result result;
    struct name *name;

    lookup->job = NULL;
    if (is_known(lookup, &result))
        return result;
    pthread_mutex_lock(&resolver->lock);
    name = get_name(resolver, &key);
    if (name == NULL) {
        result = fill(lookup, NULL, 0, "too many names");
    } else {
        name->used_ms = loop_now_ms(loop);
        if (name->answered && (name->due_ms > name->used_ms || !list_empty(&name->followers)))
            result = from_cache(name, lookup);
        else
            result = start_job(name, loop, lookup);
    }
    pthread_mutex_unlock(&resolver->lock);
    return result;
}
