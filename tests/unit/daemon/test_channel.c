/* The channel: texts and more descriptors than one message takes arrive in order; strangers' bytes
 * are refused. */
#include "tests/unit/check.h"

#include "daemon/channel.h"

#include <sys/socket.h>
#include <unistd.h>

TEST(many_descriptors_take_several_messages)
{
    enum { FDS = MESSAGE_FDS_MAX + 50 };
    static struct message message;
    int pair[2];
    int fds[FDS];
    size_t total = 0;

    CHECK(channel_pair(pair));
    for (int i = 0; i < FDS; i++)
        fds[i] = 0;
    CHECK(channel_send_fds(pair[0], fds, FDS));
    CHECK(channel_send(pair[0], MESSAGE_BUNDLE, 42, slice_of("text")));
    while (channel_receive(pair[1], &message) == MESSAGE_OK && message.kind == MESSAGE_FDS) {
        total += message.fd_count;
        while (message.fd_count > 0)
            close(message.fds[--message.fd_count]);
    }
    CHECK_EQ(total, (size_t)FDS);
    CHECK_EQ(message.kind, MESSAGE_BUNDLE);
    CHECK_EQ(message.number, 42u);
    CHECK_SLICE(message.text, "text");
    CHECK_EQ(channel_receive(pair[1], &message), MESSAGE_AGAIN);
    CHECK_EQ(send(pair[0], "short", 5, 0), 5);
    CHECK_EQ(channel_receive(pair[1], &message), MESSAGE_BAD);
    close(pair[0]);
    CHECK_EQ(channel_receive(pair[1], &message), MESSAGE_CLOSED);
    close(pair[1]);
}
