/* Keys of session tickets: shared by all loops, kept over reloads, changed by themselves.
 *
 * A ring that nobody wrote down makes its own keys: a new one encrypts every hour (or every
 * ssl_session_timeout, if that is longer), and the two before it still decrypt. A ring of files has
 * the keys of ssl_session_ticket_key: the first encrypts, all decrypt. Runs in: any thread. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

struct tls_item;

/* `keys` NULL: the process's own ring. The ring lives as long as the process; equal keys give the
 * same one. NULL: no memory, or no random bytes. */
struct ticket_ring *ticket_ring_get(const struct tls_item *keys, uint64_t session_timeout_s);

/* Makes `context` use the ring. False: the library says why. */
bool ticket_ring_use(struct ticket_ring *ring, SSL_CTX *context);

/* For tests: as if `seconds` had passed. */
void ticket_ring_age(struct ticket_ring *ring, uint64_t seconds);
