/* From descriptors to a snapshot. Runs in: worker, first loop; build_*: a thread of its own, so
 * that no request waits. */
#include "balance/balance.h"
#include "daemon/worker_internal.h"

#include "base/arena.h"
#include "base/list.h"
#include "config/files.h"
#include "daemon/load.h"
#include "daemon/pack.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { NAMES_WAIT_MS = 2000 }; /* for the first answers about the names of upstreams */

enum { MANIFEST_BYTES_MAX = 64 << 20, FIXED_FDS = 2 };

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* Which descriptor each loop gets for each spec. */
static bool place_listeners(struct worker_bundle *bundle)
{
    const struct manifest *manifest = bundle->manifest;
    unsigned loop_count = bundle->worker->loop_count;

    for (size_t i = 0; i < manifest->listener_count; i++) {
        if (manifest->listeners[i].spec >= manifest->listener_count)
            return false;
        if (bundle->spec_count <= manifest->listeners[i].spec)
            bundle->spec_count = manifest->listeners[i].spec + 1;
    }
    bundle->loop_fds = calloc(bundle->spec_count * loop_count + 1, sizeof *bundle->loop_fds);
    if (bundle->loop_fds == NULL)
        return false;
    for (size_t i = 0; i < manifest->listener_count; i++) {
        const struct manifest_listener *listener = &manifest->listeners[i];

        for (unsigned loop = 0; loop < loop_count; loop++) {
            if (!listener->options.reuseport || listener->loop == loop)
                bundle->loop_fds[loop * bundle->spec_count + listener->spec] =
                    bundle->listeners[i]->fd;
        }
    }
    return true;
}

/* Takes the listeners and logs over, `fds` behind the fixed ones. */
static bool adopt(struct worker_bundle *bundle, const int *fds)
{
    const struct manifest *manifest = bundle->manifest;
    bool complete = true;

    bundle->listeners = calloc(manifest->listener_count + 1, sizeof *bundle->listeners);
    bundle->log_fds = calloc(manifest->logs.count + 1, sizeof *bundle->log_fds);
    if (bundle->listeners == NULL || bundle->log_fds == NULL) {
        close_all(fds, manifest->listener_count + manifest->logs.count);
        return false;
    }
    for (size_t i = 0; i < manifest->listener_count; i++) {
        bundle->listeners[i] = fd_table_adopt(&bundle->worker->listeners,
                                              manifest->listeners[i].key, *fds++);
        complete = complete && bundle->listeners[i] != NULL;
    }
    for (size_t i = 0; i < manifest->logs.count; i++)
        bundle->log_fds[i] = *fds++;
    return complete && place_listeners(bundle);
}

static struct manifest *read_manifest(int fd)
{
    struct slice bytes = unpack_memfd(fd, MANIFEST_BYTES_MAX);
    struct manifest *manifest = bytes.data == NULL ? NULL : manifest_unpack(bytes);

    free((char *)bytes.data);
    return manifest;
}

struct worker_bundle *worker_bundle_new(struct worker *worker, const int *fds, size_t count,
                                        struct diag *diag)
{
    struct worker_bundle *bundle = calloc(1, sizeof *bundle);
    struct manifest *manifest;

    if (bundle == NULL || count < FIXED_FDS) {
        close_all(fds, count);
        free(bundle);
        diag_add(diag, DIAG_ERROR, NULL, "the bundle is not complete");
        return NULL;
    }
    bundle->worker = worker;
    bundle->record_fd = fds[1];
    bundle->manifest = manifest = read_manifest(fds[0]);
    close(fds[0]);
    if (manifest == NULL || manifest->loop_count != worker->loop_count ||
        count != FIXED_FDS + manifest->listener_count + manifest->logs.count) {
        close_all(fds + FIXED_FDS, count - FIXED_FDS);
        diag_add(diag, DIAG_ERROR, NULL, "the bundle does not fit this worker");
    } else if (adopt(bundle, fds + FIXED_FDS)) {
        return bundle;
    } else {
        diag_add(diag, DIAG_ERROR, NULL, "no memory for the bundle");
    }
    worker_bundle_free(bundle);
    return NULL;
}

void worker_bundle_deafen(struct worker_bundle *bundle)
{
    for (size_t i = 0; bundle->listeners != NULL && i < bundle->manifest->listener_count; i++)
        fd_table_unref(&bundle->worker->listeners, bundle->listeners[i]);
    free(bundle->listeners);
    bundle->listeners = NULL;
}

void worker_bundle_free(struct worker_bundle *bundle)
{
    if (bundle == NULL)
        return;
    snapshot_unref(bundle->snapshot);
    worker_bundle_deafen(bundle);
    for (size_t i = 0; bundle->log_fds != NULL && i < bundle->manifest->logs.count; i++) {
        if (bundle->log_fds[i] >= 0)
            close(bundle->log_fds[i]);
    }
    if (bundle->record_fd >= 0)
        close(bundle->record_fd);
    manifest_free(bundle->manifest);
    free(bundle->log_fds);
    free(bundle->loop_fds);
    free(bundle->error);
    free(bundle);
}

struct log_hold { /* a snapshot's reference to an open log; its arena */
    struct fd_table *table;
    struct shared_fd *shared;
};

static void release_log(void *data)
{
    const struct log_hold *hold = data;

    fd_table_unref(hold->table, hold->shared);
}

static bool build_log(struct worker_bundle *bundle, size_t index, struct log_file *file)
{
    struct log_hold *hold = arena_alloc(bundle->snapshot->arena, sizeof *hold);

    if (hold == NULL)
        return false;
    hold->table = &bundle->worker->logs;
    hold->shared = fd_table_adopt(hold->table, file->path, bundle->log_fds[index]);
    bundle->log_fds[index] = -1;
    if (hold->shared == NULL)
        return false;
    log_file_opened(file, hold->shared->fd);
    if (arena_on_drop(bundle->snapshot->arena, release_log, hold))
        return true;
    release_log(hold);
    return false;
}

/* The same text loads to the same logs in the same order: what differs is a fault that must be
 * seen. */
static bool build_logs(struct worker_bundle *bundle, struct diag *diag)
{
    const struct manifest_texts *logs = &bundle->manifest->logs;
    size_t index = 0;

    for (struct log_file *file = bundle->snapshot->log_files; file != NULL; file = file->next) {
        if (index >= logs->count || !slice_eq(logs->items[index], file->path)) {
            diag_add(diag, DIAG_ERROR, NULL, "log \"%.*s\" was not handed over",
                     SLICE_ARG(file->path));
            return false;
        }
        if (!build_log(bundle, index++, file)) {
            diag_add(diag, DIAG_ERROR, NULL, "no memory");
            return false;
        }
    }
    return true;
}

static bool check_listeners(const struct worker_bundle *bundle, struct diag *diag)
{
    const struct manifest *manifest = bundle->manifest;
    size_t count;
    const struct listen_spec *specs = http_listen_specs(bundle->snapshot, &count);

    if (count != bundle->spec_count) {
        diag_add(diag, DIAG_ERROR, NULL, "%zu sockets were handed over for %zu addresses",
                 bundle->spec_count, count);
        return false;
    }
    for (size_t i = 0; i < manifest->listener_count; i++) {
        if (slice_starts(manifest->listeners[i].key, specs[manifest->listeners[i].spec].text))
            continue;
        diag_add(diag, DIAG_ERROR, NULL, "another socket than \"%.*s\" was handed over",
                 SLICE_ARG(specs[manifest->listeners[i].spec].text));
        return false;
    }
    return true;
}

static char *print_text(const struct diag *diag)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL)
        return NULL;
    diag_print(diag, out);
    fclose(out);
    return text;
}

static void on_built(struct loop *loop, struct mail *mail)
{
    struct worker *worker = container_of(mail, struct worker, built);

    (void)loop;
    if (worker->over)
        return;
    pthread_join(worker->builder, NULL);
    worker_built(worker, worker->building);
}

/* The first answers about names are worth a short wait: a request that comes before them would get
 * a 502. */
static bool build_upstreams(struct worker_bundle *bundle, struct diag *diag)
{
    struct balance *balance = bundle->worker->shared.balance;
    struct upstreams *upstreams = bundle->snapshot->http_upstreams;

    if (upstreams == NULL)
        return true;
    if (!balance_start(balance, upstreams)) {
        diag_add(diag, DIAG_ERROR, NULL, "no memory for the upstreams");
        return false;
    }
    balance_wait(balance, upstreams, NAMES_WAIT_MS);
    return true;
}

static void *build(void *data)
{
    struct worker_bundle *bundle = data;
    struct worker *worker = bundle->worker;
    struct diag *diag;
    struct diag record_diag;
    struct load load;
    struct config_files *files;
    bool built;

    diag_init(&record_diag);
    files = config_files_from_record(bundle->record_fd, &record_diag);
    built = load_run(&load, worker->options, files);
    diag = files == NULL ? &record_diag : &load.diag;
    if (built) {
        bundle->snapshot = load_take(&load);
        built = bundle->snapshot != NULL && check_listeners(bundle, diag) &&
                build_logs(bundle, diag) && snapshot_open(bundle->snapshot, diag) &&
                build_upstreams(bundle, diag);
    }
    if (built) {
        bundle->snapshot->generation = bundle->generation;
    } else {
        bundle->error = print_text(diag);
        snapshot_unref(bundle->snapshot);
        bundle->snapshot = NULL;
    }
    load_fini(&load);
    diag_fini(&record_diag);
    worker->built.run = on_built;
    loop_post(worker->loops[0].loop, &worker->built);
    return NULL;
}

bool worker_bundle_build(struct worker_bundle *bundle)
{
    errno = pthread_create(&bundle->worker->builder, NULL, build, bundle);
    return errno == 0;
}
