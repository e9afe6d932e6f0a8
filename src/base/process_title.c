/* Titles of processes, in the place of arguments and environment. Runs in: any process with one
 * thread. */
#include "base/process_title.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    char *begin; /* where the kernel reads the title from */
    size_t bytes;
    char *moved; /* what stood there */
} room;

/* The end of the strings that stand one behind the other from `end` on. */
static char *end_of_run(char *end, char *const *strings)
{
    for (; *strings != NULL && *strings == end; strings++)
        end += strlen(end) + 1;
    return end;
}

static void point_at_moved(char **strings)
{
    for (; *strings != NULL; strings++) {
        if (*strings >= room.begin && *strings < room.begin + room.bytes)
            *strings = room.moved + (*strings - room.begin);
    }
}

void process_title_prepare(char **argv)
{
    char *end;

    if (argv[0] == NULL)
        return;
    end = end_of_run(end_of_run(argv[0], argv), environ);
    room.moved = malloc((size_t)(end - argv[0]));
    if (room.moved == NULL)
        return;
    room.begin = argv[0];
    room.bytes = (size_t)(end - argv[0]);
    memcpy(room.moved, room.begin, room.bytes);
    point_at_moved(argv);
    point_at_moved(environ);
}

void process_title_set(const char *format, ...)
{
    va_list arguments;
    int written;

    if (room.bytes == 0)
        return;
    va_start(arguments, format);
    written = vsnprintf(room.begin, room.bytes, format, arguments);
    va_end(arguments);
    /* the rest of the old one would be shown behind it */
    if (written >= 0 && (size_t)written < room.bytes)
        memset(room.begin + written, 0, room.bytes - (size_t)written);
}
