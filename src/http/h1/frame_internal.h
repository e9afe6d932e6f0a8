/* What a message's headers say about its body and its connection. Runs in: worker, loop thread. */
#pragma once

#include "http/h1/parse.h"

struct framing {
    bool chunked;
    bool has_length;
    uint64_t length;
};

/* Transfer-Encoding and Content-Length of a message of `version`: H1_NONE, or why they are refused.
 */
enum h1_error read_framing(const struct header_list *headers, unsigned version,
                           struct framing *framing);

/* What Connection says: a set of these. */
enum connection_option {
    CONNECTION_CLOSE = 1,
    CONNECTION_KEEP_ALIVE = 2,
    CONNECTION_UPGRADE = 4,
};

unsigned connection_options(const struct header_list *headers);

/* RFC 9112, 9.3. */
bool connection_persists(unsigned options, unsigned version);
