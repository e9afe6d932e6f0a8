/* pelayan doctor: whether each `listen` can be had, and who has it. Runs in: the process the user
 * started. */
#include "cli/doctor_internal.h"
#include "cli/process.h"
#include "daemon/manifest.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OWNERS_MAX = 8, STATE_LISTEN = 0x0A };

/* Inodes of the sockets that listen on `port`, whatever the address. */
static size_t find_inodes(const char *table, unsigned port, unsigned long *inodes, size_t count)
{
    FILE *file = fopen(table, "re");
    char line[512];

    while (file != NULL && count < OWNERS_MAX && fgets(line, sizeof line, file) != NULL) {
        unsigned local, state;
        unsigned long inode;

        if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
                   &local, &state, &inode) == 3 &&
            local == port && state == STATE_LISTEN)
            inodes[count++] = inode;
    }
    if (file != NULL)
        fclose(file);
    return count;
}

static bool has_socket(const char *pid, const unsigned long *inodes, size_t count)
{
    char path[PATH_MAX], target[64];
    const struct dirent *entry;
    bool found = false;
    DIR *folder;

    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    folder = opendir(path);
    while (folder != NULL && !found && (entry = readdir(folder)) != NULL) {
        ssize_t len = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        unsigned long inode;

        target[len > 0 ? len : 0] = '\0';
        if (sscanf(target, "socket:[%lu]", &inode) != 1)
            continue;
        for (size_t i = 0; i < count; i++)
            found = found || inodes[i] == inode;
    }
    if (folder != NULL)
        closedir(folder);
    return found;
}

/* The first process that holds one of the sockets; 0: it cannot be seen from here. */
static long find_owner(unsigned port)
{
    unsigned long inodes[OWNERS_MAX];
    size_t count = find_inodes("/proc/net/tcp", port, inodes, 0);
    const struct dirent *entry;
    DIR *folder = opendir("/proc");
    long owner = 0;

    count = find_inodes("/proc/net/tcp6", port, inodes, count);
    while (folder != NULL && owner == 0 && (entry = readdir(folder)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]) && has_socket(entry->d_name, inodes, count))
            owner = strtol(entry->d_name, NULL, 10);
    }
    if (folder != NULL)
        closedir(folder);
    return owner;
}

static void tell_owner(struct doctor *doctor, const struct manifest_listener *listener)
{
    unsigned port = address_port(&listener->options.address);
    long owner = port > 0 ? find_owner(port) : 0;
    char name[64];

    if (owner == 0)
        doctor_find(doctor, DOCTOR_BAD, "%.*s is taken by a process that cannot be seen from here",
                    SLICE_ARG(listener->key));
    process_name(owner, name, sizeof name);
    if (owner != 0)
        doctor_find(doctor, DOCTOR_BAD, "%.*s is taken by %s (process %ld)",
                    SLICE_ARG(listener->key), name, owner);
    doctor_mend(doctor,
                owner == 0 ? "sudo pelayan doctor, to see who; or change \"listen\" in"
                             " %.*s:%u"
                           : "stop it, or change \"listen\" in %.*s:%u",
                SLICE_ARG(listener->file), listener->line);
}

static void tell_refusal(struct doctor *doctor, const struct manifest_listener *listener, int error)
{
    if (error == EADDRINUSE) {
        tell_owner(doctor, listener);
        return;
    }
    doctor_find(doctor, DOCTOR_BAD, "%.*s cannot be listened on: %s", SLICE_ARG(listener->key),
                strerror(error));
    if (error == EACCES)
        doctor_mend(doctor,
                    "start as root (the worker gives that up), or"
                    " sysctl -w net.ipv4.ip_unprivileged_port_start=%u",
                    address_port(&listener->options.address));
    else if (error == EADDRNOTAVAIL)
        doctor_mend(doctor,
                    "no interface has this address: see \"ip address\" and \"listen\" in"
                    " %.*s:%u",
                    SLICE_ARG(listener->file), listener->line);
}

/* A socket that is bound but does not listen takes nobody's clients. 0: it can be had. */
static int try_to_bind(const struct listen_options *options)
{
    int family = options->address.any.sa_family, one = 1, only = options->ipv6only, error;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    error = bind(fd, &options->address.any, options->address.len) == 0 ? 0 : errno;
    close(fd);
    return error;
}

/* A file at the path of a unix socket is replaced at start if nobody listens. */
static int try_unix(const struct listen_options *options)
{
    char folder[sizeof options->address.un.sun_path];
    char *slash;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool taken = fd >= 0 && connect(fd, &options->address.any, options->address.len) == 0;

    if (fd >= 0)
        close(fd);
    if (taken)
        return EADDRINUSE;
    memcpy(folder, options->address.un.sun_path, sizeof folder);
    slash = strrchr(folder, '/');
    if (slash == NULL)
        return 0;
    slash[slash == folder] = '\0';
    return access(folder, W_OK | X_OK) == 0 ? 0 : errno;
}

void doctor_addresses(struct doctor *doctor)
{
    bool ours = doctor_master(doctor) != 0;

    for (size_t i = 0; i < doctor->manifest->listener_count; i++) {
        const struct manifest_listener *listener = &doctor->manifest->listeners[i];
        bool is_unix = listener->options.address.any.sa_family == AF_UNIX;
        int error;

        if (listener->loop > 0)
            continue;
        error = is_unix ? try_unix(&listener->options) : try_to_bind(&listener->options);
        if (error != 0 && !(error == EADDRINUSE && ours))
            tell_refusal(doctor, listener, error);
    }
}
