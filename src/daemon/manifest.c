/* A manifest as bytes and back. Runs in: any process. */
#include "daemon/manifest.h"

#include "base/arena.h"
#include "base/log.h"
#include "daemon/pack.h"
#include "daemon/sandbox.h"

#include <limits.h>

/* The layout is private to one version of the program: the number changes with it. */
static const uint64_t magic = 0x50454c4d00000002;

enum { LOOPS_MAX = 512, NUMBER_MAX = 1 << 30 };

struct manifest *manifest_new(void)
{
    struct arena *arena = arena_new(4096);
    struct manifest *manifest = arena == NULL ? NULL : arena_zalloc(arena, sizeof *manifest);

    if (manifest == NULL)
        arena_drop(arena);
    else
        manifest->arena = arena;
    return manifest;
}

void manifest_free(struct manifest *manifest)
{
    if (manifest != NULL)
        arena_drop(manifest->arena);
}

static void pack_texts(struct packer *packer, const struct manifest_texts *texts)
{
    pack_u64(packer, texts->count);
    for (size_t i = 0; i < texts->count; i++)
        pack_text(packer, texts->items[i]);
}

static void pack_listener(struct packer *packer, const struct manifest_listener *listener)
{
    const struct listen_options *options = &listener->options;

    pack_text(packer, slice_make((const char *)&options->address.any, options->address.len));
    pack_u64(packer, (uint64_t)(int64_t)options->backlog);
    pack_u64(packer, (uint64_t)(int64_t)options->rcvbuf);
    pack_u64(packer, (uint64_t)(int64_t)options->sndbuf);
    pack_u64(packer, (uint64_t)(int64_t)options->fastopen);
    pack_u64(packer, options->reuseport);
    pack_u64(packer, options->deferred);
    pack_u64(packer, options->nodelay);
    pack_u64(packer, options->ipv6only);
    pack_u64(packer, options->keepalive_set);
    pack_u64(packer, options->keepalive);
    pack_u64(packer, (uint64_t)(int64_t)options->keepidle_s);
    pack_u64(packer, (uint64_t)(int64_t)options->keepintvl_s);
    pack_u64(packer, (uint64_t)(int64_t)options->keepcnt);
    pack_text(packer, listener->key);
    pack_text(packer, listener->file);
    pack_u64(packer, listener->line);
    pack_u64(packer, listener->spec);
    pack_u64(packer, listener->loop);
}

static void pack_process(struct packer *packer, const struct manifest *manifest)
{
    pack_u64(packer, manifest->daemon);
    pack_u64(packer, manifest->master_process);
    pack_u64(packer, manifest->switch_user);
    pack_u64(packer, manifest->uid);
    pack_u64(packer, manifest->gid);
    pack_text(packer, manifest->user);
    pack_text(packer, manifest->pid_path);
    pack_text(packer, manifest->working_directory);
    pack_u64(packer, manifest->loop_count);
    pack_u64(packer, manifest->worker_connections);
    pack_u64(packer, manifest->pool_threads);
    pack_u64(packer, manifest->pool_queue);
    pack_u64(packer, manifest->rlimit_nofile);
    pack_u64(packer, manifest->rlimit_core);
    pack_u64(packer, manifest->rlimit_core_given);
    pack_u64(packer, (uint64_t)(int64_t)manifest->priority);
    pack_u64(packer, manifest->seccomp);
    pack_u64(packer, manifest->shutdown_timeout_ms);
    pack_u64(packer, manifest->reload_timeout_ms);
}

void manifest_pack(const struct manifest *manifest, struct packer *packer)
{
    pack_u64(packer, magic);
    pack_process(packer, manifest);
    pack_u64(packer, manifest->affinity_count);
    for (size_t i = 0; i < manifest->affinity_count; i++)
        pack_text(packer, slice_make((const char *)&manifest->affinity[i], sizeof(cpu_set_t)));
    pack_texts(packer, &manifest->env);
    pack_texts(packer, &manifest->logs);
    pack_texts(packer, &manifest->work_dirs);
    pack_texts(packer, &manifest->watched);
    pack_u64(packer, manifest->watched_look);
    pack_u64(packer, manifest->broken_count);
    pack_u64(packer, manifest->sink_count);
    for (size_t i = 0; i < manifest->sink_count; i++) {
        pack_u64(packer, manifest->sinks[i].log);
        pack_u64(packer, manifest->sinks[i].level);
    }
    pack_u64(packer, manifest->listener_count);
    for (size_t i = 0; i < manifest->listener_count; i++)
        pack_listener(packer, &manifest->listeners[i]);
    pack_u64(packer, manifest->apps_follow);
    pack_text(packer, manifest->apps_home);
    pack_text(packer, manifest->apps);
}

/* A copy with a NUL behind it: the names go to system calls. */
static struct slice take_text(struct unpacker *unpacker, struct arena *arena)
{
    struct slice copy = arena_copy(arena, unpack_text(unpacker));

    if (copy.data == NULL || memchr(copy.data, '\0', copy.len) != NULL) {
        unpacker->failed = true;
        return slice_make("", 0);
    }
    return copy;
}

static int take_int(struct unpacker *unpacker)
{
    int64_t value = (int64_t)unpack_u64(unpacker);

    if (value >= INT_MIN && value <= INT_MAX)
        return (int)value;
    unpacker->failed = true;
    return 0;
}

static bool take_bool(struct unpacker *unpacker)
{
    return unpack_u64_max(unpacker, 1) == 1;
}

/* Memory for as many items as are announced; `*count` is 0 if there is none. */
static void *take_array(struct unpacker *unpacker, struct arena *arena, size_t item_bytes,
                        size_t *count)
{
    size_t announced = unpack_count(unpacker, sizeof(uint64_t));
    void *items = arena_zalloc(arena, announced * item_bytes + 1);

    if (items == NULL)
        unpacker->failed = true;
    *count = items == NULL ? 0 : announced;
    return items;
}

static void take_texts(struct unpacker *unpacker, struct arena *arena, struct manifest_texts *texts)
{
    texts->items = take_array(unpacker, arena, sizeof *texts->items, &texts->count);
    for (size_t i = 0; i < texts->count; i++)
        texts->items[i] = take_text(unpacker, arena);
}

static void take_process(struct unpacker *unpacker, struct manifest *manifest)
{
    manifest->daemon = take_bool(unpacker);
    manifest->master_process = take_bool(unpacker);
    manifest->switch_user = take_bool(unpacker);
    manifest->uid = (uid_t)unpack_u64_max(unpacker, UINT32_MAX);
    manifest->gid = (gid_t)unpack_u64_max(unpacker, UINT32_MAX);
    manifest->user = take_text(unpacker, manifest->arena);
    manifest->pid_path = take_text(unpacker, manifest->arena);
    manifest->working_directory = take_text(unpacker, manifest->arena);
    manifest->loop_count = (unsigned)unpack_u64_max(unpacker, LOOPS_MAX);
    manifest->worker_connections = (unsigned)unpack_u64_max(unpacker, NUMBER_MAX);
    manifest->pool_threads = (unsigned)unpack_u64_max(unpacker, NUMBER_MAX);
    manifest->pool_queue = (unsigned)unpack_u64_max(unpacker, NUMBER_MAX);
    manifest->rlimit_nofile = unpack_u64(unpacker);
    manifest->rlimit_core = unpack_u64(unpacker);
    manifest->rlimit_core_given = take_bool(unpacker);
    manifest->priority = take_int(unpacker);
    manifest->seccomp = (unsigned)unpack_u64_max(unpacker, SANDBOX_OFF);
    manifest->shutdown_timeout_ms = unpack_u64(unpacker);
    manifest->reload_timeout_ms = unpack_u64(unpacker);
    if (manifest->loop_count == 0)
        unpacker->failed = true;
}

static void take_affinity(struct unpacker *unpacker, struct manifest *manifest)
{
    manifest->affinity = take_array(unpacker, manifest->arena, sizeof *manifest->affinity,
                                    &manifest->affinity_count);
    for (size_t i = 0; i < manifest->affinity_count; i++) {
        struct slice mask = unpack_text(unpacker);

        if (mask.len == sizeof(cpu_set_t))
            memcpy(&manifest->affinity[i], mask.data, mask.len);
        else
            unpacker->failed = true;
    }
}

static void take_sinks(struct unpacker *unpacker, struct manifest *manifest)
{
    manifest->sinks = take_array(unpacker, manifest->arena, sizeof *manifest->sinks,
                                 &manifest->sink_count);
    for (size_t i = 0; i < manifest->sink_count; i++) {
        struct manifest_sink *sink = &manifest->sinks[i];

        sink->log = (unsigned)unpack_u64_max(unpacker, MANIFEST_STDERR);
        sink->level = (unsigned)unpack_u64_max(unpacker, LOG_LEVEL_DEBUG);
        if (sink->log != MANIFEST_STDERR && sink->log >= manifest->logs.count)
            unpacker->failed = true;
    }
}

static void take_address(struct unpacker *unpacker, struct address *address)
{
    struct slice bytes = unpack_text(unpacker);

    if (bytes.len > sizeof address->un || bytes.len < sizeof(sa_family_t)) {
        unpacker->failed = true;
        return;
    }
    memcpy(&address->any, bytes.data, bytes.len);
    address->len = (socklen_t)bytes.len;
}

static void take_listener(struct unpacker *unpacker, struct manifest *manifest,
                          struct manifest_listener *listener)
{
    struct listen_options *options = &listener->options;

    take_address(unpacker, &options->address);
    options->backlog = take_int(unpacker);
    options->rcvbuf = take_int(unpacker);
    options->sndbuf = take_int(unpacker);
    options->fastopen = take_int(unpacker);
    options->reuseport = take_bool(unpacker);
    options->deferred = take_bool(unpacker);
    options->nodelay = take_bool(unpacker);
    options->ipv6only = take_bool(unpacker);
    options->keepalive_set = take_bool(unpacker);
    options->keepalive = take_bool(unpacker);
    options->keepidle_s = take_int(unpacker);
    options->keepintvl_s = take_int(unpacker);
    options->keepcnt = take_int(unpacker);
    listener->key = take_text(unpacker, manifest->arena);
    listener->file = take_text(unpacker, manifest->arena);
    listener->line = (unsigned)unpack_u64_max(unpacker, UINT32_MAX);
    listener->spec = (unsigned)unpack_u64_max(unpacker, UINT32_MAX);
    listener->loop = (unsigned)unpack_u64_max(unpacker, LOOPS_MAX);
    if (listener->loop >= manifest->loop_count)
        unpacker->failed = true;
}

struct manifest *manifest_unpack(struct slice bytes)
{
    struct unpacker unpacker = {.rest = bytes};
    struct manifest *manifest = manifest_new();

    if (manifest == NULL)
        return NULL;
    unpacker.failed = unpack_u64(&unpacker) != magic;
    take_process(&unpacker, manifest);
    take_affinity(&unpacker, manifest);
    take_texts(&unpacker, manifest->arena, &manifest->env);
    take_texts(&unpacker, manifest->arena, &manifest->logs);
    take_texts(&unpacker, manifest->arena, &manifest->work_dirs);
    take_texts(&unpacker, manifest->arena, &manifest->watched);
    manifest->watched_look = unpack_u64(&unpacker);
    manifest->broken_count = (unsigned)unpack_u64_max(&unpacker, UINT32_MAX);
    take_sinks(&unpacker, manifest);
    manifest->listeners = take_array(&unpacker, manifest->arena, sizeof *manifest->listeners,
                                     &manifest->listener_count);
    for (size_t i = 0; i < manifest->listener_count && !unpacker.failed; i++)
        take_listener(&unpacker, manifest, &manifest->listeners[i]);
    manifest->apps_follow = take_bool(&unpacker);
    manifest->apps_home = take_text(&unpacker, manifest->arena);
    manifest->apps = take_text(&unpacker, manifest->arena);
    if (!unpacker.failed && unpacker.rest.len == 0)
        return manifest;
    manifest_free(manifest);
    return NULL;
}

static bool texts_equal(const struct manifest_texts *a, const struct manifest_texts *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!slice_eq(a->items[i], b->items[i]))
            return false;
    }
    return true;
}

static bool affinity_equal(const struct manifest *a, const struct manifest *b)
{
    return a->affinity_count == b->affinity_count &&
           (a->affinity_count == 0 ||
            memcmp(a->affinity, b->affinity, a->affinity_count * sizeof(cpu_set_t)) == 0);
}

bool manifest_needs_new_worker(const struct manifest *now, const struct manifest *next)
{
    return now->switch_user != next->switch_user || now->uid != next->uid ||
           now->gid != next->gid || now->loop_count != next->loop_count ||
           now->worker_connections != next->worker_connections ||
           now->pool_threads != next->pool_threads || now->pool_queue != next->pool_queue ||
           now->rlimit_nofile != next->rlimit_nofile || now->rlimit_core != next->rlimit_core ||
           now->rlimit_core_given != next->rlimit_core_given || now->priority != next->priority ||
           now->seccomp != next->seccomp ||
           !slice_eq(now->working_directory, next->working_directory) ||
           !texts_equal(&now->env, &next->env) || !affinity_equal(now, next);
}
