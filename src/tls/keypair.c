/* A certificate with its chain and private key. Runs in: any thread. */
#include "tls/keypair.h"

#include "tls/settings.h"

#include <assert.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHAIN_MAX = 32 };

char *tls_error_text(char *out, size_t out_bytes)
{
    unsigned long code = ERR_get_error();
    char reason[256];

    if (code == 0) {
        snprintf(out, out_bytes, "SSL: no further reason");
        return out;
    }
    ERR_error_string_n(code, reason, sizeof reason);
    snprintf(out, out_bytes, "SSL: %s", reason);
    ERR_clear_error();
    return out;
}

static BIO *reader(struct slice text)
{
    if (text.data == NULL || text.len == 0 || text.len > INT_MAX)
        return NULL;
    return BIO_new_mem_buf(text.data, (int)text.len);
}

/* Without a callback the library would ask on a terminal. */
static int no_password(char *out, int bytes, int writing, void *data)
{
    (void)out;
    (void)bytes;
    (void)writing;
    (void)data;
    return -1;
}

static bool at_end_of_pem(void)
{
    unsigned long error = ERR_peek_last_error();
    bool end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;

    if (end)
        ERR_clear_error();
    return end;
}

STACK_OF(X509) * pem_certificates(struct slice text)
{
    BIO *bio = reader(text);
    STACK_OF(X509) *list = sk_X509_new_null();
    STACK_OF(X509) *result = NULL;
    X509 *one = NULL;

    if (bio == NULL || list == NULL)
        goto out;
    while ((one = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL)) != NULL) {
        if (sk_X509_push(list, one) == 0)
            goto out;
        one = NULL;
    }
    if (!at_end_of_pem() || sk_X509_num(list) == 0)
        goto out;
    result = list;
    list = NULL;
out:
    X509_free(one);
    sk_X509_pop_free(list, X509_free);
    BIO_free(bio);
    return result;
}

static int give_password(char *out, int bytes, int writing, void *data)
{
    const struct tls_item *password = data;

    (void)writing;
    if (password == NULL || bytes <= 0)
        return -1;
    size_t len = password->value.len < (size_t)bytes ? password->value.len : (size_t)bytes;

    memcpy(out, password->value.data, len);
    return (int)len;
}

static EVP_PKEY *read_key(struct slice text, const struct tls_item *passwords)
{
    const struct tls_item *password = passwords;
    EVP_PKEY *key = NULL;

    do {
        BIO *bio = reader(text);

        if (bio == NULL)
            return NULL;
        ERR_clear_error();
        key = PEM_read_bio_PrivateKey(bio, NULL, give_password, (void *)(uintptr_t)password);
        BIO_free(bio);
        password = password == NULL ? NULL : password->next;
    } while (key == NULL && password != NULL);
    return key;
}

static bool fill(struct keypair *pair, struct slice certificate, struct slice key,
                 const struct tls_item *passwords, const char **what)
{
    *what = "cannot load certificate";
    pair->chain = pem_certificates(certificate);
    if (pair->chain == NULL || sk_X509_num(pair->chain) > CHAIN_MAX)
        return false;
    pair->leaf = sk_X509_shift(pair->chain);
    *what = "cannot load certificate key";
    pair->key = read_key(key, passwords);
    if (pair->key == NULL)
        return false;
    *what = "the key is not that of the certificate";
    return X509_check_private_key(pair->leaf, pair->key) == 1;
}

struct keypair *keypair_parse(struct slice certificate, struct slice key,
                              const struct tls_item *passwords, char *why, size_t why_bytes)
{
    struct keypair *result = NULL;
    struct keypair *pair = calloc(1, sizeof *pair);
    const char *what = "no memory for the certificate";
    char text[256];

    ERR_clear_error();
    if (pair == NULL)
        goto out;
    atomic_init(&pair->refs, 1);
    if (!fill(pair, certificate, key, passwords, &what))
        goto out;
    result = pair;
    pair = NULL;
out:
    if (result == NULL)
        snprintf(why, why_bytes, "%s (%s)", what, tls_error_text(text, sizeof text));
    ERR_clear_error();
    keypair_unref(pair);
    return result;
}

struct keypair *keypair_ref(struct keypair *pair)
{
    unsigned before = atomic_fetch_add_explicit(&pair->refs, 1, memory_order_relaxed);

    assert(before > 0);
    return pair;
}

void keypair_unref(struct keypair *pair)
{
    if (pair == NULL)
        return;
    unsigned before = atomic_fetch_sub_explicit(&pair->refs, 1, memory_order_acq_rel);

    assert(before > 0);
    if (before > 1)
        return;
    X509_free(pair->leaf);
    sk_X509_pop_free(pair->chain, X509_free);
    EVP_PKEY_free(pair->key);
    free(pair);
}
