/* What the files of `pelayan cert` share. Runs in: the process the user started. */
#pragma once

#include "cli/cert.h"
#include "tls/inspect.h"

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

struct run_options;

struct cert_args {
    const char **words; /* what is no option; borrowed from argv */
    size_t word_count;
    const char *key; /* --key */
    const char *out; /* --out: a folder; NULL: ours */
    int days;        /* --days; 0: not given */
    bool json;
    bool rsa;
    bool system;  /* --system: only this store */
    bool browser; /* --browser: only these */
};

/* ---- cert_subjects.c: one thing that is looked at */

struct cert_subject {
    struct cert_subject *next;
    char *what;             /* file or host; heap, as all texts here */
    char *key;              /* file; NULL: it was not looked for */
    char *servers;          /* that use it, "a.test, b.test"; NULL: not of a configuration */
    STACK_OF(X509) * chain; /* owned, the certificate first; NULL: there is none to be read */
    struct cert_findings findings;
};

enum { CERT_SOON_DAYS = 14 };

/* Adds all of the configuration to `*list`. False: message printed. */
bool cert_subjects_of_config(const struct run_options *options, int soon_days,
                             struct cert_subject **list);

/* A file of the disk, or what HOST[:PORT] shows; what is wrong becomes a finding. False: no memory.
 */
bool cert_subject_of_file(const char *path, const char *key, int soon_days,
                          struct cert_subject **list);
bool cert_subject_of_host(const char *host, int soon_days, struct cert_subject **list);
struct cert_subject *cert_subject_add(struct cert_subject **list, const char *what, size_t len);
void cert_subjects_free(struct cert_subject *list);

/* cert_host.c: the chain that a server shows; NULL: a finding says why. */
STACK_OF(X509) * cert_fetch(const char *host, struct cert_findings *findings);

/* ---- cert_make.c, cert_trust.c */

/* The authority of this user, made now if there was none. False: message printed. */
bool cert_authority(struct cert_paths *paths);
int cert_make(const struct cert_args *args, bool local);
int cert_trust(const struct cert_args *args, bool trust);
