/* Asking the DNS by c-ares: one channel per set of servers. Runs in: worker, the resolver's thread,
 * under its lock. */
#pragma once

#include "base/slice.h"
#include "event/address.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;

struct dns {
    struct channel *channels; /* owned; few: one per `resolver` line that differs */
    unsigned in_flight;
};

struct dns_question {
    struct channel *channel;
    const char *host; /* terminated; borrowed until the answer */
    bool ipv4;
    bool ipv6;
    void (*on_answer)(void *data, struct address *addresses, size_t count, uint64_t ttl_s);
    void (*on_failure)(void *data, const char *error);
    void *data;
};

void dns_init(struct dns *dns);
void dns_fini(struct dns *dns); /* open questions fail */

/* The channel for "ADDRESS:PORT,..."; empty: what /etc/resolv.conf says. NULL: no memory. */
struct channel *dns_channel(struct dns *dns, struct slice servers);

/* Exactly one of the callbacks is called, maybe at once. `addresses`: IPv4 first, port 0, owned by
 * the callee (free()). */
void dns_ask(struct dns *dns, const struct dns_question *asked);

/* What to wait for: fills up to `max` and lowers `*wait_ms`. Returns how many. */
size_t dns_wait_for(struct dns *dns, struct pollfd *fds, size_t max, int *wait_ms);

/* After poll(): `fds` as filled above. Also when it timed out. */
void dns_process(struct dns *dns, const struct pollfd *fds, size_t count);
