/* Makes keys and certificates: self-signed ones, and those of an authority for one machine's own
 * names. Pure but for random bytes and the clock. Runs in: the process the user started. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

struct keypair;

struct issued { /* PEM, terminated; heap; NULL: not made */
    char *certificate;
    char *key;
};

struct issue_wish {
    const char *const *names; /* hosts and addresses, each good by issue_name_is_good() */
    size_t name_count;        /* at least one */
    int days;
    bool rsa;                     /* RSA of 2048 bits instead of ECDSA P-256 */
    const struct keypair *issuer; /* NULL: it signs itself */
};

/* A host name (a wildcard may be its first label), or an IP address? */
bool issue_name_is_good(const char *name);

/* May the authority of issue_authority() sign for it: localhost, *.test, private addresses ...? */
bool issue_name_is_local(const char *name);

/* False: the library says why (tls_error_text()). issued_fini() in both cases. */
bool issue_leaf(const struct issue_wish *wish, struct issued *issued);

/* An authority whose signature is worth something for local names only: who steals its key gains no
 * public site. */
bool issue_authority(const char *common_name, int days, struct issued *issued);

void issued_fini(struct issued *issued); /* the key's bytes are wiped */
