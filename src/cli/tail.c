/* Following one log file. Runs in: the process the user started. */
#include "cli/tail.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACK_BYTES_MAX = 4 << 20 /* looked through for the last lines */ };

static void read_more(struct tail *tail)
{
    char bytes[16384];
    struct stat stat_;
    ssize_t got;

    if (tail->fd < 0)
        return;
    if (fstat(tail->fd, &stat_) == 0 && stat_.st_size < tail->at)
        tail->at = 0; /* it was emptied */
    while ((got = pread(tail->fd, bytes, sizeof bytes, tail->at)) > 0) {
        tail->at += got;
        tail->take(tail->context, slice_make(bytes, (size_t)got));
    }
}

static void open_file(struct tail *tail)
{
    struct stat stat_;

    tail->fd = open(tail->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (tail->fd >= 0 && fstat(tail->fd, &stat_) == 0 && S_ISREG(stat_.st_mode)) {
        tail->inode = stat_.st_ino;
        tail->at = 0;
    } else if (tail->fd >= 0) {
        close(tail->fd);
        tail->fd = -1;
    }
}

/* Where the last `lines` lines begin. */
static off_t start_of_last(int fd, off_t size, long lines)
{
    off_t from = size > BACK_BYTES_MAX ? size - BACK_BYTES_MAX : 0;
    size_t len = (size_t)(size - from);
    char *bytes = malloc(len + 1);
    size_t at;
    ssize_t got;

    if (bytes == NULL)
        return size;
    got = pread(fd, bytes, len, from);
    at = got > 0 ? (size_t)got : 0;
    if (at > 0 && bytes[at - 1] == '\n')
        at--;
    while (at > 0 && lines > 0) {
        if (bytes[at - 1] == '\n' && --lines == 0)
            break;
        at--;
    }
    free(bytes);
    return from + (off_t)at;
}

void tail_begin(struct tail *tail, long lines)
{
    struct stat stat_;

    open_file(tail);
    if (tail->fd < 0 || fstat(tail->fd, &stat_) != 0)
        return;
    tail->at = lines <= 0 ? stat_.st_size : start_of_last(tail->fd, stat_.st_size, lines);
    read_more(tail);
}

void tail_follow(struct tail *tail)
{
    struct stat stat_;

    read_more(tail);
    if (stat(tail->path, &stat_) != 0 || (tail->fd >= 0 && stat_.st_ino == tail->inode))
        return;
    if (tail->fd >= 0)
        close(tail->fd);
    open_file(tail);
    read_more(tail);
}

void tail_end(struct tail *tail)
{
    if (tail->fd >= 0)
        close(tail->fd);
    free(tail->path);
}
