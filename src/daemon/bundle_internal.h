/* Opening the parts of a bundle, bundle_open.c. False: message in `diag`; what was opened is in the
 * bundle. Runs in: master. */
#pragma once

#include <stdbool.h>

struct bundle;
struct diag;

bool bundle_open_dirs(struct bundle *bundle, struct diag *diag);
bool bundle_open_logs(struct bundle *bundle, struct diag *diag);
bool bundle_open_sockets(struct bundle *bundle, struct diag *diag);
