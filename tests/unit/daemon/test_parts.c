/* Texts longer than a message arrive whole, in one go or after an interruption, or not at all. */
#include "base/list.h"
#include "daemon/parts.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *long_text(size_t len, char first)
{
    char *text = malloc(len + 1);

    for (size_t i = 0; i < len; i++)
        text[i] = (char)(first + i % 19);
    text[len] = '\0';
    return text;
}

/* Reads all messages: the text of the last one that was no part. NULL: there was none. */
static char *read_all(int fd, struct parts *parts)
{
    static struct message message;
    char *text = NULL;

    while (channel_receive(fd, &message) == MESSAGE_OK) {
        struct slice whole;

        if (message.kind == MESSAGE_PART) {
            parts_take(parts, &message);
            continue;
        }
        whole = parts_text(parts, &message);
        free(text);
        text = slice_strdup(whole);
        parts_drop(parts);
    }
    return text;
}

TEST(texts_of_any_length_arrive)
{
    static const size_t lengths[] = {0,
                                     10,
                                     MESSAGE_TEXT_MAX,
                                     MESSAGE_TEXT_MAX + 1,
                                     2 * MESSAGE_TEXT_MAX,
                                     3 * MESSAGE_TEXT_MAX + 7};
    struct parts parts = {.text = NULL};
    int pair[2];

    CHECK(channel_pair(pair));
    for (size_t i = 0; i < COUNT(lengths); i++) {
        char *text = long_text(lengths[i], 'a');
        size_t sent = 0;
        char *got;

        CHECK(parts_send(pair[0], MESSAGE_APP, 1, slice_make(text, lengths[i]), &sent));
        got = read_all(pair[1], &parts);
        CHECK(got != NULL && strcmp(got, text) == 0, "%zu", lengths[i]);
        free(got);
        free(text);
    }
    close(pair[0]);
    close(pair[1]);
}

TEST(who_does_not_read_gets_the_rest_later)
{
    struct parts parts = {.text = NULL};
    char *text = long_text(PARTS_BYTES_MAX, 'b');
    char *got = NULL;
    size_t sent = 0;
    unsigned tries = 0;
    int pair[2];

    CHECK(channel_pair(pair));
    while (!parts_send(pair[0], MESSAGE_APP, 1, slice_of(text), &sent)) {
        CHECK(++tries < 100);
        got = read_all(pair[1], &parts);
        CHECK(got == NULL);
    }
    got = read_all(pair[1], &parts);
    CHECK(got != NULL && strcmp(got, text) == 0);
    free(got);
    free(text);
    close(pair[0]);
    close(pair[1]);
}

TEST(what_was_begun_and_given_up_is_forgotten)
{
    struct parts parts = {.text = NULL};
    char *other = long_text(2 * MESSAGE_TEXT_MAX, 'c');
    size_t sent = 0;
    char *got;
    int pair[2];

    CHECK(channel_pair(pair));
    CHECK(channel_send(pair[0], MESSAGE_PART, 0, slice_of("the beginning of ")));
    CHECK(parts_send(pair[0], MESSAGE_APP, 1, slice_of(other), &sent));
    got = read_all(pair[1], &parts);
    CHECK(got != NULL && strcmp(got, other) == 0);
    free(got);
    /* a part that is missing, and one that would be too much: nothing is used */
    CHECK(channel_send(pair[0], MESSAGE_PART, 0, slice_of("one")));
    CHECK(channel_send(pair[0], MESSAGE_PART, 4, slice_of("two")));
    CHECK(channel_send(pair[0], MESSAGE_PART, UINT64_MAX, slice_of("three")));
    CHECK(channel_send(pair[0], MESSAGE_APP, 1, slice_of("")));
    got = read_all(pair[1], &parts);
    CHECK(got != NULL && got[0] == '\0');
    free(got);
    free(other);
    close(pair[0]);
    close(pair[1]);
}
