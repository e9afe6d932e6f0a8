/* Temporary files for bodies that do not fit into memory. Without a name (O_TMPFILE) where the file
 * system allows it, so that nothing is left behind even after a crash. Runs in: worker, loop
 * thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

struct exchange;

/* Opens x->body.temp_fd in folder `dir`. False: logged. */
bool temp_file_open(struct exchange *x, struct slice dir);

/* The same for a file with a name, x->body.temp_path, that others may open
 * (client_body_in_file_only). `clean`: it goes with the exchange. */
bool temp_file_open_named(struct exchange *x, struct slice dir, bool clean);

/* For other users than the request's body: the fd, or -1 (logged). The caller closes it. */
int temp_file_create(struct exchange *x, struct slice dir);

/* Writes all of `bytes` at the end. False: logged (disk full). */
bool temp_file_append(struct exchange *x, int fd, struct slice bytes);
