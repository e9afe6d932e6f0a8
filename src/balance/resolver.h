/* Names to addresses: the hosts file, then DNS by c-ares in one thread of the worker, with one
 * cache for all loops.
 *
 * A and AAAA; the TTL is honoured (at least 1 s) unless `valid=` says otherwise; the last good
 * answer is kept while the DNS is out of reach. Two kinds of users: servers of upstreams, which are
 * followed as long as they are in use (balance_start()), and lookups of names known only at run
 * time. Runs in: worker; lookups: loop thread; config: any process, at load time. */
#pragma once

#include "base/slice.h"
#include "event/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct conf_call;
struct loop;
struct lookup_job;
struct resolver;

/* The `resolver` directive. NULL stands for the system's (/etc/resolv.conf). */
struct resolver_conf {
    struct slice
        servers;       /* "127.0.0.1:53,[::1]:53": what c-ares is told, and the key of the cache */
    uint64_t valid_ms; /* 0: the TTL of the answer */
    bool ipv4;
    bool ipv6;
};

/* `resolver ADDRESS ... [valid=T] [ipv4=on|off] [ipv6=on|off] [status_zone=Z]`: parses all words of
 * the call. NULL: reported. */
const struct resolver_conf *resolver_conf_parse(struct conf_call *call);

enum lookup_result {
    LOOKUP_DONE,    /* addresses, at least one */
    LOOKUP_PENDING, /* on_done will be called */
    LOOKUP_FAILED,  /* error */
};

/* One question; owned by who asks, who must cancel it before it goes away. */
struct lookup {
    /* set by the asker: */
    struct slice name; /* a host name or numeric address, without port; borrowed until the end */
    uint16_t port;     /* put into the addresses */
    const struct resolver_conf *conf;       /* borrowed until the end; NULL: the system's */
    uint64_t timeout_ms;                    /* resolver_timeout; 0: 30 s */
    struct arena *arena;                    /* for the addresses */
    void (*on_done)(struct lookup *lookup); /* loop thread, never from within resolver_lookup() */
    /* set by the resolver: */
    const struct address
        *addresses; /* in the order the DNS gave, rotated from one lookup to the next */
    size_t address_count;
    const char *error;      /* "Host not found", "Operation timed out", ...; a constant */
    struct lookup_job *job; /* while pending */
};

enum lookup_result resolver_lookup(struct resolver *resolver, struct loop *loop,
                                   struct lookup *lookup);

/* on_done will not be called. Fine for a lookup that is not pending. */
void lookup_cancel(struct lookup *lookup);

/* The hosts file alone, at once: at most `max` addresses into `out`, with `port`. Returns how many
 * there are. Any thread. */
size_t hosts_find(struct slice name, uint16_t port, struct address *out, size_t max);

/* Letters, digits, hyphens, underscores and dots, labels of 1 to 63, 253 in all. */
bool host_name_valid(struct slice name);
