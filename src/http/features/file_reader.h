/* A file read piece by piece into the body of a response that has begun: by threads under `aio
 * threads` or `directio`, else in the loop, never further ahead than the client takes it.
 * Runs in: worker, loop thread. */
#pragma once

#include "http/exchange.h"

/* Reads `bytes` from `offset` on, then ends the response. `fd` lives as long as the exchange. The
 * exchange may be gone afterwards: must be the last statement. */
void file_reader_start(struct exchange *x, int fd, uint64_t offset, uint64_t bytes);
