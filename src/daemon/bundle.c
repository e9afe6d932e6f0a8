/* One good config as the master holds it. Runs in: master. */
#include "daemon/bundle.h"

#include "base/diag.h"
#include "daemon/bundle_internal.h"
#include "daemon/channel.h"
#include "daemon/manifest.h"
#include "daemon/pack.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum { MANIFEST_BYTES_MAX = 64 << 20, FIXED_FDS = 2 };

static struct manifest *read_manifest(int fd)
{
    struct slice bytes = unpack_memfd(fd, MANIFEST_BYTES_MAX);
    struct manifest *manifest = bytes.data == NULL ? NULL : manifest_unpack(bytes);

    free((char *)bytes.data);
    return manifest;
}

static bool allocate(struct bundle *bundle)
{
    bundle->sockets = calloc(bundle->manifest->listener_count + 1, sizeof *bundle->sockets);
    bundle->logs = calloc(bundle->manifest->logs.count + 1, sizeof *bundle->logs);
    return bundle->sockets != NULL && bundle->logs != NULL;
}

struct bundle *bundle_open(struct bundle_tables *tables, int manifest_fd, int record_fd,
                           struct diag *diag)
{
    struct bundle *bundle = calloc(1, sizeof *bundle);

    if (bundle == NULL) {
        close(manifest_fd);
        close(record_fd);
        diag_add(diag, DIAG_ERROR, NULL, "no memory");
        return NULL;
    }
    *bundle = (struct bundle){.tables = tables,
                              .manifest = read_manifest(manifest_fd),
                              .manifest_fd = manifest_fd,
                              .record_fd = record_fd};
    if (bundle->manifest == NULL || !allocate(bundle)) {
        diag_add(diag, DIAG_ERROR, NULL, "the manifest cannot be read");
        bundle_free(bundle);
        return NULL;
    }
    if (!bundle_open_dirs(bundle, diag) || !bundle_open_logs(bundle, diag) ||
        !bundle_open_sockets(bundle, diag)) {
        bundle_free(bundle);
        return NULL;
    }
    return bundle;
}

static void close_socket(struct bundle *bundle, size_t index)
{
    const struct address *address = &bundle->manifest->listeners[index].options.address;

    if (fd_table_unref(&bundle->tables->sockets, bundle->sockets[index]) &&
        address->any.sa_family == AF_UNIX && address->un.sun_path[0] == '/')
        unlink(address->un.sun_path);
}

void bundle_free(struct bundle *bundle)
{
    if (bundle == NULL)
        return;
    for (size_t i = 0; bundle->sockets != NULL && i < bundle->manifest->listener_count; i++)
        close_socket(bundle, i);
    for (size_t i = 0; bundle->logs != NULL && i < bundle->manifest->logs.count; i++)
        fd_table_unref(&bundle->tables->logs, bundle->logs[i]);
    close(bundle->manifest_fd);
    close(bundle->record_fd);
    manifest_free(bundle->manifest);
    free(bundle->sockets);
    free(bundle->logs);
    free(bundle);
}

bool bundle_send(const struct bundle *bundle, int channel_fd)
{
    size_t socket_count = bundle->manifest->listener_count;
    size_t log_count = bundle->manifest->logs.count;
    int *fds = calloc(FIXED_FDS + socket_count + log_count, sizeof *fds);
    size_t count = 0;
    bool sent;

    if (fds == NULL)
        return false;
    fds[count++] = bundle->manifest_fd;
    fds[count++] = bundle->record_fd;
    for (size_t i = 0; i < socket_count; i++)
        fds[count++] = bundle->sockets[i]->fd;
    for (size_t i = 0; i < log_count; i++)
        fds[count++] = bundle->logs[i]->fd;
    sent = channel_send_fds(channel_fd, fds, count) &&
           channel_send(channel_fd, MESSAGE_BUNDLE, bundle->generation, slice_of(""));
    free(fds);
    return sent;
}

bool bundle_send_each_log(const struct bundle *bundle, int channel_fd)
{
    const struct manifest_texts *logs = &bundle->manifest->logs;

    for (size_t i = 0; i < logs->count; i++) {
        if (!channel_send_fds(channel_fd, &bundle->logs[i]->fd, 1) ||
            !channel_send(channel_fd, MESSAGE_LOG, 0, logs->items[i]))
            return false;
    }
    return true;
}

bool bundle_send_logs(const struct bundle *bundle, int channel_fd)
{
    size_t count = bundle->manifest->logs.count;
    int *fds = calloc(count + 1, sizeof *fds);
    bool sent;

    if (fds == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        fds[i] = bundle->logs[i]->fd;
    sent = channel_send_fds(channel_fd, fds, count) &&
           channel_send(channel_fd, MESSAGE_LOGS, bundle->generation, slice_of(""));
    free(fds);
    return sent;
}
