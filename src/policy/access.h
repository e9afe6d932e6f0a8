/* allow and deny: a list of networks, of which the first that has the client decides.
 * Runs in: parse: load time; check: any thread. */
#pragma once

#include "base/slice.h"
#include "event/address.h"

#include <stdbool.h>

struct arena;
struct conf_call;

struct access_rule {
    struct access_rule *next;
    struct address_block block;
    bool everybody; /* "all" */
    bool deny;
};

struct access_rules {
    struct access_rule *first; /* arena of the config */
    struct access_rule *last;
};

enum access_verdict {
    ACCESS_SILENT, /* no rule has this client */
    ACCESS_ALLOWED,
    ACCESS_DENIED,
};

/* Appends the rule of `allow ...` or `deny ...`: an address, a network, "unix:" or "all". False: an
 * error has been reported. */
bool access_rules_add(struct conf_call *call, struct access_rules *rules, bool deny);

enum access_verdict access_check(const struct access_rules *rules, const struct address *client);
