/* The list of apps that pm2 has saved. Runs in: the process the user started. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Where pm2 keeps it: PM2_HOME, else ~/.pm2. False: too long. */
bool pm2_dump_path(char *out, size_t out_bytes);

/* The apps in it as an ecosystem file has them. Variables that the shell has too, and those that
 * only concern shells and pm2, are left out. NULL: message printed. */
json_t *pm2_dump_load(const char *path);
