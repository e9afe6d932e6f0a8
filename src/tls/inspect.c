/* What people want to know about a certificate. Runs in: the process the user started. */
#include "tls/inspect.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum cert_level cert_worst(const struct cert_findings *findings)
{
    enum cert_level worst = CERT_FINE;

    for (size_t i = 0; i < findings->count; i++)
        if (findings->items[i].level > worst)
            worst = findings->items[i].level;
    return worst;
}

void cert_find(struct cert_findings *findings, enum cert_level level, const char *format, ...)
{
    va_list args;

    if (findings->count == CERT_FINDINGS_MAX)
        return;
    struct cert_finding *finding = &findings->items[findings->count++];

    finding->level = level;
    va_start(args, format);
    vsnprintf(finding->text, sizeof finding->text, format, args);
    va_end(args);
}

/* ---- facts */

static void name_text(const X509_NAME *name, char *out, size_t out_bytes)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;

    out[0] = '\0';
    if (bio != NULL &&
        X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        long len = BIO_get_mem_data(bio, &data);

        snprintf(out, out_bytes, "%.*s", (int)len, data);
    }
    BIO_free(bio);
}

static void time_text(const ASN1_TIME *when, char *out, size_t out_bytes)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(when, &tm) != 1 || strftime(out, out_bytes, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, out_bytes, "?");
}

static int days_until(const ASN1_TIME *when)
{
    int days = 0;
    int seconds = 0;

    if (ASN1_TIME_diff(&days, &seconds, NULL, when) != 1)
        return -1;
    return days > 0 || seconds >= 0 ? days : days - 1;
}

static void key_text(X509 *cert, char *out, size_t out_bytes)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    char group[32] = "";
    size_t len = 0;

    if (key == NULL)
        snprintf(out, out_bytes, "unknown");
    else if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
             EVP_PKEY_get_group_name(key, group, sizeof group, &len) == 1)
        snprintf(out, out_bytes, "ECDSA %s", group);
    else
        snprintf(out, out_bytes, "%s %d", OBJ_nid2sn(EVP_PKEY_get_base_id(key)),
                 EVP_PKEY_get_bits(key));
    if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        snprintf(out, out_bytes, "RSA %d", EVP_PKEY_get_bits(key));
}

static void hex_text(const unsigned char *bytes, size_t len, char *out, size_t out_bytes)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < len && used + 4 <= out_bytes; i++)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%02X", i == 0 ? "" : ":",
                                 bytes[i]);
}

static void add_address(FILE *out, const ASN1_OCTET_STRING *address)
{
    int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
    char text[INET6_ADDRSTRLEN] = "?";

    if (family == AF_INET || ASN1_STRING_length(address) == 16)
        inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof text);
    fputs(text, out);
}

/* What is neither a host nor an address does not concern TLS. */
static char *names_text(X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    const char *between = "";

    for (int i = 0; out != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        int kind;
        const void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind);

        if (kind != GEN_DNS && kind != GEN_IPADD)
            continue;
        fputs(between, out);
        between = ", ";
        if (kind == GEN_DNS)
            fprintf(out, "%.*s", ASN1_STRING_length(value),
                    (const char *)ASN1_STRING_get0_data(value));
        else
            add_address(out, value);
    }
    if (out != NULL)
        fclose(out);
    GENERAL_NAMES_free(names);
    return text;
}

void cert_facts(X509 *cert, struct cert_facts *facts)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;

    *facts = (struct cert_facts){0};
    name_text(X509_get_subject_name(cert), facts->subject, sizeof facts->subject);
    name_text(X509_get_issuer_name(cert), facts->issuer, sizeof facts->issuer);
    hex_text(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial), facts->serial,
             sizeof facts->serial);
    if (X509_digest(cert, EVP_sha256(), digest, &digest_len) == 1)
        hex_text(digest, digest_len, facts->fingerprint, sizeof facts->fingerprint);
    key_text(cert, facts->key, sizeof facts->key);
    time_text(X509_get0_notBefore(cert), facts->from, sizeof facts->from);
    time_text(X509_get0_notAfter(cert), facts->until, sizeof facts->until);
    facts->days_left = days_until(X509_get0_notAfter(cert));
    facts->self_signed = X509_self_signed(cert, 1) == 1;
    facts->names = names_text(cert);
    ERR_clear_error();
}

void cert_facts_fini(struct cert_facts *facts)
{
    free(facts->names);
    facts->names = NULL;
}

/* ---- what is wrong */

static void inspect_dates(X509 *cert, const char *which, int soon_days,
                          struct cert_findings *findings)
{
    char until[24];
    int days = days_until(X509_get0_notAfter(cert));

    time_text(X509_get0_notAfter(cert), until, sizeof until);
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        cert_find(findings, CERT_WRONG, "%s is not valid yet", which);
    if (days < 0)
        cert_find(findings, CERT_WRONG, "%s has expired: %s", which, until);
    else if (days < soon_days)
        cert_find(findings, CERT_SOON, "%s expires in %d day%s: %s", which, days,
                  days == 1 ? "" : "s", until);
}

void inspect_chain(STACK_OF(X509) * chain, int soon_days, struct cert_findings *findings)
{
    char subject[256];
    char line[300];

    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *cert = sk_X509_value(chain, i);
        X509 *before = i == 0 ? NULL : sk_X509_value(chain, i - 1);

        name_text(X509_get_subject_name(cert), subject, sizeof subject);
        snprintf(line, sizeof line, "issuer \"%s\"", subject);
        inspect_dates(cert, i == 0 ? "the certificate" : line, soon_days, findings);
        if (before != NULL && X509_check_issued(cert, before) != X509_V_OK)
            cert_find(findings, CERT_WRONG,
                      "the chain is out of order: \"%s\" did not issue the one before it", subject);
    }
    ERR_clear_error();
}

void inspect_name(X509 *leaf, struct slice name, struct cert_findings *findings)
{
    char host[256];
    const char *before = slice_starts(name, slice_of("."))    ? "x"
                         : slice_starts(name, slice_of("*.")) ? "x"
                                                              : "";
    struct slice rest = slice_starts(name, slice_of("*")) ? slice_skip(name, 1) : name;

    snprintf(host, sizeof host, "%s%.*s", before, SLICE_ARG(rest));
    if (X509_check_host(leaf, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) != 1 &&
        X509_check_ip_asc(leaf, host, 0) != 1)
        cert_find(findings, CERT_WRONG, "it is not for \"%.*s\"", SLICE_ARG(name));
    ERR_clear_error();
}

void inspect_trust(STACK_OF(X509) * chain, enum cert_level level, struct cert_findings *findings)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int error = X509_V_ERR_OUT_OF_MEM;

    if (store != NULL && context != NULL && X509_STORE_set_default_paths(store) == 1 &&
        X509_STORE_CTX_init(context, store, sk_X509_value(chain, 0), chain) == 1 &&
        X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER) == 1)
        error = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    if (error != X509_V_OK && error != X509_V_ERR_CERT_HAS_EXPIRED) /* told by inspect_chain() */
        cert_find(findings, level, "this system does not trust it: %s",
                  X509_verify_cert_error_string(error));
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    ERR_clear_error();
}
