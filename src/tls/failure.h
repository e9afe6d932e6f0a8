/* Why handshakes with clients come to nothing: what operators count.
 * Runs in: any. */
#pragma once

enum tls_failure {
    TLS_FAILURE_PROTOCOL, /* what came is no TLS, or breaks its rules */
    TLS_FAILURE_CLOSED,   /* the client left in the midst of it */
    TLS_FAILURE_TIMEOUT,  /* or did not go on */
    TLS_FAILURE_LIMIT,    /* its address had too many under way: ssl_handshake_limit */
    TLS_FAILURE_NAME,     /* no server for the name it asked for: ssl_reject_handshake */
    TLS_FAILURE_OFFER,    /* no version, cipher or group in common */
    TLS_FAILURE_ALERT,    /* the client refuses: it does not trust our certificate, say */
    TLS_FAILURE_OURS,     /* our certificate or key cannot be used */
    TLS_FAILURE_COUNT,
};
