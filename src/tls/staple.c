/* OCSP stapling. Runs in: callbacks: loop threads; fetching: a thread of its own. */
#include "tls/staple.h"

#include "tls/keypair.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/http.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    FETCH_TIMEOUT_S = 15,
    RESPONSE_BYTES_MAX = 65536,
    REFRESH_S = 3600,    /* an answer is asked for again after this time */
    RETRY_S = 300,       /* after a failure */
    FETCHES_MAX = 4,     /* at a time, in the process */
    CLOCK_SLACK_S = 300, /* between the issuer's clock and ours */
};

struct staple {
    pthread_mutex_t lock;
    X509 *issuer;          /* owned */
    X509_STORE *trusted;   /* owned; NULL: signatures are not checked */
    char *url;             /* owned; NULL: a file's answer, never asked for again */
    unsigned char *answer; /* owned: DER, or NULL */
    size_t answer_bytes;
    time_t expires; /* of the answer */
    time_t next_try;
    bool fetching;
};

static int staple_index;
static pthread_once_t staple_once = PTHREAD_ONCE_INIT;
static atomic_int fetches;

static void staple_free(struct staple *staple)
{
    if (staple == NULL)
        return;
    X509_free(staple->issuer);
    X509_STORE_free(staple->trusted);
    free(staple->url);
    free(staple->answer);
    pthread_mutex_destroy(&staple->lock);
    free(staple);
}

static void on_certificate_free(void *certificate, void *staple, CRYPTO_EX_DATA *all, int index,
                                long number, void *data)
{
    (void)certificate;
    (void)all;
    (void)index;
    (void)number;
    (void)data;
    staple_free(staple);
}

static void make_index(void)
{
    staple_index = X509_get_ex_new_index(0, NULL, NULL, NULL, on_certificate_free);
}

/* ---- asking */

static OCSP_CERTID *id_of(struct staple *staple, X509 *leaf)
{
    return OCSP_cert_to_id(NULL, leaf, staple->issuer);
}

static BIO *make_request(struct staple *staple, X509 *leaf)
{
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *id = id_of(staple, leaf);
    BIO *bio = BIO_new(BIO_s_mem());

    if (request == NULL || id == NULL || bio == NULL || OCSP_request_add0_id(request, id) == NULL) {
        OCSP_CERTID_free(id);
        BIO_free(bio);
        bio = NULL;
    } else if (i2d_OCSP_REQUEST_bio(bio, request) != 1) {
        BIO_free(bio);
        bio = NULL;
    }
    OCSP_REQUEST_free(request);
    return bio;
}

static OCSP_RESPONSE *ask(struct staple *staple, X509 *leaf)
{
    char *host = NULL;
    char *port = NULL;
    char *path = NULL;
    int secure = 0;
    BIO *request = make_request(staple, leaf);
    BIO *answer = NULL;
    OCSP_RESPONSE *response = NULL;

    if (request != NULL &&
        OSSL_HTTP_parse_url(staple->url, &secure, NULL, &host, &port, NULL, &path, NULL, NULL) ==
            1 &&
        !secure)
        answer = OSSL_HTTP_transfer(NULL, host, port, path, 0, NULL, NULL, NULL, NULL, NULL, NULL,
                                    0, NULL, "application/ocsp-request", request,
                                    "application/ocsp-response", 1, RESPONSE_BYTES_MAX,
                                    FETCH_TIMEOUT_S, 0);
    if (answer != NULL)
        response = d2i_OCSP_RESPONSE_bio(answer, NULL);
    BIO_free(answer);
    BIO_free(request);
    OPENSSL_free(host);
    OPENSSL_free(port);
    OPENSSL_free(path);
    return response;
}

/* ---- judging */

static bool is_good(struct staple *staple, X509 *leaf, OCSP_BASICRESP *basic, time_t *expires)
{
    OCSP_CERTID *id = id_of(staple, leaf);
    STACK_OF(X509) *helpers = sk_X509_new_null();
    ASN1_GENERALIZEDTIME *updated = NULL;
    ASN1_GENERALIZEDTIME *next = NULL;
    int status = -1;
    int days = 0;
    int seconds = REFRESH_S;
    bool good = id != NULL && helpers != NULL && sk_X509_push(helpers, staple->issuer) > 0;

    good = good && OCSP_basic_verify(basic, helpers, staple->trusted,
                                     staple->trusted == NULL ? OCSP_NOVERIFY : OCSP_TRUSTOTHER) > 0;
    good = good && OCSP_resp_find_status(basic, id, &status, NULL, NULL, &updated, &next) == 1 &&
           status == V_OCSP_CERTSTATUS_GOOD &&
           OCSP_check_validity(updated, next, CLOCK_SLACK_S, -1) == 1;
    if (good && next != NULL && ASN1_TIME_diff(&days, &seconds, NULL, next) == 1)
        seconds = days > 30 ? INT_MAX / 2 : days * 86400 + seconds;
    *expires = time(NULL) + seconds;
    sk_X509_free(helpers);
    OCSP_CERTID_free(id);
    return good;
}

/* Keeps the answer if it says that all is well. */
static bool take(struct staple *staple, X509 *leaf, OCSP_RESPONSE *response)
{
    OCSP_BASICRESP *basic = OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL
                                ? OCSP_response_get1_basic(response)
                                : NULL;
    unsigned char *der = NULL;
    time_t expires = 0;
    int len = 0;

    if (basic != NULL && is_good(staple, leaf, basic, &expires))
        len = i2d_OCSP_RESPONSE(response, &der);
    OCSP_BASICRESP_free(basic);
    unsigned char *copy = len > 0 ? malloc((size_t)len) : NULL;

    if (copy != NULL) {
        memcpy(copy, der, (size_t)len);
        pthread_mutex_lock(&staple->lock);
        free(staple->answer);
        staple->answer = copy;
        staple->answer_bytes = (size_t)len;
        staple->expires = expires;
        pthread_mutex_unlock(&staple->lock);
    }
    OPENSSL_free(der);
    return copy != NULL;
}

static void *fetch(void *data)
{
    X509 *leaf = data;
    struct staple *staple = X509_get_ex_data(leaf, staple_index);
    OCSP_RESPONSE *response = ask(staple, leaf);
    bool good = response != NULL && take(staple, leaf, response);

    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    pthread_mutex_lock(&staple->lock);
    staple->fetching = false;
    staple->next_try = time(NULL) + (good ? REFRESH_S : RETRY_S);
    pthread_mutex_unlock(&staple->lock);
    X509_free(leaf); /* perhaps the last one: the staple goes with it */
    atomic_fetch_sub(&fetches, 1);
    return NULL;
}

/* With the lock held. */
static void begin_fetch(struct staple *staple, X509 *leaf, time_t now)
{
    pthread_attr_t detached;
    pthread_t thread;

    if (staple->fetching || staple->url == NULL || now < staple->next_try)
        return;
    if (atomic_fetch_add(&fetches, 1) < FETCHES_MAX && X509_up_ref(leaf) == 1) {
        pthread_attr_init(&detached);
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        staple->fetching = pthread_create(&thread, &detached, fetch, leaf) == 0;
        pthread_attr_destroy(&detached);
        if (staple->fetching)
            return;
        X509_free(leaf);
    }
    atomic_fetch_sub(&fetches, 1);
}

/* ---- made with its certificate */

static X509 *find_issuer(X509 *leaf, STACK_OF(X509) * list)
{
    for (int i = 0; i < sk_X509_num(list); i++) {
        X509 *one = sk_X509_value(list, i);

        if (X509_check_issued(one, leaf) == X509_V_OK && X509_up_ref(one) == 1)
            return one;
    }
    return NULL;
}

static X509_STORE *make_store(STACK_OF(X509) * trusted)
{
    X509_STORE *store = X509_STORE_new();

    for (int i = 0; store != NULL && i < sk_X509_num(trusted); i++)
        X509_STORE_add_cert(store, sk_X509_value(trusted, i));
    return store;
}

static char *find_url(X509 *leaf, struct slice given)
{
    if (given.len > 0)
        return slice_strdup(given);
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(leaf);
    char *url = sk_OPENSSL_STRING_num(urls) > 0 ? strdup(sk_OPENSSL_STRING_value(urls, 0)) : NULL;

    X509_email_free(urls);
    return url;
}

static bool take_file(struct staple *staple, X509 *leaf, struct slice file)
{
    const unsigned char *at = (const unsigned char *)file.data;
    OCSP_RESPONSE *response = file.len > RESPONSE_BYTES_MAX
                                  ? NULL
                                  : d2i_OCSP_RESPONSE(NULL, &at, (long)file.len);
    bool taken = response != NULL && take(staple, leaf, response);

    OCSP_RESPONSE_free(response);
    return taken;
}

static bool fill(struct staple *staple, X509 *leaf, STACK_OF(X509) * chain,
                 const struct staple_settings *settings, const char **why)
{
    STACK_OF(X509) *trusted = settings->trusted.len == 0 ? NULL
                                                         : pem_certificates(settings->trusted);

    staple->issuer = find_issuer(leaf, chain);
    if (staple->issuer == NULL)
        staple->issuer = find_issuer(leaf, trusted);
    if (settings->verify)
        staple->trusted = make_store(trusted);
    sk_X509_pop_free(trusted, X509_free);
    *why = "the issuer's certificate is neither in the chain nor in ssl_trusted_certificate";
    if (staple->issuer == NULL || (settings->verify && staple->trusted == NULL))
        return false;
    if (settings->file.len > 0) {
        *why = "the file of \"ssl_stapling_file\" does not say that the certificate is good";
        return take_file(staple, leaf, settings->file);
    }
    staple->url = find_url(leaf, settings->responder);
    *why = "no OCSP responder URL in the certificate";
    if (staple->url == NULL)
        return false;
    *why = "only http:// is spoken to OCSP responders";
    return strncmp(staple->url, "http://", strlen("http://")) == 0;
}

bool staple_attach(X509 *leaf, STACK_OF(X509) * chain, const struct staple_settings *settings,
                   const char **why)
{
    struct staple *staple = calloc(1, sizeof *staple);

    pthread_once(&staple_once, make_index);
    *why = "no memory";
    if (staple == NULL)
        return false;
    pthread_mutex_init(&staple->lock, NULL);
    bool ok = fill(staple, leaf, chain, settings, why) &&
              X509_set_ex_data(leaf, staple_index, staple) == 1;

    ERR_clear_error();
    if (!ok)
        staple_free(staple);
    return ok;
}

/* ---- callbacks */

static int on_status(SSL *ssl, void *data)
{
    X509 *leaf = SSL_get_certificate(ssl);
    struct staple *staple = leaf == NULL ? NULL : X509_get_ex_data(leaf, staple_index);
    time_t now = time(NULL);
    unsigned char *copy = NULL;

    (void)data;
    if (staple == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    pthread_mutex_lock(&staple->lock);
    begin_fetch(staple, leaf, now);
    if (staple->answer != NULL && now < staple->expires)
        copy = OPENSSL_memdup(staple->answer, staple->answer_bytes);
    long len = (long)staple->answer_bytes;

    pthread_mutex_unlock(&staple->lock);
    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, len); /* takes it over */
    return SSL_TLSEXT_ERR_OK;
}

void staple_on(SSL_CTX *context)
{
    pthread_once(&staple_once, make_index);
    SSL_CTX_set_tlsext_status_cb(context, on_status);
}
