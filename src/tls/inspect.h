/* What people want to know about a certificate, and what is wrong with it. Pure but for the clock
 * and the system's trusted authorities. Runs in: the process the user started. */
#pragma once

#include "base/slice.h"

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

enum cert_level {
    CERT_FINE,
    CERT_SOON,  /* good today */
    CERT_WRONG, /* clients complain, or would */
};

struct cert_finding {
    enum cert_level level;
    char text[320];
};

enum { CERT_FINDINGS_MAX = 12 }; /* more are not kept */

struct cert_findings {
    struct cert_finding items[CERT_FINDINGS_MAX];
    size_t count;
};

enum cert_level cert_worst(const struct cert_findings *findings);
void cert_find(struct cert_findings *findings, enum cert_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct cert_facts {
    char subject[256];
    char issuer[256];
    char serial[80];
    char fingerprint[100]; /* SHA-256, hex with colons */
    char key[48];          /* "ECDSA prime256v1", "RSA 2048" */
    char from[24];         /* 2026-01-31T12:00:00Z */
    char until[24];
    int days_left; /* below 0: expired */
    bool self_signed;
    char *names; /* heap: "a.test, 127.0.0.1"; NULL: no memory */
};

/* cert_facts_fini() afterwards. */
void cert_facts(X509 *cert, struct cert_facts *facts);
void cert_facts_fini(struct cert_facts *facts);

/* Dates of all, and does each one's issuer follow it? `soon_days`: an end within them is told. */
void inspect_chain(STACK_OF(X509) * chain, int soon_days, struct cert_findings *findings);

/* Is it for `name`: a host, "*.b", ".b" or an address? */
void inspect_name(X509 *leaf, struct slice name, struct cert_findings *findings);

/* Does this system trust it? Not trusted is `level`. */
void inspect_trust(STACK_OF(X509) * chain, enum cert_level level, struct cert_findings *findings);
