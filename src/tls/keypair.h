/* A certificate with its chain and private key, ready for handshakes.
 *
 * Counted, because a handshake may still hold what a cache has thrown out. Immutable after
 * keypair_parse(). Runs in: any thread. */
#pragma once

#include "base/slice.h"

#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdbool.h>

struct tls_item;

struct keypair {
    atomic_uint refs;
    X509 *leaf;             /* owned */
    STACK_OF(X509) * chain; /* owned: what follows the leaf in its file, in this order */
    EVP_PKEY *key;          /* owned */
};

/* One reference; NULL: `why` (of `why_bytes`) says what is wrong with which. `passwords`: tried for
 * an encrypted key. */
struct keypair *keypair_parse(struct slice certificate, struct slice key,
                              const struct tls_item *passwords, char *why, size_t why_bytes);
struct keypair *keypair_ref(struct keypair *pair);
void keypair_unref(struct keypair *pair); /* NULL is fine */

/* All certificates of a PEM text; NULL: there is none, or one is broken. The caller owns it. */
STACK_OF(X509) * pem_certificates(struct slice text);

/* The oldest message of this thread's queue of the library's errors, as "SSL: error:..."; empties
 * the queue. Returns `out`. */
char *tls_error_text(char *out, size_t out_bytes);
