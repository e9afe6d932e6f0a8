/* OCSP stapling: the issuer's word that a certificate is not revoked, sent with it.
 *
 * Asked for in a thread of its own when a client wants it and there is none, or it grows old; until
 * it has come, and when the issuer cannot be reached, certificates go out without. Belongs to the
 * certificate and dies with it. Runs in: any thread. */
#pragma once

#include "base/slice.h"

#include <openssl/ssl.h>
#include <stdbool.h>

struct staple_settings {
    bool on;
    bool verify;            /* the answer's signature is checked against `trusted` */
    struct slice file;      /* DER, instead of asking; empty: ask */
    struct slice responder; /* URL, instead of the one in the certificate; empty: that one */
    struct slice trusted;   /* PEM: issuers; may be empty without `verify` */
};

/* Gives `leaf` its staple. False: it can have none, `why` says why. */
bool staple_attach(X509 *leaf, STACK_OF(X509) * chain, const struct staple_settings *settings,
                   const char **why);

/* Connections of `context` send what their certificate has. */
void staple_on(SSL_CTX *context);
