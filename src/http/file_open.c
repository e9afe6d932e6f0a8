#include "http/file_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(struct file *file, const char *call)
{
    file->error = errno;
    file->failed = call;
}

static void take_stat(struct file *file, const struct stat *st)
{
    file->is_folder = S_ISDIR(st->st_mode);
    file->is_regular = S_ISREG(st->st_mode);
    file->size = st->st_size < 0 ? 0 : (uint64_t)st->st_size;
    file->modified = st->st_mtim.tv_sec;
    file->modified_exact = st->st_mtim;
    file->changed_exact = st->st_ctim;
    file->device = st->st_dev;
    file->inode = st->st_ino;
}

/* Leaves `contents` unset when the file is not what fstat() said any more: it is then sent from
 * its descriptor. */
static void read_contents(const struct file_request *request, struct file *file)
{
    size_t done = 0;

    if (request->contents == NULL || !file->is_regular || file->size > request->contents_max)
        return;
    while (done < file->size) {
        ssize_t n = pread(file->fd, request->contents + done, (size_t)file->size - done,
                          (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        done += (size_t)n;
    }
    file->contents = request->contents;
    close(file->fd);
    file->fd = -1;
}

static bool same_owner(int at, const char *name, const struct stat *link)
{
    struct stat target;

    if (fstatat(at, name, &target, 0) != 0)
        return false;
    if (target.st_uid == link->st_uid)
        return true;
    errno = ELOOP;
    return false;
}

/* Opens one name below `at`. A link is refused, or followed if it belongs to who owns its target:
 * both are looked at before the opening and once more after it, so that exchanging them in between
 * is noticed. */
static int open_name(int at, const char *name, int flags, int symlinks)
{
    struct stat link;
    struct stat opened;
    int fd = openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC);

    /* O_DIRECTORY on a link is ENOTDIR, without it ELOOP. */
    if (fd >= 0 || symlinks == SYMLINKS_REFUSE || (errno != ELOOP && errno != ENOTDIR)) {
        if (fd < 0 && errno == ENOTDIR && fstatat(at, name, &link, AT_SYMLINK_NOFOLLOW) == 0)
            errno = S_ISLNK(link.st_mode) ? ELOOP : ENOTDIR;
        return fd;
    }
    if (fstatat(at, name, &link, AT_SYMLINK_NOFOLLOW) != 0 || !same_owner(at, name, &link))
        return -1;
    fd = openat(at, name, flags | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &opened) == 0 && opened.st_uid == link.st_uid))
        return fd;
    close(fd);
    errno = ELOOP;
    return -1;
}

/* Goes down the path name by name. */
static int open_carefully(const struct file_request *request)
{
    char name[NAME_MAX + 1];
    const char *rest = request->path + request->trusted_bytes;
    int at;

    if (request->trusted_bytes > 0) {
        char *trusted = slice_strdup(slice_make(request->path, request->trusted_bytes));

        at = trusted == NULL ? -1 : open(trusted, O_PATH | O_DIRECTORY | O_CLOEXEC);
        free(trusted);
    } else {
        at = open(rest[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    while (at >= 0) {
        rest += strspn(rest, "/");
        size_t len = strcspn(rest, "/");
        bool last = rest[len + strspn(rest + len, "/")] == '\0';

        if (len >= sizeof name) {
            close(at);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, len == 0 ? "." : rest, len == 0 ? 1 : len);
        name[len == 0 ? 1 : len] = '\0';
        bool folder = !last || rest[len] == '/';
        int flags = last ? O_RDONLY | O_NONBLOCK : O_PATH;
        int next = open_name(at, name, flags | (folder ? O_DIRECTORY : 0), request->symlinks);
        int error = errno;

        close(at);
        errno = error;
        if (last)
            return next;
        at = next;
        rest += len;
    }
    return -1;
}

void file_open(const struct file_request *request, struct file *file)
{
    struct stat st;

    *file = (struct file){.fd = -1};
    if (request->want == FILE_TEST && request->symlinks == SYMLINKS_FOLLOW) {
        if (stat(request->path, &st) != 0)
            fail(file, "stat()");
        else
            take_stat(file, &st);
        return;
    }
    /* O_NONBLOCK: a FIFO must not hold us until somebody writes to it. */
    file->fd = request->symlinks == SYMLINKS_FOLLOW
                   ? open(request->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
                   : open_carefully(request);
    if (file->fd < 0) {
        fail(file, "open()");
        return;
    }
    if (fstat(file->fd, &st) != 0)
        fail(file, "fstat()");
    else
        take_stat(file, &st);
    if (file->error == 0 && file->is_regular && request->want == FILE_OPEN) {
        read_contents(request, file);
        return;
    }
    close(file->fd);
    file->fd = -1;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool file_unchanged(const struct file *file, const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return file->error == errno;
    return file->error == 0 && st.st_ino == file->inode && st.st_dev == file->device &&
           (uint64_t)st.st_size == file->size && same_time(st.st_mtim, file->modified_exact) &&
           same_time(st.st_ctim, file->changed_exact);
}
