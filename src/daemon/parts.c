/* Texts in parts. Runs in: master; worker's first loop. */
#include "daemon/parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool parts_send(int fd, enum message_kind kind, uint64_t number, struct slice text, size_t *sent)
{
    assert(*sent <= text.len && text.len <= PARTS_BYTES_MAX);
    if (text.len <= MESSAGE_TEXT_MAX)
        return channel_send(fd, kind, number, text);
    while (*sent < text.len) {
        struct slice part = slice_head(slice_skip(text, *sent), MESSAGE_TEXT_MAX);

        if (!channel_send(fd, MESSAGE_PART, *sent, part))
            return false;
        *sent += part.len;
    }
    return channel_send(fd, kind, number, slice_of(""));
}

void parts_take(struct parts *parts, const struct message *message)
{
    bool fits = message->number == 0 || message->number == parts->len;
    size_t before = (size_t)message->number;
    char *grown = NULL;

    if (fits && message->text.len <= PARTS_BYTES_MAX - before)
        grown = realloc(parts->text, before + message->text.len + 1);
    if (grown == NULL) {
        parts_drop(parts);
        return;
    }
    memcpy(grown + before, message->text.data, message->text.len);
    parts->text = grown;
    parts->len = before + message->text.len;
}

struct slice parts_text(const struct parts *parts, const struct message *message)
{
    return message->text.len > 0 ? message->text : slice_make(parts->text, parts->len);
}

void parts_drop(struct parts *parts)
{
    free(parts->text);
    *parts = (struct parts){.text = NULL};
}
