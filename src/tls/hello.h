/* What a client's first message says, as far as we look at it. Pure. Runs in: any. */
#pragma once

#include "base/slice.h"

enum { TLS_NAME_BYTES_MAX = 255 };

/* The host name of a server_name extension (RFC 6066, 3), in lower case and without a last dot,
 * into `out`. Empty: none, or nothing a host could be called. */
struct slice parse_server_name(struct slice extension, char out[TLS_NAME_BYTES_MAX + 1]);
