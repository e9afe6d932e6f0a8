/* What the system knows of a process. Runs in: the process the user started. */
#include "cli/process.h"

#include <stdio.h>
#include <string.h>

void process_name(long pid, char *out, size_t out_bytes)
{
    char path[64];
    FILE *file;

    out[0] = '\0';
    snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(out, (int)out_bytes, file) == NULL)
        out[0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    fclose(file);
}

bool process_is_ours(long pid)
{
    char name[64];

    process_name(pid, name, sizeof name);
    return strncmp(name, "pelayan", strlen("pelayan")) == 0;
}
