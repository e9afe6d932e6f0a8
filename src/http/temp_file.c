#include "http/temp_file.h"

#include "base/arena.h"
#include "http/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* For file systems without O_TMPFILE: made under a random name that is taken away at once. */
static int create_named(struct exchange *x, struct slice dir)
{
    struct slice path = arena_printf(x->subject.arena, "%.*s/body-XXXXXX", SLICE_ARG(dir));

    if (path.data == NULL)
        return -1;
    int fd = mkostemp((char *)(uintptr_t)path.data, O_CLOEXEC);

    if (fd >= 0)
        unlink(path.data);
    return fd;
}

int temp_file_create(struct exchange *x, struct slice dir)
{
    int fd = open(dir.data, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        fd = create_named(x, dir);
    if (fd < 0)
        log_about(&x->log, LOG_LEVEL_CRIT, errno, "cannot make a temporary file in \"%.*s\"",
                  SLICE_ARG(dir));
    return fd;
}

static void unlink_named(void *data)
{
    const struct exchange *x = data;

    unlink(x->body.temp_path.data);
}

bool temp_file_open_named(struct exchange *x, struct slice dir, bool clean)
{
    struct slice path = arena_printf(x->subject.arena, "%.*s/body-XXXXXX", SLICE_ARG(dir));

    if (path.data == NULL)
        return false;
    x->body.temp_fd = mkostemp((char *)(uintptr_t)path.data, O_CLOEXEC);
    if (x->body.temp_fd < 0) {
        log_about(&x->log, LOG_LEVEL_CRIT, errno, "cannot make a file \"%.*s\"", SLICE_ARG(path));
        return false;
    }
    x->body.temp_path = path;
    if (!clean || arena_on_drop(x->subject.arena, unlink_named, x))
        return true;
    unlink(path.data);
    return false;
}

bool temp_file_open(struct exchange *x, struct slice dir)
{
    x->body.temp_fd = temp_file_create(x, dir);
    if (x->body.temp_fd >= 0)
        log_about(&x->log, LOG_LEVEL_WARN, 0,
                  "a client request body is buffered to a temporary file in \"%.*s\"",
                  SLICE_ARG(dir));
    return x->body.temp_fd >= 0;
}

bool temp_file_append(struct exchange *x, int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            log_about(&x->log, LOG_LEVEL_CRIT, errno, "cannot write to a temporary file");
            return false;
        }
        bytes = slice_skip(bytes, (size_t)n);
    }
    return true;
}
