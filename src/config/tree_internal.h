/* Places in text, shared by the tree and who builds it. Runs in: any process, at load time. */
#pragma once

#include "config/tree.h"

#include <stddef.h>

/* A node that is in no file (a default): tree_place() leaves its place empty. */
enum { TREE_NO_FILE = UINT16_MAX };

/* Column and line text for `offset`; the line's number is the caller's. */
void tree_place_at(const struct tree_file *file, size_t offset, unsigned line,
                   struct diag_place *place);
