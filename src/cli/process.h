/* What the system knows of a process. Runs in: the process the user started. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Its name; "" if there is no such process. */
void process_name(long pid, char *out, size_t out_bytes);

/* Whether it is one of this program's: pids in files may be somebody else's by now. */
bool process_is_ours(long pid);
