/* Contexts of the library: one for all servers with the same settings but for certificates.
 * Runs in: load: any; apply: loop threads. */
#include "base/arena.h"
#include "tls/conn_internal.h"
#include "tls/server_internal.h"
#include "tls/session_cache.h"
#include "tls/ticket.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

/* What two servers must have in common to share a context, as text. */
static struct slice key_of(struct tls_store *store, const struct tls_settings *s)
{
    struct arena *arena = store->arena;
    struct slice key = arena_printf(
        arena, "%x %d %d %d %d %d %d %llu %zu %.*s\n%.*s\n%.*s\n%.*s|%.*s|%.*s|%.*s", s->protocols,
        s->prefer_server_ciphers, s->tickets, s->early_data, s->verify, s->verify_depth, s->cache,
        (unsigned long long)s->session_timeout_s, s->cache_bytes, SLICE_ARG(s->cache_name),
        SLICE_ARG(s->ciphers), SLICE_ARG(s->curves), SLICE_ARG(s->client_ca.name),
        SLICE_ARG(s->trusted_ca.name), SLICE_ARG(s->crl.name), SLICE_ARG(s->dhparam.name));

    for (const struct tls_item *it = s->commands; it != NULL && key.data != NULL; it = it->next)
        key = arena_printf(arena, "%.*s\n%.*s=%.*s", SLICE_ARG(key), SLICE_ARG(it->name),
                           SLICE_ARG(it->value));
    for (const struct tls_item *it = s->ticket_keys; it != NULL && key.data != NULL; it = it->next)
        key = arena_printf(arena, "%.*s\nt%.*s", SLICE_ARG(key), SLICE_ARG(it->source.name));
    return key;
}

static uint64_t protocol_options(unsigned protocols)
{
    static const struct {
        unsigned bit;
        uint64_t off;
    } rows[] = {
        {TLS_V1, SSL_OP_NO_TLSv1},
        {TLS_V1_1, SSL_OP_NO_TLSv1_1},
        {TLS_V1_2, SSL_OP_NO_TLSv1_2},
        {TLS_V1_3, SSL_OP_NO_TLSv1_3},
    };
    uint64_t options = SSL_OP_NO_SSLv3; /* which this library has not any more */

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if ((protocols & rows[i].bit) == 0)
            options |= rows[i].off;
    return options;
}

static const uint64_t server_options_mask = SSL_OP_NO_SSL_MASK | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                            SSL_OP_NO_TICKET;

static uint64_t server_options(const struct tls_settings *settings)
{
    return protocol_options(settings->protocols) |
           (settings->prefer_server_ciphers ? SSL_OP_CIPHER_SERVER_PREFERENCE : 0) |
           (settings->tickets ? 0 : SSL_OP_NO_TICKET);
}

/* ---- whom to trust */

static bool add_trusted(X509_STORE *trust, struct slice text)
{
    STACK_OF(X509) *list = pem_certificates(text);

    for (int i = 0; i < sk_X509_num(list); i++) {
        if (X509_STORE_add_cert(trust, sk_X509_value(list, i)) != 1) {
            sk_X509_pop_free(list, X509_free);
            return false;
        }
    }
    bool any = list != NULL;

    sk_X509_pop_free(list, X509_free);
    return any;
}

/* The names a client sees when it is asked for a certificate. */
static bool set_ca_names(SSL_CTX *context, struct slice text)
{
    STACK_OF(X509) *list = pem_certificates(text);
    bool ok = list != NULL;

    for (int i = 0; ok && i < sk_X509_num(list); i++)
        ok = SSL_CTX_add_client_CA(context, sk_X509_value(list, i)) == 1;
    sk_X509_pop_free(list, X509_free);
    return ok;
}

static bool add_crls(X509_STORE *trust, struct slice text)
{
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
    X509_CRL *crl;
    int count = 0;

    while (bio != NULL && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        count += X509_STORE_add_crl(trust, crl) == 1;
        X509_CRL_free(crl);
    }
    BIO_free(bio);
    ERR_clear_error();
    X509_STORE_set_flags(trust, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return count > 0;
}

static bool set_trust(SSL_CTX *context, const struct tls_settings *s, struct context_fault *fault)
{
    X509_STORE *trust = SSL_CTX_get_cert_store(context);
    const char **what = &fault->what;

    fault->in_files = true;
    *what = "cannot load the file of \"ssl_client_certificate\"";
    if (s->client_ca.bytes.data != NULL &&
        (!add_trusted(trust, s->client_ca.bytes) || !set_ca_names(context, s->client_ca.bytes)))
        return false;
    *what = "cannot load the file of \"ssl_trusted_certificate\"";
    if (s->trusted_ca.bytes.data != NULL && !add_trusted(trust, s->trusted_ca.bytes))
        return false;
    *what = "cannot load the file of \"ssl_crl\"";
    return s->crl.bytes.data == NULL || add_crls(trust, s->crl.bytes);
}

/* ---- what is offered */

static bool set_dh(SSL_CTX *context, const struct tls_settings *s)
{
    if (s->dhparam.bytes.data == NULL)
        return SSL_CTX_set_dh_auto(context, 1) == 1;
    BIO *bio = BIO_new_mem_buf(s->dhparam.bytes.data, (int)s->dhparam.bytes.len);
    EVP_PKEY *params = bio == NULL ? NULL : PEM_read_bio_Parameters(bio, NULL);
    bool ok = params != NULL && SSL_CTX_set0_tmp_dh_pkey(context, params) == 1;

    if (!ok)
        EVP_PKEY_free(params);
    BIO_free(bio);
    return ok;
}

static bool set_commands(SSL_CTX *context, const struct tls_settings *s, unsigned side)
{
    SSL_CONF_CTX *conf = SSL_CONF_CTX_new();
    bool ok = conf != NULL;

    if (ok) {
        SSL_CONF_CTX_set_flags(conf, SSL_CONF_FLAG_FILE | side | SSL_CONF_FLAG_CERTIFICATE |
                                         SSL_CONF_FLAG_SHOW_ERRORS);
        SSL_CONF_CTX_set_ssl_ctx(conf, context);
    }
    for (const struct tls_item *it = s->commands; ok && it != NULL; it = it->next)
        ok = SSL_CONF_cmd(conf, it->name.data, it->value.data) > 0;
    ok = ok && SSL_CONF_CTX_finish(conf) == 1;
    SSL_CONF_CTX_free(conf);
    return ok;
}

static bool is_auto(struct slice curves)
{
    return curves.len == 0 || slice_eq(curves, slice_of("auto"));
}

static bool set_offer(struct arena *arena, SSL_CTX *context, const struct tls_settings *s,
                      const char **what)
{
    struct slice ciphers = arena_copy(arena, s->ciphers);
    struct slice curves = arena_copy(arena, s->curves);

    *what = "cannot use the list of \"ssl_ciphers\"";
    if (ciphers.data == NULL || SSL_CTX_set_cipher_list(context, ciphers.data) != 1)
        return false;
    *what = "cannot use the list of \"ssl_ecdh_curve\"";
    if (curves.data == NULL ||
        (!is_auto(curves) && SSL_CTX_set1_groups_list(context, curves.data) != 1))
        return false;
    *what = "cannot use the parameters of \"ssl_dhparam\"";
    if (!set_dh(context, s))
        return false;
    *what = "cannot apply \"ssl_conf_command\"";
    return set_commands(context, s, SSL_CONF_FLAG_SERVER);
}

/* ---- sessions */

static bool set_sessions(SSL_CTX *context, const struct tls_settings *s, const char **what)
{
    struct ticket_ring *ring = ticket_ring_get(s->ticket_keys, s->session_timeout_s);
    struct session_cache *cache = NULL;

    *what = "no memory for sessions";
    SSL_CTX_set_timeout(context, (long)s->session_timeout_s);
    if (ring == NULL || !ticket_ring_use(ring, context))
        return false;
    if (s->cache == TLS_CACHE_OFF)
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (s->cache == TLS_CACHE_NONE)
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    if (s->cache != TLS_CACHE_SHARED)
        return true;
    cache = session_cache_get(s->cache_name, s->cache_bytes);
    return cache != NULL && session_cache_use(cache, context);
}

static bool configure(struct tls_store *store, SSL_CTX *context, const struct tls_settings *s,
                      struct context_fault *fault)
{
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_min_proto_version(context, 0);
    SSL_CTX_set_max_proto_version(context, 0);
    SSL_CTX_clear_options(context, SSL_OP_NO_SSL_MASK);
    SSL_CTX_set_options(context, server_options(s) | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                     SSL_OP_NO_ANTI_REPLAY | SSL_OP_SINGLE_DH_USE);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_num_tickets(context, 1); /* who opens several connections gets one on each */
    tls_choose_on(context);
    staple_on(context);
    if (s->early_data)
        tls_early_on(context, s);
    return set_sessions(context, s, &fault->what) &&
           set_offer(store->arena, context, s, &fault->what) && set_trust(context, s, fault);
}

bool tls_context_offer(SSL_CTX *context, const struct tls_settings *s, char *why, size_t why_bytes)
{
    char ciphers[4096];
    char text[256];
    const char *what = "the list of ciphers cannot be used";
    bool ok = s->ciphers.len < sizeof ciphers;

    SSL_CTX_set_min_proto_version(context, 0);
    SSL_CTX_set_max_proto_version(context, 0);
    SSL_CTX_clear_options(context, SSL_OP_NO_SSL_MASK);
    SSL_CTX_set_options(context, protocol_options(s->protocols));
    snprintf(ciphers, sizeof ciphers, "%.*s", SLICE_ARG(s->ciphers));
    ok = ok && SSL_CTX_set_cipher_list(context, ciphers) == 1;
    if (ok) {
        what = "a configuration command cannot be applied";
        ok = set_commands(context, s, SSL_CONF_FLAG_CLIENT);
    }
    if (ok && s->trusted_ca.name.len > 0) {
        what = "the file of trusted certificates cannot be loaded";
        ok = add_trusted(SSL_CTX_get_cert_store(context), s->trusted_ca.bytes);
    }
    if (ok && s->crl.bytes.data != NULL) {
        what = "the list of revoked certificates cannot be loaded";
        ok = add_crls(SSL_CTX_get_cert_store(context), s->crl.bytes);
    }
    if (!ok)
        snprintf(why, why_bytes, "%s (%s)", what, tls_error_text(text, sizeof text));
    return ok;
}

SSL_CTX *tls_context_for(struct tls_store *store, const struct tls_settings *settings,
                         struct context_fault *fault)
{
    struct slice key = key_of(store, settings);

    *fault = (struct context_fault){.what = "no memory for a context"};
    ERR_clear_error();
    if (key.data == NULL)
        return NULL;
    SSL_CTX *context = map_get(&store->contexts, key);

    if (context != NULL)
        return context;
    context = SSL_CTX_new(TLS_server_method());
    if (context != NULL && configure(store, context, settings, fault) &&
        map_put(&store->contexts, key, context, NULL))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

/* ---- one connection */

/* The answer is judged when the request is known: it gets a page that says what is wrong. */
static int accept_any(int good, X509_STORE_CTX *context)
{
    (void)good;
    (void)context;
    return 1;
}

bool tls_context_apply(SSL *ssl, const struct tls_server *server)
{
    const struct tls_settings *s = server->settings;

    if (SSL_get_SSL_CTX(ssl) != server->context) {
        if (SSL_set_SSL_CTX(ssl, server->context) == NULL)
            return false;
        SSL_clear_options(ssl, server_options_mask);
        SSL_set_options(ssl, server_options(s));
        if (!is_auto(s->curves) && SSL_set1_groups_list(ssl, s->curves.data) != 1)
            return false;
        SSL_set_max_early_data(ssl, s->early_data ? TLS_EARLY_BYTES_MAX : 0);
    }
    if (s->verify != TLS_VERIFY_OFF) {
        SSL_set_verify(ssl, SSL_VERIFY_PEER, accept_any);
        SSL_set_verify_depth(ssl, s->verify_depth);
    } else {
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    }
    return SSL_set_session_id_context(ssl, server->session_context,
                                      sizeof server->session_context) == 1;
}
