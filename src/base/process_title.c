#include "base/process_title.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the kernel reads the title from. */
static struct {
    char *begin;
    size_t bytes;
} room;

/* The end of the strings that stand one behind the other from `end` on. */
static char *end_of_run(char *end, char *const *strings)
{
    for (; *strings != NULL && *strings == end; strings++)
        end += strlen(end) + 1;
    return end;
}

static char **copy_strings(char *const *strings)
{
    size_t count = 0;
    char **copy;

    while (strings[count] != NULL)
        count++;
    copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(strings[i]);
        if (copy[i] == NULL)
            return NULL;
    }
    return copy;
}

char **process_title_prepare(int argc, char **argv)
{
    char *end = argc > 0 ? end_of_run(argv[0], argv) : NULL;
    char **own_environ;
    char **own_argv;

    if (end == NULL)
        return argv;
    end = end_of_run(end, environ);
    own_environ = copy_strings(environ);
    own_argv = copy_strings(argv);
    if (own_environ == NULL || own_argv == NULL)
        return argv;
    environ = own_environ;
    room.begin = argv[0];
    room.bytes = (size_t)(end - argv[0]);
    return own_argv;
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
