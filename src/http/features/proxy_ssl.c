/* TLS to the peers of proxy_pass https:// and grpc_pass grpcs://: nginx's proxy_ssl_* and
 * grpc_ssl_*. Runs in: load: any; the rest: worker, loop thread. */
#include "http/features/proxy_ssl.h"

#include "base/arena.h"
#include "base/diag.h"
#include "config/loader.h"
#include "http/feature.h"
#include "http/relay/relay.h"
#include "tls/client.h"
#include "tls/settings.h"

struct proxy_ssl_conf {
    struct tls_settings tls; /* first: its setters expect it */
    bool verify;
    bool server_name;
    bool session_reuse;
    struct template *name;     /* NULL: the host of the URL */
    struct tls_client *client; /* made when the block is complete; NULL: nobody said anything */
};

#define T struct proxy_ssl_conf

/* clang-format off */
#define PEER_SSL_ROWS(P)                                                                               \
    {P "_ssl_name", CTX_HTTP_ALL, TEMPLATE(T, name),                                                   \
     .doc = "The name a peer's certificate must have, and that is sent by SNI; without it the host "   \
            "of " P "_pass.",                                                                          \
     .example = P "_ssl_name $host;"},                                                                 \
    {P "_ssl_server_name", CTX_HTTP_ALL, FLAG(T, server_name), .def = "off",                           \
     .doc = "Tells the peer by SNI which name we mean."},                                              \
    {P "_ssl_verify", CTX_HTTP_ALL, FLAG(T, verify), .def = "off",                                     \
     .doc = "Refuses peers whose certificate is not good, or not for the name."},                      \
    {P "_ssl_verify_depth", CTX_HTTP_ALL, INT(T, tls.verify_depth), .def = "1", .max = 100,            \
     .doc = "How many issuers may stand between a peer's certificate and one we trust."},              \
    {P "_ssl_trusted_certificate", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 1,                 \
     .set = tls_set_trusted_ca, .doc = "Issuers we trust, for " P "_ssl_verify.",                      \
     .example = P "_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;"},                     \
    {P "_ssl_crl", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 1, .set = tls_set_crl,             \
     .doc = "Lists of peers' certificates that are revoked.",                                          \
     .example = P "_ssl_crl backends.crl;"},                                                           \
    {P "_ssl_certificate", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 1,                         \
     .set = tls_set_certificate, .doc = "The certificate we show to peers that ask for one.",          \
     .example = P "_ssl_certificate client.crt;"},                                                     \
    {P "_ssl_certificate_key", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 1,                     \
     .set = tls_set_key, .doc = "The key of " P "_ssl_certificate.",                                   \
     .example = P "_ssl_certificate_key client.key;"},                                                 \
    {P "_ssl_password_file", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 1,                       \
     .set = tls_set_passwords, .doc = "Passwords of encrypted keys, one per line.",                    \
     .example = P "_ssl_password_file keys.pass;"},                                                    \
    {P "_ssl_protocols", CTX_HTTP_ALL, BITS(T, tls.protocols), .def = "TLSv1.2 TLSv1.3",               \
     .words = tls_protocol_words, .doc = "Versions of the protocol that are spoken to peers."},        \
    {P "_ssl_ciphers", CTX_HTTP_ALL, TEXT(T, tls.ciphers), .def = "DEFAULT",                           \
     .doc = "Ciphers up to TLS 1.2, in OpenSSL's notation."},                                          \
    {P "_ssl_conf_command", CTX_HTTP_ALL, CUSTOM, .repeatable = true, .args_min = 2,                   \
     .args_max = 2, .set = tls_set_command, .doc = "Any configuration command of OpenSSL.",            \
     .example = P "_ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;"},                     \
    {P "_ssl_session_reuse", CTX_HTTP_ALL, FLAG(T, session_reuse), .def = "on",                        \
     .doc = "Resumes sessions with peers, which saves most of a handshake."}
/* clang-format on */

static const struct directive proxy_directives[] = {PEER_SSL_ROWS("proxy")};
static const struct directive grpc_directives[] = {PEER_SSL_ROWS("grpc")};

static bool refuse(struct loader *loader, const struct tls_settings *tls, const char *why)
{
    struct diag_place place = {.file = tls->file, .line = tls->line};

    diag_add(loader->diag, DIAG_ERROR, tls->file == NULL ? NULL : &place, "%s", why);
    return false;
}

/* One context serves all requests of a block: what it shows cannot depend on one of them. */
static bool check_sources(struct loader *loader, const struct tls_settings *tls)
{
    const struct tls_source *const sources[] = {
        &tls->trusted_ca,
        &tls->crl,
        tls->certificates == NULL ? &tls->crl : &tls->certificates->source,
        tls->keys == NULL ? &tls->crl : &tls->keys->source,
    };

    for (size_t i = 0; i < COUNT(sources); i++) {
        if (sources[i]->why != NULL)
            return refuse(loader, tls, sources[i]->why);
        if (sources[i]->template != NULL)
            return refuse(loader, tls,
                          "variables cannot be used in a certificate for peers and its key");
    }
    return true;
}

static bool make_client(struct loader *loader, struct proxy_ssl_conf *conf)
{
    if (!check_sources(loader, &conf->tls))
        return false;
    conf->client = tls_client_new(loader->arena, &conf->tls, conf->verify, loader->diag);
    return conf->client != NULL;
}

/* What nobody has said anything about is made when it is needed. */
static bool finish(struct loader *loader, struct scope *scope, void *settings)
{
    return scope->parent == NULL || make_client(loader, settings);
}

bool proxy_ssl_prepare(struct conf_call *call, const struct feature *feature)
{
    struct proxy_ssl_conf *conf = settings_at(call->scope->settings, feature->index);

    return conf->client != NULL || make_client(call->loader, conf);
}

bool proxy_ssl_use(struct relay *r, const struct feature *feature, struct slice name)
{
    const struct proxy_ssl_conf *conf = settings_at(r->x->settings, feature->index);

    if (conf->name != NULL && !template_eval(conf->name, &r->x->subject, &name))
        return false;
    ptrdiff_t zero = name.len == 0 ? -1 : slice_find(name, '\0');

    r->tls_name = arena_copy(relay_arena(r), zero < 0 ? name : slice_head(name, (size_t)zero));
    r->tls = conf->client;
    r->tls_send_name = conf->server_name;
    r->tls_reuse = conf->session_reuse;
    return r->tls_name.data != NULL && r->tls != NULL;
}

struct feature proxy_ssl_feature = {
    .conf = {.name = "http_proxy",
             .conf_bytes = sizeof(struct proxy_ssl_conf),
             .directives = proxy_directives,
             .directive_count = COUNT(proxy_directives),
             .finish = finish},
};

struct feature grpc_ssl_feature = {
    .conf = {.name = "http_grpc",
             .conf_bytes = sizeof(struct proxy_ssl_conf),
             .directives = grpc_directives,
             .directive_count = COUNT(grpc_directives),
             .finish = finish},
};
