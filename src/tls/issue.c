/* Makes keys and certificates. Runs in: the process the user started. */
#include "tls/issue.h"

#include "base/list.h"
#include "tls/keypair.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 253, SAN_BYTES_MAX = 8192, SERIAL_BITS = 120, CLOCK_SLACK_S = 3600 };

/* ---- names */

static bool is_address(const char *name)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static bool is_label(const char *label, size_t len)
{
    if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_')
            return false;
    return true;
}

bool issue_name_is_good(const char *name)
{
    struct slice rest = slice_of(name);
    struct slice label;

    if (is_address(name))
        return true;
    if (rest.len == 0 || rest.len > NAME_BYTES_MAX)
        return false;
    if (slice_starts(rest, slice_of("*.")))
        rest = slice_skip(rest, 2);
    while (slice_split(&rest, '.', &label))
        if (!is_label(label.data, label.len))
            return false;
    return true;
}

/* What nobody else can own: RFC 6761, 8375, 6762, and .internal. */
static const char *const local_zones[] = {"localhost", "test", "local", "internal", "home.arpa"};

static const struct {
    const char *constraint; /* address and mask */
    int family;
    unsigned char bytes[2];
    unsigned char mask[2];
} local_nets[] = {
    {"127.0.0.0/255.0.0.0", AF_INET, {127, 0}, {255, 0}},
    {"10.0.0.0/255.0.0.0", AF_INET, {10, 0}, {255, 0}},
    {"172.16.0.0/255.240.0.0", AF_INET, {172, 16}, {255, 240}},
    {"192.168.0.0/255.255.0.0", AF_INET, {192, 168}, {255, 255}},
    {"fc00::/fe00::", AF_INET6, {0xfc, 0}, {0xfe, 0}},
    {"::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", AF_INET6, {0, 0}, {0, 0}},
};

static bool is_local_address(int family, const unsigned char *bytes)
{
    static const unsigned char loopback[16] = {[15] = 1};

    if (family == AF_INET6 && memcmp(bytes, loopback, sizeof loopback) == 0)
        return true;
    for (size_t i = 0; i < COUNT(local_nets); i++)
        if (local_nets[i].family == family && local_nets[i].mask[0] != 0 &&
            (bytes[0] & local_nets[i].mask[0]) == local_nets[i].bytes[0] &&
            (bytes[1] & local_nets[i].mask[1]) == local_nets[i].bytes[1])
            return true;
    return false;
}

bool issue_name_is_local(const char *name)
{
    unsigned char bytes[16];
    struct slice host = slice_of(name);

    if (inet_pton(AF_INET, name, bytes) == 1)
        return is_local_address(AF_INET, bytes);
    if (inet_pton(AF_INET6, name, bytes) == 1)
        return is_local_address(AF_INET6, bytes);
    for (size_t i = 0; i < COUNT(local_zones); i++) {
        struct slice zone = slice_of(local_zones[i]);
        size_t above = host.len - zone.len;

        if (host.len >= zone.len && slice_eq_nocase(slice_skip(host, above), zone) &&
            (above == 0 || host.data[above - 1] == '.'))
            return true;
    }
    return false;
}

/* ---- parts of a certificate */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;

    X509_EXTENSION_free(extension);
    return ok;
}

static bool set_serial(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool ok = number != NULL &&
              BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;

    BN_free(number);
    return ok;
}

static X509 *begin(EVP_PKEY *key, const char *common_name, int days)
{
    X509 *cert = X509_new();
    X509_NAME *subject = cert == NULL ? NULL : X509_get_subject_name(cert);

    if (cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        X509_gmtime_adj(X509_getm_notBefore(cert), -CLOCK_SLACK_S) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * 86400) != NULL &&
        X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)"Pelayan",
                                   -1, -1, 0) == 1 &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
                                   -1, -1, 0) == 1 &&
        X509_set_pubkey(cert, key) == 1)
        return cert;
    X509_free(cert);
    return NULL;
}

/* "DNS:a,IP:127.0.0.1" */
static bool list_names(const struct issue_wish *wish, char *out, size_t out_bytes)
{
    size_t used = 0;

    for (size_t i = 0; i < wish->name_count; i++) {
        const char *name = wish->names[i];
        int len = snprintf(out + used, out_bytes - used, "%s%s:%s", i == 0 ? "" : ",",
                           is_address(name) ? "IP" : "DNS", name);

        if (len < 0 || (size_t)len >= out_bytes - used)
            return false;
        used += (size_t)len;
    }
    return used > 0;
}

static bool limit_to_local(X509 *cert)
{
    char text[1024] = "critical";
    size_t used = strlen(text);

    for (size_t i = 0; i < COUNT(local_zones); i++)
        used += (size_t)snprintf(text + used, sizeof text - used, ",permitted;DNS:%s",
                                 local_zones[i]);
    for (size_t i = 0; i < COUNT(local_nets); i++)
        used += (size_t)snprintf(text + used, sizeof text - used, ",permitted;IP:%s",
                                 local_nets[i].constraint);
    return add_extension(cert, cert, NID_name_constraints, text);
}

/* ---- whole ones */

/* What a memory BIO holds has no end of its own. */
static char *text_of(BIO *bio)
{
    char *data = NULL;
    long len = bio == NULL ? 0 : BIO_get_mem_data(bio, &data);
    char *text = len <= 0 ? NULL : malloc((size_t)len + 1);

    if (text == NULL)
        return NULL;
    memcpy(text, data, (size_t)len);
    text[len] = '\0';
    return text;
}

static bool write_out(X509 *cert, EVP_PKEY *key, struct issued *issued)
{
    BIO *certificate_out = BIO_new(BIO_s_mem());
    BIO *key_out = BIO_new(BIO_s_secmem());

    if (certificate_out != NULL && PEM_write_bio_X509(certificate_out, cert) == 1)
        issued->certificate = text_of(certificate_out);
    if (key_out != NULL &&
        PEM_write_bio_PKCS8PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1)
        issued->key = text_of(key_out);
    BIO_free(certificate_out);
    BIO_free(key_out);
    return issued->certificate != NULL && issued->key != NULL;
}

static bool sign_leaf(const struct issue_wish *wish, X509 *cert, EVP_PKEY *key)
{
    X509 *issuer = wish->issuer == NULL ? cert : wish->issuer->leaf;
    char names[SAN_BYTES_MAX];

    return list_names(wish, names, sizeof names) &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
           add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, issuer, NID_key_usage,
                         wish->rsa ? "critical,digitalSignature,keyEncipherment"
                                   : "critical,digitalSignature") &&
           add_extension(cert, issuer, NID_ext_key_usage, "serverAuth") &&
           add_extension(cert, issuer, NID_subject_alt_name, names) &&
           add_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(cert, issuer, NID_authority_key_identifier, "keyid") &&
           X509_sign(cert, wish->issuer == NULL ? key : wish->issuer->key, EVP_sha256()) > 0;
}

bool issue_leaf(const struct issue_wish *wish, struct issued *issued)
{
    EVP_PKEY *key = wish->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *cert = key == NULL ? NULL : begin(key, wish->names[0], wish->days);

    *issued = (struct issued){0};
    bool ok = cert != NULL && sign_leaf(wish, cert, key) && write_out(cert, key, issued);

    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}

bool issue_authority(const char *common_name, int days, struct issued *issued)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key == NULL ? NULL : begin(key, common_name, days);

    *issued = (struct issued){0};
    bool ok = cert != NULL && X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
              add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
              limit_to_local(cert) && X509_sign(cert, key, EVP_sha256()) > 0 &&
              write_out(cert, key, issued);

    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}

void issued_fini(struct issued *issued)
{
    free(issued->certificate);
    if (issued->key != NULL)
        OPENSSL_cleanse(issued->key, strlen(issued->key));
    free(issued->key);
    *issued = (struct issued){0};
}
