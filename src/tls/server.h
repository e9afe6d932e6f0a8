/* What a server block is to TLS: its certificates, whom it trusts, what it offers.
 *
 * Servers that say the same about everything but certificates share one context of the library, so
 * that tens of thousands of certificates cost little more than their text; a certificate is parsed
 * when a client first asks for it. A server whose files are missing or broken refuses handshakes
 * for its names, and only those. Belongs to a config snapshot. Runs in: made by who loads;
 * afterwards: loop threads. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct diag;
struct tls_server;
struct tls_settings;
struct tls_store;

/* All that one snapshot has of contexts and certificates; ends with `arena`. NULL: no memory. */
struct tls_store *tls_store_new(struct arena *arena);

/* How many certificates are parsed while a configuration is loaded, to warn of broken ones; the
 * others when they are asked for. */
enum { TLS_CHECKED_MAX = 1000 };

/* `label`: the server's name, for messages; borrowed. What is wrong with its files is a warning in
 * `diag` (an error if `strict`), and the server then refuses handshakes. NULL: an error, reported:
 * it stands in the way of the whole configuration. Equal settings should be asked once. */
struct tls_server *tls_server_new(struct tls_store *store, const struct tls_settings *settings,
                                  struct slice label, bool strict, struct diag *diag);

/* Can it ever complete a handshake? */
bool tls_server_is_usable(const struct tls_server *server);
const struct tls_settings *tls_server_settings(const struct tls_server *server);

/* For "certificates must fit": number of certificates parsed so far. */
size_t tls_store_parsed(const struct tls_store *store);
