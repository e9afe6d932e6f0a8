/* Whole small files. Runs in: any. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 16384 };

static char *read_all(int fd, size_t bytes_max, size_t *len)
{
    char *bytes = NULL;
    size_t used = 0;

    for (;;) {
        char *more = realloc(bytes, used + BLOCK_BYTES + 1);
        ssize_t got = -1;

        if (more != NULL) {
            bytes = more;
            got = read(fd, bytes + used, BLOCK_BYTES);
        }
        if (got < 0 && more != NULL && errno == EINTR)
            continue;
        used += got > 0 ? (size_t)got : 0;
        if (used > bytes_max)
            errno = EFBIG;
        if (got < 0 || used > bytes_max) {
            free(bytes);
            return NULL;
        }
        if (got == 0)
            break;
    }
    bytes[used] = '\0';
    *len = used;
    return bytes;
}

char *file_read(const char *path, size_t bytes_max, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    char *bytes;
    int os_error;

    if (fd < 0)
        return NULL;
    bytes = read_all(fd, bytes_max, &length);
    os_error = errno;
    close(fd);
    errno = os_error;
    if (len != NULL)
        *len = length;
    return bytes;
}

static bool write_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t wrote = write(fd, text.data, text.len);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        text = slice_skip(text, (size_t)wrote);
    }
    return true;
}

/* False: errno, and no file is left that was not there before. */
static bool write_file(const char *path, struct slice text, mode_t mode, bool remove)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    bool written = fd >= 0 && fchmod(fd, mode) == 0 && write_all(fd, text) && fsync(fd) == 0;
    int os_error = errno;

    if (fd >= 0)
        close(fd);
    if (!written && fd >= 0 && remove)
        unlink(path);
    errno = os_error;
    return written;
}

bool file_replace(const char *path, struct slice text, mode_t mode)
{
    char beside[PATH_MAX];
    int os_error;

    if (snprintf(beside, sizeof beside, "%s.new", path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (!write_file(beside, text, mode, true))
        return false;
    if (rename(beside, path) == 0)
        return true;
    os_error = errno;
    unlink(beside);
    errno = os_error;
    return os_error == EBUSY && write_file(path, text, mode, false);
}

bool file_folders(const char *path, mode_t mode)
{
    char folder[PATH_MAX];

    if (snprintf(folder, sizeof folder, "%s", path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *at = strchr(folder + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(folder, 0755) != 0 && errno != EEXIST)
            return false;
        *at = '/';
    }
    return mkdir(folder, mode) == 0 || errno == EEXIST;
}
