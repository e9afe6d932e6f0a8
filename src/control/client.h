/* Asking the master. Runs in: cli. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

struct arena;

enum client_result {
    CLIENT_OK,
    CLIENT_REFUSED, /* the master says no: `answer` tells why */
    CLIENT_NOBODY,  /* no master listens there: errno */
    CLIENT_LOST,    /* the connection ended before the answer: the master left, or was killed */
};

/* Sends {"command":"..."} and waits for the answer as long as it takes. `answer`: in `arena`. */
enum client_result client_ask(const char *socket_path, const char *command, struct arena *arena,
                              struct slice *answer);

/* Sends `request`, one JSON line with its end, and waits for the answering line, which is in
 * `arena`, without its end. */
enum client_result client_exchange(const char *socket_path, struct slice request,
                                   struct arena *arena, struct slice *answer);

/* Sends `request`, one JSON line with its end, and gives every line that comes to `on_line`,
 * without its end, until that returns false. False: nobody is there, or the other side fell silent.
 */
bool client_stream(const char *socket_path, struct slice request,
                   bool (*on_line)(void *data, struct slice line), void *data);

/* Does somebody listen there? */
bool client_listens(const char *socket_path);
