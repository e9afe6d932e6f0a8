/* What the tree needs of the files beyond files.h. Runs in: any process, at load time. */
#pragma once

#include "config/files.h"

#include <stdbool.h>

struct diag;
struct diag_place;

/* config_files_read() with the place of the directive that asked, which the message then names. */
bool files_read_at(struct config_files *files, const char *path, struct slice *text,
                   struct diag *diag, const struct diag_place *place);
