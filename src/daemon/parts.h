/* Texts that are longer than one message of the channel: parts, each with the place it goes to,
 * then the message itself without a text.
 *
 * A part for the beginning starts anew, so that whoever was interrupted may begin again.
 * Runs in: master; worker's first loop. */
#pragma once

#include "base/slice.h"
#include "daemon/channel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PARTS_BYTES_MAX = 1 << 20 };

/* What has come so far. All zero is empty. */
struct parts {
    char *text; /* owned */
    size_t len;
};

/* As channel_send(), for a text of up to PARTS_BYTES_MAX. `*sent`: so much has gone out before, 0
 * at first; after false it says where to go on with the same text. */
bool parts_send(int fd, enum message_kind kind, uint64_t number, struct slice text, size_t *sent);

/* A MESSAGE_PART; one that does not fit to what has come empties it. */
void parts_take(struct parts *parts, const struct message *message);

/* The text of a message: its own, or that of the parts. Valid until parts_drop(). */
struct slice parts_text(const struct parts *parts, const struct message *message);

void parts_drop(struct parts *parts);
