/* From a URI to a file: root and alias. Runs in: worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

struct exchange;

/* `root`, or what `alias` names, of the location in force. False: no memory. */
bool document_root(struct exchange *x, struct slice *root);

/* The file that the current URI names, terminated by a NUL that is not counted. False: no memory.
 */
bool document_path(struct exchange *x, struct slice *path);
