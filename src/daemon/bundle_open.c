/* Opening what needs the master's privileges. Runs in: master. */
#include "base/clock.h"
#include "base/diag.h"
#include "base/log.h"
#include "daemon/bundle.h"
#include "daemon/bundle_internal.h"
#include "daemon/manifest.h"
#include "daemon/options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BIND_TRIES = 5, BIND_PAUSE_MS = 500, LOG_MODE = 0644, PORT_FREE_FOR_ALL = 1024 };

/* The folder and its parents; only what is missing, and only the folder itself becomes the
 * worker's. */
static bool make_path(const char *path)
{
    char part[PATH_MAX];
    size_t len = strlen(path);

    if (len >= sizeof part)
        return false;
    memcpy(part, path, len + 1);
    for (char *at = part + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return false;
        *at = '/';
    }
    return mkdir(part, 0700) == 0 || errno == EEXIST;
}

bool bundle_open_dirs(struct bundle *bundle, struct diag *diag)
{
    const struct manifest *manifest = bundle->manifest;

    for (size_t i = 0; i < manifest->work_dirs.count; i++) {
        const char *path = manifest->work_dirs.items[i].data;
        struct stat info;

        if (!make_path(path) || stat(path, &info) != 0) {
            diag_add(diag, DIAG_ERROR, NULL, "mkdir() \"%s\" failed (%d: %s)", path, errno,
                     strerror(errno));
            return false;
        }
        if (manifest->switch_user && info.st_uid != manifest->uid &&
            chown(path, manifest->uid, (gid_t)-1) != 0) {
            diag_add(diag, DIAG_ERROR, NULL, "chown() \"%s\" failed (%d: %s)", path, errno,
                     strerror(errno));
            return false;
        }
    }
    return true;
}

/* /dev/stdout and /dev/stderr cannot be opened when they are sockets, as under a service manager:
 * they are ours already. */
static int open_log(const char *path)
{
    if (strcmp(path, "/dev/stdout") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (strcmp(path, "/dev/stderr") == 0)
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, LOG_MODE);
}

/* A log nobody asked for must not stop a start: the default error log becomes standard error, the
 * default access log is not written. */
static int open_instead(const struct bundle *bundle, const char *path)
{
    const struct run_options *options = bundle->tables->options;
    size_t prefix_len = strlen(options->prefix);

    if (!options->error_log_given && strcmp(path, options->error_log) == 0)
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (strncmp(path, options->prefix, prefix_len) == 0 &&
        strcmp(path + prefix_len, "logs/access.log") == 0) {
        log_write(&log_process, LOG_LEVEL_WARN, errno, "no access log, \"%s\" cannot be opened",
                  path);
        return open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    return -1;
}

static int open_log_or_default(const struct bundle *bundle, const char *path, struct diag *diag)
{
    int fd = open_log(path);
    int os_error = errno;

    if (fd < 0)
        fd = open_instead(bundle, path);
    if (fd < 0) {
        diag_add(diag, DIAG_ERROR, NULL, "open() \"%s\" failed (%d: %s)", path, os_error,
                 strerror(os_error));
        if (os_error == ENOENT)
            diag_hint(diag, "the folder of this log does not exist: create it first");
    }
    return fd;
}

bool bundle_open_logs(struct bundle *bundle, struct diag *diag)
{
    const struct manifest_texts *paths = &bundle->manifest->logs;
    struct fd_table *table = &bundle->tables->logs;

    for (size_t i = 0; i < paths->count; i++) {
        bundle->logs[i] = fd_table_ref(table, paths->items[i]);
        if (bundle->logs[i] == NULL) {
            int fd = open_log_or_default(bundle, paths->items[i].data, diag);

            if (fd < 0)
                return false;
            bundle->logs[i] = fd_table_adopt(table, paths->items[i], fd);
        }
        if (bundle->logs[i] == NULL) {
            diag_add(diag, DIAG_ERROR, NULL, "no memory");
            return false;
        }
    }
    return true;
}

void bundle_reopen_logs(struct bundle *bundle, struct diag *diag)
{
    for (size_t i = 0; i < bundle->manifest->logs.count; i++) {
        int fd = open_log_or_default(bundle, bundle->manifest->logs.items[i].data, diag);

        if (fd >= 0 && !shared_fd_replace(bundle->logs[i], fd))
            diag_errno(diag, "replace the log", bundle->manifest->logs.items[i].data);
    }
}

bool bundle_logs_moved(const struct bundle *bundle)
{
    for (size_t i = 0; i < bundle->manifest->logs.count; i++) {
        struct stat open_file;
        struct stat named;

        if (fstat(bundle->logs[i]->fd, &open_file) != 0)
            continue;
        if (stat(bundle->manifest->logs.items[i].data, &named) != 0 ||
            named.st_ino != open_file.st_ino || named.st_dev != open_file.st_dev)
            return true;
    }
    return false;
}

static int listen_patiently(const struct bundle *bundle, const struct listen_options *options)
{
    int tries = bundle->tables->wait_for_address ? BIND_TRIES : 1;
    int fd = socket_listen(options);

    while (fd < 0 && errno == EADDRINUSE && --tries > 0) {
        struct timespec pause = {.tv_nsec = BIND_PAUSE_MS * 1000000L};

        nanosleep(&pause, NULL);
        fd = socket_listen(options);
    }
    return fd;
}

/* The sockets of the other loops can only be bound beside the first one if that one shares its
 * address, too; it may have been opened before `reuseport` was written. */
static void share_address(const struct bundle *bundle, size_t index)
{
    const struct manifest_listener *listener = &bundle->manifest->listeners[index];
    int on = 1;

    if (listener->options.reuseport)
        setsockopt(bundle->sockets[index]->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
}

/* About errno. The place is part of the sentence: the message outlives the manifest. */
static void add_bind_error(const struct manifest_listener *listener, struct diag *diag)
{
    int os_error = errno;
    unsigned port = address_port(&listener->options.address);

    diag_add(diag, DIAG_ERROR, NULL, "bind() to %.*s failed (%d: %s) in %.*s:%u",
             SLICE_ARG(listener->key), os_error, strerror(os_error), SLICE_ARG(listener->file),
             listener->line);
    if (os_error == EADDRINUSE && port != 0)
        diag_hint(diag, "another program listens there; to see which: ss -ltnp 'sport = :%u'",
                  port);
    else if (os_error == EACCES && port != 0 && port < PORT_FREE_FOR_ALL)
        diag_hint(diag, "ports below %d are root's: start as root, or listen on a higher one",
                  PORT_FREE_FOR_ALL);
    else if (os_error == EADDRNOTAVAIL)
        diag_hint(diag, "no interface of this machine has that address");
}

static bool open_socket(struct bundle *bundle, size_t index, struct diag *diag)
{
    const struct manifest_listener *listener = &bundle->manifest->listeners[index];
    struct fd_table *table = &bundle->tables->sockets;
    int fd;

    bundle->sockets[index] = fd_table_ref(table, listener->key);
    if (bundle->sockets[index] != NULL) {
        share_address(bundle, index);
        return socket_listen_update(bundle->sockets[index]->fd, &listener->options) || true;
    }
    fd = listen_patiently(bundle, &listener->options);
    if (fd < 0) {
        add_bind_error(listener, diag);
        return false;
    }
    bundle->sockets[index] = fd_table_adopt(table, listener->key, fd);
    if (bundle->sockets[index] != NULL)
        return true;
    diag_add(diag, DIAG_ERROR, NULL, "no memory");
    return false;
}

bool bundle_open_sockets(struct bundle *bundle, struct diag *diag)
{
    bool opened = true;

    for (size_t i = 0; i < bundle->manifest->listener_count; i++)
        opened = open_socket(bundle, i, diag) && opened; /* all errors at once */
    return opened;
}
