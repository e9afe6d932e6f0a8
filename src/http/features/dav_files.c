#include "http/features/dav.h"

#include "http/chunk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DEPTH_MAX = 64, /* of folders in folders: the stack must end somewhere */
    COPY_BYTES = 64 * 1024,
};

int dav_make_parents(const char *path, mode_t folder_mode)
{
    char copy[PATH_MAX];
    size_t len = strlen(path);

    if (len >= sizeof copy)
        return ENAMETOOLONG;
    memcpy(copy, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (copy[i] != '/')
            continue;
        copy[i] = '\0';
        if (mkdir(copy, folder_mode) != 0 && errno != EEXIST)
            return errno;
        copy[i] = '/';
    }
    return 0;
}

static int for_each(int folder, int (*act)(int folder, const char *name, unsigned depth, int other),
                    unsigned depth, int other)
{
    DIR *stream = fdopendir(folder);
    int error = 0;

    if (stream == NULL) {
        error = errno;
        close(folder);
        return error;
    }
    while (error == 0) {
        struct dirent *found;

        errno = 0;
        found = readdir(stream);
        if (found == NULL) {
            error = errno;
            break;
        }
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            error = act(dirfd(stream), found->d_name, depth, other);
    }
    closedir(stream);
    return error;
}

static int open_folder(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Links are removed, not followed. */
static int remove_at(int at, const char *name, unsigned depth, int other)
{
    int folder;
    int error;

    if (unlinkat(at, name, 0) == 0)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return errno;
    if (depth >= DEPTH_MAX)
        return ELOOP;
    folder = open_folder(at, name);
    if (folder < 0)
        return errno;
    error = for_each(folder, remove_at, depth + 1, other);
    if (error == 0 && unlinkat(at, name, AT_REMOVEDIR) != 0)
        error = errno;
    return error;
}

int dav_remove(const char *path, bool is_folder)
{
    if (is_folder)
        return remove_at(AT_FDCWD, path, 0, -1);
    return unlink(path) == 0 ? 0 : errno;
}

static int write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t n = write(fd, bytes, count);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        bytes += n;
        count -= (size_t)n;
    }
    return 0;
}

static int copy_bytes(int source, off_t offset, int target)
{
    static _Thread_local char bytes[COPY_BYTES];

    for (;;) {
        ssize_t got = pread(source, bytes, sizeof bytes, offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : 0;
        int error = write_all(target, bytes, (size_t)got);

        if (error != 0)
            return error;
        offset += got;
    }
}

static int copy_file_at(int source_at, const char *source, int target_at, const char *target)
{
    struct stat st;
    int error;
    int in = openat(source_at, source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int out;

    if (in < 0)
        return errno;
    if (fstat(in, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(in);
        return EINVAL;
    }
    out = openat(target_at, target, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                 st.st_mode & 0777);
    if (out < 0) {
        error = errno;
        close(in);
        return error;
    }
    error = copy_bytes(in, 0, out);
    close(in);
    if (close(out) != 0 && error == 0)
        error = errno;
    return error;
}

static int copy_folder_at(int source_at, const char *source, unsigned depth, int target_at,
                          const char *target);

static int copy_entry(int folder, const char *name, unsigned depth, int target)
{
    struct stat st;

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno;
    if (S_ISDIR(st.st_mode))
        return copy_folder_at(folder, name, depth, target, name);
    return S_ISREG(st.st_mode) ? copy_file_at(folder, name, target, name) : 0;
}

/* Links and special files inside are left out. */
static int copy_folder_at(int source_at, const char *source, unsigned depth, int target_at,
                          const char *target)
{
    int in;
    int out;
    int error;

    if (depth >= DEPTH_MAX)
        return ELOOP;
    if (mkdirat(target_at, target, 0777) != 0 && errno != EEXIST)
        return errno;
    in = open_folder(source_at, source);
    if (in < 0)
        return errno;
    out = open_folder(target_at, target);
    if (out < 0) {
        error = errno;
        close(in);
        return error;
    }
    error = for_each(in, copy_entry, depth + 1, out);
    close(out);
    return error;
}

int dav_copy(const char *source, const char *target, bool is_folder)
{
    if (is_folder)
        return copy_folder_at(AT_FDCWD, source, 0, AT_FDCWD, target);
    return copy_file_at(AT_FDCWD, source, AT_FDCWD, target);
}

static int write_chunks(int fd, const struct chunk *chunk)
{
    int error = 0;

    for (; chunk != NULL && error == 0; chunk = chunk->next)
        error = chunk->fd >= 0 ? copy_bytes(chunk->fd, chunk->offset, fd)
                               : write_all(fd, chunk->bytes.data, chunk->bytes.len);
    return error;
}

int dav_store(const struct chunk *first, const char *target, mode_t mode)
{
    char name[PATH_MAX];
    int error;

    if (snprintf(name, sizeof name, "%s.XXXXXX", target) >= (int)sizeof name)
        return ENAMETOOLONG;
    int fd = mkostemp(name, O_CLOEXEC);

    if (fd < 0)
        return errno;
    error = write_chunks(fd, first);
    if (error == 0 && fchmod(fd, mode) != 0)
        error = errno;
    if (close(fd) != 0 && error == 0)
        error = errno;
    if (error == 0 && rename(name, target) != 0)
        error = errno;
    if (error != 0)
        (void)unlink(name);
    return error;
}
