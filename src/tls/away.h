/* Handshakes that need an expensive private key (RSA, large curves) go on in a thread of their own
 * kind: a loop serves others meanwhile.
 *
 * While a connection is away its loop touches nothing of it but this. The thread speaks with the
 * socket under a lock, so that the owner may close it at any time. Runs in: worker; loop thread,
 * but for what away.c says. */
#pragma once

#include "event/loop.h"

#include <openssl/ssl.h>
#include <stdbool.h>

struct tls_away;
struct tls_conn;

/* Is a signature with it a matter of more than a tenth of a millisecond? */
bool tls_key_is_costly(EVP_PKEY *key);

/* The library asks for the certificate in a full handshake only: callback of every context. */
void tls_away_on(SSL_CTX *context);

/* Would the next step decrypt with the key (TLS 1.2 without forward secrecy)? */
bool tls_away_is_next(const struct tls_conn *conn);

/* Sends the next step away; `choice->resume` is called when it is home. False: too many wait. */
bool tls_away_send(struct tls_conn *conn);

/* The connection's end while it is away: what is left is freed when it comes home. */
void tls_away_abandon(struct tls_conn *conn);

/* Bytes of the thread; -1 and errno as recv() and send(). */
ssize_t tls_away_recv(struct tls_away *away, void *data, size_t bytes);
ssize_t tls_away_send_bytes(struct tls_away *away, const void *data, size_t bytes);
