/* split_clients: a variable with one of several values by shares, always the same for the same
 * text. Runs in: load: any; evaluation: loop thread. */
#pragma once

#include "config/directive.h"

enum { SPLIT_CLIENTS_DIRECTIVES = 1 };

extern const struct directive split_clients_directives[SPLIT_CLIENTS_DIRECTIVES];

/* MurmurHash2 with seed 0: nginx's choice, so that users stay in their groups. Pure. */
uint32_t murmur_hash2(struct slice text);

/* "12.5%" in hundredths of a percent: 1250. False: not of that form, 0 or over 100 %. Pure. */
bool parse_share(struct slice text, unsigned *share);
