/* What is known about an established TLS connection: the values of $ssl_* variables.
 * Runs in: worker, the loop's thread of the connection. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <time.h>

struct arena;
struct tls_conn;

enum tls_fact {
    TLS_FACT_PROTOCOL,
    TLS_FACT_CIPHER,
    TLS_FACT_CIPHERS, /* what the client offered */
    TLS_FACT_CURVE,
    TLS_FACT_CURVES,
    TLS_FACT_SESSION_ID,
    TLS_FACT_SESSION_REUSED, /* "r" or "." */
    TLS_FACT_EARLY_DATA,     /* "1" while the handshake is not complete */
    TLS_FACT_SERVER_NAME,
    TLS_FACT_ALPN,
    TLS_FACT_CLIENT_CERT, /* PEM, lines indented by a tab, as nginx has it */
    TLS_FACT_CLIENT_RAW_CERT,
    TLS_FACT_CLIENT_ESCAPED_CERT,
    TLS_FACT_CLIENT_S_DN,
    TLS_FACT_CLIENT_I_DN,
    TLS_FACT_CLIENT_SERIAL,
    TLS_FACT_CLIENT_FINGERPRINT,
    TLS_FACT_CLIENT_VERIFY, /* SUCCESS, NONE, FAILED:reason */
    TLS_FACT_CLIENT_V_START,
    TLS_FACT_CLIENT_V_END,
    TLS_FACT_CLIENT_V_REMAIN, /* days */
};

/* False: there is no such thing on this connection, or no memory. */
bool tls_fact(struct tls_conn *conn, enum tls_fact fact, struct arena *arena, struct slice *text);

enum tls_client {
    TLS_CLIENT_NONE, /* sent no certificate */
    TLS_CLIENT_GOOD,
    TLS_CLIENT_UNKNOWN, /* issued by nobody we know: `optional_no_ca` lets it pass */
    TLS_CLIENT_REFUSED,
};

/* What came of asking the client for a certificate; `*why`: a reason for the log. */
enum tls_client tls_client_verdict(struct tls_conn *conn, const char **why);
