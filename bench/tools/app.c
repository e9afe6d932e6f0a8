/* An app for bench/apps: waits; says when it began; or writes lines.
 *
 *   app wait                    until a signal
 *   app time FILE               appends the monotonic time in ns to FILE and its pid to FILE.pid,
 * waits app lines COUNT FILE        COUNT lines of 200 bytes, then the ns that took to FILE */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void tell(const char *path, long long number, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);

    if (fd >= 0) {
        dprintf(fd, "%lld\n", number);
        close(fd);
    }
}

static void write_lines(long count, const char *path)
{
    static char line[200];
    long long begun = now_ns();

    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (long i = 0; i < count; i++)
        fwrite(line, 1, sizeof line, stdout);
    fflush(stdout);
    tell(path, now_ns() - begun, O_TRUNC);
}

int main(int argc, char **argv)
{
    char path[4096];

    if (argc == 3 && strcmp(argv[1], "time") == 0) {
        long long begun = now_ns();

        snprintf(path, sizeof path, "%s.pid", argv[2]);
        tell(path, getpid(), O_TRUNC);
        tell(argv[2], begun, O_APPEND);
    }
    if (argc == 4 && strcmp(argv[1], "lines") == 0) {
        write_lines(atol(argv[2]), argv[3]);
        return 0;
    }
    for (;;)
        pause();
}
