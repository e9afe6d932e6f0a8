/* Handing all apps to the next program in this process (execve), which goes on where this one was.
 *
 * What is known of them becomes one JSON value: what a newer program does not find in it is zero,
 * what an older one does not know is not looked at. Descriptors keep their numbers. The processes
 * stay children, so that the next program opens their pidfds anew. Runs in: runner's loop. */
#pragma once

#include "base/slice.h"

#include <jansson.h>
#include <stdbool.h>

struct apps;
struct diag;

/* A change is under way that somebody waits for: `why` names it. Not the time for a handover. */
bool apps_busy(const struct apps *apps, char *why, size_t why_bytes);

/* Everything; the numbers of descriptors that must stay open are added to `fds`. NULL: no memory.
 */
json_t *apps_pack(const struct apps *apps, json_t *fds);

/* Into an empty `apps`. What cannot be taken over is logged, the rest goes on. */
void apps_unpack(struct apps *apps, const json_t *state);

/* Would apps_unpack() understand it? Touches nothing. False: errors in `diag`. */
bool apps_understand(const json_t *state, struct diag *diag);

/* Any bytes as a JSON text. */
json_t *bytes_pack(struct slice bytes);
/* The number of bytes; more than `max` are none. */
size_t bytes_unpack(const json_t *text, char *out, size_t max);
