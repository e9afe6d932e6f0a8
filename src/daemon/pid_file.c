/* The file that says which process is the master. Runs in: master; cli. */
#include "daemon/pid_file.h"

#include "base/diag.h"
#include "base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PID_TEXT_BYTES = 24 };

static bool write_number(const char *path, pid_t pid)
{
    char text[PID_TEXT_BYTES];
    int len = snprintf(text, sizeof text, "%d\n", (int)pid);
    int fd;
    bool written;

    unlink(path); /* left over from a crash, or somebody's link */
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return false;
    written = write(fd, text, (size_t)len) == len && fchmod(fd, 0644) == 0;
    return close(fd) == 0 && written;
}

bool pid_file_write(const char *path, pid_t pid, struct diag *diag)
{
    char beside[PATH_MAX];
    int os_error;

    if (snprintf(beside, sizeof beside, "%s.new", path) >= (int)sizeof beside) {
        diag_add(diag, DIAG_ERROR, NULL, "the path \"%s\" is too long", path);
        return false;
    }
    if (write_number(beside, pid) && rename(beside, path) == 0)
        return true;
    os_error = errno;
    diag_add(diag, DIAG_ERROR, NULL, "open() \"%s\" failed (%d: %s)", path, os_error,
             strerror(os_error));
    if (os_error == EACCES)
        diag_hint(diag, "write \"pid FILE;\" into the configuration, or start with -p FOLDER");
    unlink(beside);
    return false;
}

void pid_file_remove(const char *path, pid_t pid)
{
    struct diag diag;
    pid_t written;

    diag_init(&diag);
    if (pid_file_read(path, &written, &diag) && written == pid)
        unlink(path);
    diag_fini(&diag);
}

static bool parse_pid(const char *text, size_t len, pid_t *pid)
{
    struct slice digits = slice_make(text, len);
    uint64_t value;

    while (digits.len > 0 && strchr("\r\n \t", digits.data[digits.len - 1]) != NULL)
        digits.len--;
    if (!slice_to_u64(digits, &value) || value == 0 || value > INT_MAX)
        return false;
    *pid = (pid_t)value;
    return true;
}

bool pid_file_read(const char *path, pid_t *pid, struct diag *diag)
{
    char text[PID_TEXT_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len;

    if (fd < 0) {
        int os_error = errno;

        diag_add(diag, DIAG_ERROR, NULL, "open() \"%s\" failed (%d: %s)", path, os_error,
                 strerror(os_error));
        if (os_error == ENOENT)
            diag_hint(diag, "nothing runs with this -c and -p");
        return false;
    }
    len = read(fd, text, sizeof text);
    close(fd);
    if (len >= 0 && parse_pid(text, (size_t)len, pid))
        return true;
    while (len > 0 && strchr("\r\n", text[len - 1]) != NULL)
        len--;
    diag_add(diag, DIAG_ERROR, NULL, "invalid PID number \"%.*s\" in \"%s\"",
             len > 0 ? (int)len : 0, text, path);
    return false;
}

bool pid_file_socket(const char *path, char *out, size_t out_bytes)
{
    return snprintf(out, out_bytes, "%s.sock", path) < (int)out_bytes;
}
