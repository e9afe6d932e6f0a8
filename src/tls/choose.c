/* What is decided when a client's first message has come: server, certificate, protocol.
 * Runs in: worker, loop thread, inside tls_handshake(). */
#include "tls/conn_internal.h"
#include "tls/dynamic_internal.h"
#include "tls/hello.h"
#include "tls/keypair.h"
#include "tls/server_internal.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

static struct slice asked_name(SSL *ssl, char *out)
{
    const unsigned char *data = NULL;
    size_t len = 0;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &len) != 1)
        return slice_make("", 0);
    return parse_server_name(slice_make((const char *)data, len), out);
}

static bool use_pair(struct tls_conn *conn, struct keypair *pair)
{
    conn->costly = conn->costly || (conn->keys != NULL && tls_key_is_costly(pair->key));
    return SSL_use_cert_and_key(conn->ssl, pair->leaf, pair->key, pair->chain, 1) == 1;
}

static bool use_files(struct tls_conn *conn, const struct tls_server *server)
{
    char why[300];

    for (size_t i = 0; i < server->pair_count; i++) {
        struct keypair *pair = tls_pair_load(server->store, server->pairs[i], why, sizeof why);

        if (pair == NULL) {
            char line[400];

            snprintf(line, sizeof line, "\"%.*s\": %s",
                     SLICE_ARG(server->pairs[i]->certificate.name), why);
            conn->why = strdup(line);
            return false;
        }
        if (!use_pair(conn, pair))
            return false;
    }
    return true;
}

/* The certificates whose names depend on the connection. */
static bool use_templates(struct tls_conn *conn, const struct tls_server *server)
{
    const struct tls_item *key = server->settings->keys;

    for (const struct tls_item *it = server->settings->certificates; it != NULL; it = it->next) {
        bool dynamic = it->source.template != NULL || key->source.template != NULL;
        struct keypair *pair = dynamic ? dynamic_pair(conn, server->settings, it, key) : NULL;

        if (dynamic && pair == NULL)
            return false;
        bool used = !dynamic || use_pair(conn, pair);

        keypair_unref(pair);
        if (!used)
            return false;
        key = key->next;
    }
    return true;
}

static int refuse(struct tls_conn *conn, int *alert, int which, const char *why)
{
    *alert = which;
    if (conn->why == NULL)
        conn->why = strdup(why);
    return SSL_CLIENT_HELLO_ERROR;
}

static int refuse_broken(struct tls_conn *conn, int *alert, const struct tls_server *server)
{
    char line[200];

    snprintf(line, sizeof line, "the certificate of server \"%.*s\" is missing or broken",
             SLICE_ARG(slice_head(server->label, 100)));
    return refuse(conn, alert, SSL_AD_INTERNAL_ERROR, line);
}

static int on_hello(SSL *ssl, int *alert, void *data)
{
    struct tls_conn *conn = tls_conn_of(ssl);
    char name[TLS_NAME_BYTES_MAX + 1];
    struct slice asked = asked_name(ssl, name);
    const struct tls_server *server = conn->choice->server(conn->owner, asked);

    (void)data;
    if (server == NULL || server->settings->reject_handshake) {
        conn->failure = TLS_FAILURE_NAME;
        return refuse(conn, alert, SSL_AD_UNRECOGNIZED_NAME, "handshake rejected");
    }
    conn->fault_is_ours = true;
    if (server->broken)
        return refuse_broken(conn, alert, server);
    memcpy(conn->session_context, server->session_context, sizeof conn->session_context);
    conn->record_bytes = server->settings->record_bytes > 16384
                             ? 16384
                             : (uint32_t)server->settings->record_bytes;
    conn->alpn = conn->choice->alpn(conn->owner);
    conn->asked = asked;
    bool ready = tls_context_apply(ssl, server) && use_files(conn, server) &&
                 (!server->has_templates || use_templates(conn, server));

    conn->asked = slice_make(NULL, 0);
    if (!ready) {
        tls_set_why(conn, "cannot use the certificate");
        return refuse(conn, alert, SSL_AD_INTERNAL_ERROR, "");
    }
    conn->fault_is_ours = false;
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
                   const unsigned char *in, unsigned in_bytes, void *data)
{
    struct tls_conn *conn = tls_conn_of(ssl);
    struct slice ours = conn->alpn; /* the owner may have gone, if this is a thread */
    unsigned char *chosen = NULL;

    (void)data;
    if (ours.len == 0)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, out_bytes, (const unsigned char *)ours.data,
                              (unsigned)ours.len, in, in_bytes) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Naming a host is answered, or clients that look for it believe it was ignored. */
static int on_name(SSL *ssl, int *alert, void *data)
{
    (void)alert;
    (void)data;
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) == NULL ? SSL_TLSEXT_ERR_NOACK
                                                                      : SSL_TLSEXT_ERR_OK;
}

void tls_choose_on(SSL_CTX *context)
{
    SSL_CTX_set_client_hello_cb(context, on_hello, NULL);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, on_name);
    tls_away_on(context);
}
