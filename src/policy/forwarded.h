/* Who really asks, when proxies we trust stand between: X-Forwarded-For and its like.
 * Runs in: any. */
#pragma once

#include "event/address.h"
#include "policy/access.h"

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80". Pure. */
bool parse_forwarded_address(struct slice text, struct address *address);

/* Walks a list of addresses from its end: as long as `*client` is one we trust, the address it
 * gives takes its place; without `recursive` only once. False: `*client` is as it was. */
bool forwarded_client(struct slice list, const struct access_rules *trusted, bool recursive,
                      struct address *client);
