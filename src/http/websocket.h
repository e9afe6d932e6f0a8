/* WebSocket's opening handshake (RFC 6455, 4.2.2), for connections of HTTP/2, which has none of its
 * own. Runs in: worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

enum { WEBSOCKET_KEY_BYTES = 24, WEBSOCKET_ACCEPT_BYTES = 28 };

/* A value for Sec-WebSocket-Key. False: there are no random bytes. */
bool websocket_key(char out[WEBSOCKET_KEY_BYTES + 1]);

/* The Sec-WebSocket-Accept that answers `key`. False: the library failed. */
bool websocket_accept(struct slice key, char out[WEBSOCKET_ACCEPT_BYTES + 1]);
