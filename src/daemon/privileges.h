/* What a worker gives up before it sees the first byte of config or network.
 * Runs in: worker, before it has threads. */
#pragma once

#include <stdbool.h>

struct diag;
struct manifest;

/* Limits, nice value, folder, environment, user, capabilities, system calls, for good. False:
 * message in `diag`, the worker must not go on. */
bool privileges_drop(const struct manifest *manifest, struct diag *diag);
