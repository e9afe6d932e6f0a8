/* What a name server says: whatever it is, exactly one callback comes, and addresses are addresses.
 *
 * The name server is a socket on the loopback. Its answer repeats the question's number and name,
 * for c-ares drops anything else unread; the rest is the fuzzer's. */
#include "balance/dns_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PACKET_MAX = 1500, HEAD_BYTES = 12, TURNS_MAX = 4, TURN_MS = 2 };

struct outcome {
    int answers;
    int failures;
};

static void on_answer(void *data, struct address *addresses, size_t count, uint64_t ttl_s)
{
    struct outcome *outcome = data;

    (void)ttl_s;
    assert(count > 0);
    for (size_t i = 0; i < count; i++)
        assert(addresses[i].any.sa_family == AF_INET || addresses[i].any.sa_family == AF_INET6);
    free(addresses);
    outcome->answers++;
}

static void on_failure(void *data, const char *error)
{
    struct outcome *outcome = data;

    assert(error != NULL && error[0] != '\0');
    outcome->failures++;
}

static int open_server(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert(fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof *at) == 0);
    assert(getsockname(fd, (struct sockaddr *)at, &len) == 0);
    return fd;
}

/* The name ends with an empty label; type and class follow. */
static size_t question_end(const unsigned char *packet, size_t len)
{
    size_t at = HEAD_BYTES;

    while (at < len && packet[at] != 0)
        at += (size_t)packet[at] + 1;
    return at + 5 <= len ? at + 5 : len;
}

static void reply(int fd, const uint8_t *data, size_t size)
{
    unsigned char packet[PACKET_MAX * 2];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t got = recvfrom(fd, packet, PACKET_MAX, 0, (struct sockaddr *)&from, &from_len);
    size_t end, head = size < 10 ? size : 10;

    if (got < HEAD_BYTES)
        return;
    end = question_end(packet, (size_t)got);
    memcpy(packet + 2, data, head); /* flags and counts */
    packet[2] |= 0x80;              /* it is an answer, */
    packet[4] = 0;
    packet[5] = 1; /* to one question */
    size -= head;
    if (size > PACKET_MAX)
        size = PACKET_MAX;
    memcpy(packet + end, data + head, size);
    (void)!sendto(fd, packet, end + size, 0, (struct sockaddr *)&from, from_len);
}

static void turn(struct dns *dns, int server, const uint8_t *data, size_t size)
{
    struct pollfd fds[8];
    int wait_ms = TURN_MS;
    size_t count = dns_wait_for(dns, fds, 7, &wait_ms);

    fds[count] = (struct pollfd){.fd = server, .events = POLLIN};
    if (poll(fds, count + 1, wait_ms < TURN_MS ? wait_ms : TURN_MS) > 0 && fds[count].revents != 0)
        reply(server, data, size);
    dns_process(dns, fds, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome outcome = {0, 0};
    struct sockaddr_in at;
    int server = open_server(&at);
    char servers[64];
    struct dns dns;
    struct dns_question question = {.host = "name.test",
                                    .ipv4 = true,
                                    .ipv6 = size > 0 && (data[0] & 1) != 0,
                                    .on_answer = on_answer,
                                    .on_failure = on_failure,
                                    .data = &outcome};

    dns_init(&dns);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", ntohs(at.sin_port));
    question.channel = dns_channel(&dns, slice_of(servers));
    assert(question.channel != NULL);
    dns_ask(&dns, &question);
    for (int i = 0; i < TURNS_MAX && outcome.answers + outcome.failures == 0; i++)
        turn(&dns, server, data, size);
    dns_fini(&dns);
    assert(outcome.answers + outcome.failures == 1);
    close(server);
    return 0;
}
