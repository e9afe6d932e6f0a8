/* TLS to backends. Runs in: made by who loads; connections: worker, loop thread. */
#include "tls/client.h"

#include "base/arena.h"
#include "base/diag.h"
#include "tls/conn_internal.h"
#include "tls/keypair.h"
#include "tls/server_internal.h"
#include "tls/session_cache.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SESSION_CACHE_BYTES = 8 << 20, SESSION_BYTES_MAX = 8192 };

struct tls_client {
    SSL_CTX *context; /* owned */
    bool verify;
    struct session_cache *sessions; /* the process's */
};

static void client_drop(void *data)
{
    SSL_CTX_free(((struct tls_client *)data)->context);
}

/* A session is offered to the same peer by the same name only: its key says so. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_conn *conn = tls_conn_of(ssl);
    unsigned char bytes[SESSION_BYTES_MAX];
    unsigned char *end = bytes;
    int len = i2d_SSL_SESSION(session, NULL);

    if (conn->session_key == NULL || len <= 0 || (size_t)len > sizeof bytes ||
        !SSL_SESSION_is_resumable(session))
        return 0;
    i2d_SSL_SESSION(session, &end);
    session_cache_put(conn->sessions, slice_of(conn->session_key),
                      slice_make((char *)bytes, (size_t)len));
    OPENSSL_cleanse(bytes, (size_t)len);
    return 0;
}

static void offer_session(struct tls_conn *conn)
{
    unsigned char bytes[SESSION_BYTES_MAX];
    const unsigned char *at = bytes;
    size_t len = sizeof bytes;

    if (!session_cache_find(conn->sessions, slice_of(conn->session_key), bytes, &len))
        return;
    SSL_SESSION *session = d2i_SSL_SESSION(NULL, &at, (long)len);

    if (session != NULL)
        SSL_set_session(conn->ssl, session);
    SSL_SESSION_free(session);
    OPENSSL_cleanse(bytes, len);
    ERR_clear_error();
}

/* ---- load */

static bool use_certificate(SSL_CTX *context, const struct tls_settings *s, char *why, size_t bytes)
{
    const struct tls_item *certificate = s->certificates;

    if (certificate == NULL)
        return true;
    if (s->keys == NULL || certificate->source.bytes.data == NULL ||
        s->keys->source.bytes.data == NULL) {
        snprintf(why, bytes, "certificate or key cannot be read");
        return false;
    }
    struct keypair *pair = keypair_parse(certificate->source.bytes, s->keys->source.bytes,
                                         s->passwords, why, bytes);
    bool ok = pair != NULL &&
              SSL_CTX_use_cert_and_key(context, pair->leaf, pair->key, pair->chain, 1) == 1;

    keypair_unref(pair);
    return ok;
}

static bool set_up(struct tls_client *client, const struct tls_settings *s, char *why, size_t bytes)
{
    SSL_CTX *context = client->context;

    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
    SSL_CTX_set_verify_depth(context, s->verify_depth);
    return tls_context_offer(context, s, why, bytes) && use_certificate(context, s, why, bytes);
}

struct tls_client *tls_client_new(struct arena *arena, const struct tls_settings *settings,
                                  bool verify, struct diag *diag)
{
    struct tls_client *client = arena_zalloc(arena, sizeof *client);
    struct diag_place place = {.file = settings->file, .line = settings->line};
    char why[400] = "no memory";

    ERR_clear_error();
    if (client != NULL) {
        client->verify = verify;
        client->sessions = session_cache_get(slice_of("to backends"), SESSION_CACHE_BYTES);
        client->context = SSL_CTX_new(TLS_client_method());
    }
    if (client == NULL || client->sessions == NULL || client->context == NULL ||
        !arena_on_drop(arena, client_drop, client)) {
        if (client != NULL)
            SSL_CTX_free(client->context);
    } else if (!set_up(client, settings, why, sizeof why)) {
        ERR_clear_error();
    } else if (!verify || settings->trusted_ca.bytes.data != NULL) {
        return client;
    } else {
        snprintf(why, sizeof why, "..._ssl_verify needs ..._ssl_trusted_certificate");
    }
    diag_add(diag, DIAG_ERROR, place.file == NULL ? NULL : &place, "TLS to backends: %s", why);
    return NULL;
}

/* ---- connections */

static bool expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
        return true;
    ERR_clear_error();
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1;
}

static bool offer_protocols(SSL *ssl, struct slice alpn)
{
    return alpn.len == 0 ||
           SSL_set_alpn_protos(ssl, (const unsigned char *)alpn.data, (unsigned)alpn.len) == 0;
}

static bool is_address(const char *name)
{
    ASN1_OCTET_STRING *bytes = a2i_IPADDRESS(name);

    ASN1_OCTET_STRING_free(bytes);
    ERR_clear_error();
    return bytes != NULL;
}

struct tls_conn *tls_connect(const struct tls_connect *connect)
{
    struct tls_conn *conn = tls_conn_new(connect->client->context, connect->loop, connect->io);
    struct slice key = connect->session_key;

    if (conn == NULL)
        return NULL;
    SSL_set_connect_state(conn->ssl);
    conn->wire.drained = false;
    conn->record_bytes = 16384;
    conn->sessions = connect->client->sessions;
    conn->session_key = key.len == 0 ? NULL : slice_strdup(key);
    bool ok = (!connect->client->verify || expect_name(conn->ssl, connect->name)) &&
              offer_protocols(conn->ssl, connect->alpn) &&
              (!connect->send_name || connect->name[0] == '\0' || is_address(connect->name) ||
               SSL_set_tlsext_host_name(conn->ssl, connect->name) == 1);

    if (!ok) {
        tls_conn_free(conn);
        return NULL;
    }
    if (conn->session_key != NULL)
        offer_session(conn);
    return conn;
}
