/* TLS to clients: nginx's ssl module. Settings are those of tls/settings.h; here are the rows, the
 * checks a request must pass, and the variables. Runs in: load: any; the rest: worker, loop
 * threads. */
#include "http/features/ssl.h"

#include "base/arena.h"
#include "base/diag.h"
#include "config/loader.h"
#include "config/snapshot.h"
#include "http/conf.h"
#include "http/core_conf.h"
#include "http/feature.h"
#include "tls/conn.h"
#include "tls/facts.h"
#include "tls/server.h"
#include "tls/settings.h"

extern struct feature ssl_feature;

const struct tls_settings *ssl_settings_of(const struct http_server *server)
{
    return settings_at(server->settings, ssl_feature.index);
}

const struct tls_server *ssl_server_of(const struct http_server *server,
                                       const struct http_server *fallback)
{
    const struct tls_server *own = ssl_settings_of(server)->server;

    return own != NULL ? own : ssl_settings_of(fallback)->server;
}

/* ---- load */

static bool is_fallback(const struct http_conf *conf, const struct http_server *server)
{
    for (size_t i = 0; i < conf->listen_count; i++)
        if (conf->listens[i].ssl && conf->listens[i].fallback == server)
            return true;
    return false;
}

static bool has_own(const struct tls_settings *settings)
{
    return settings->certificates != NULL || settings->reject_handshake;
}

static bool watch_source(struct snapshot *snapshot, const struct tls_source *source)
{
    return source->path.len == 0 || snapshot_watch_file(snapshot, source->path);
}

/* What is renewed comes in pairs; a pair that several servers share is watched once more. */
static bool watch_files(struct snapshot *snapshot, const struct tls_settings *settings)
{
    bool ok = watch_source(snapshot, &settings->client_ca) &&
              watch_source(snapshot, &settings->trusted_ca) &&
              watch_source(snapshot, &settings->crl) &&
              watch_source(snapshot, &settings->staple_file);

    for (const struct tls_item *it = settings->certificates; ok && it != NULL; it = it->next)
        ok = watch_source(snapshot, &it->source);
    for (const struct tls_item *it = settings->keys; ok && it != NULL; it = it->next)
        ok = watch_source(snapshot, &it->source);
    return ok;
}

/* Servers that inherit everything share their settings, and so this. */
static bool make_server(struct loader *loader, struct tls_store *store,
                        const struct http_server *server)
{
    struct tls_settings *settings = settings_at(server->settings, ssl_feature.index);
    struct slice label = server->name.len > 0 ? server->name : slice_of("_");

    if (settings->server == NULL && settings->watch && !watch_files(loader->context, settings)) {
        diag_add(loader->diag, DIAG_ERROR, NULL, "no memory for the configuration");
        return false;
    }
    if (settings->server == NULL)
        settings->server = tls_server_new(store, settings, label, loader->strict, loader->diag);
    return settings->server != NULL;
}

unsigned ssl_broken_count(const struct http_conf *conf)
{
    unsigned count = 0;

    for (size_t i = 0; i < conf->server_count; i++) {
        const struct tls_settings *settings = ssl_settings_of(conf->servers[i]);

        count += settings->server != NULL && !settings->reject_handshake &&
                 !tls_server_is_usable(settings->server);
    }
    return count;
}

static bool finish_http(struct loader *loader, struct http_conf *conf)
{
    struct tls_store *store = NULL;
    bool any = false;
    bool ok = true;

    for (size_t i = 0; i < conf->listen_count; i++)
        any = any || conf->listens[i].ssl;
    if (!any)
        return true;
    store = tls_store_new(loader->arena);
    if (store == NULL) {
        diag_add(loader->diag, DIAG_ERROR, NULL, "no memory for the configuration");
        return false;
    }
    for (size_t i = 0; i < conf->server_count; i++)
        if (has_own(ssl_settings_of(conf->servers[i])) || is_fallback(conf, conf->servers[i]))
            ok = make_server(loader, store, conf->servers[i]) && ok;
    return ok;
}

/* ---- requests */

/* nginx's order: the plain request on a TLS port, the certificate, its absence. */
static int refusal(struct exchange *x, const struct tls_settings *settings)
{
    const char *why = NULL;

    if (x->tls == NULL)
        return 497;
    if (tls_conn_is_early(x->tls) && !method_is_safe(x->request.method)) {
        log_about(&x->log, LOG_LEVEL_INFO, 0,
                  "client sent a request that changes something as early data");
        return 425;
    }
    if (settings->verify == TLS_VERIFY_OFF)
        return 0;
    if (settings->server != NULL && !tls_conn_is_for(x->tls, settings->server)) {
        log_about(&x->log, LOG_LEVEL_INFO, 0,
                  "client attempted to request the server name different from the one that was "
                  "negotiated");
        return 421;
    }
    enum tls_client verdict = tls_client_verdict(x->tls, &why);
    bool lenient = settings->verify == TLS_VERIFY_OPTIONAL_NO_CA && verdict == TLS_CLIENT_UNKNOWN;

    if (verdict == TLS_CLIENT_NONE && settings->verify == TLS_VERIFY_ON) {
        log_about(&x->log, LOG_LEVEL_INFO, 0, "client sent no required SSL certificate");
        return 496;
    }
    if (verdict == TLS_CLIENT_GOOD || verdict == TLS_CLIENT_NONE || lenient)
        return 0;
    log_about(&x->log, LOG_LEVEL_INFO, 0, "client SSL certificate verify error: %s", why);
    return 495;
}

static enum phase_verdict check_request(struct exchange *x)
{
    bool from_client = x->client_fd >= 0 && (x->flags & (X_INTERNAL | X_SUBREQUEST)) == 0;

    if (!x->listen->ssl || !from_client)
        return PHASE_PASS;
    int status = refusal(x, ssl_settings_of(x->server));

    if (status == 0)
        return PHASE_PASS;
    if (status == 497)
        log_about(&x->log, LOG_LEVEL_INFO, 0, "client sent plain HTTP request to HTTPS port");
    return exchange_fail(x, status);
}

/* ---- variables */

static bool get_fact(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    return x->tls != NULL && tls_fact(x->tls, (enum tls_fact)v->data, subject->arena, text);
}

#define FACT(name_, fact_)                                                                         \
    {                                                                                              \
        .name = SLICE(name_), .get = get_fact, .data = fact_                                       \
    }

static const struct variable variables[] = {
    FACT("ssl_protocol", TLS_FACT_PROTOCOL),
    FACT("ssl_cipher", TLS_FACT_CIPHER),
    FACT("ssl_ciphers", TLS_FACT_CIPHERS),
    FACT("ssl_curve", TLS_FACT_CURVE),
    FACT("ssl_curves", TLS_FACT_CURVES),
    FACT("ssl_session_id", TLS_FACT_SESSION_ID),
    FACT("ssl_session_reused", TLS_FACT_SESSION_REUSED),
    FACT("ssl_early_data", TLS_FACT_EARLY_DATA),
    FACT("ssl_server_name", TLS_FACT_SERVER_NAME),
    FACT("ssl_alpn_protocol", TLS_FACT_ALPN),
    FACT("ssl_client_cert", TLS_FACT_CLIENT_CERT),
    FACT("ssl_client_raw_cert", TLS_FACT_CLIENT_RAW_CERT),
    FACT("ssl_client_escaped_cert", TLS_FACT_CLIENT_ESCAPED_CERT),
    FACT("ssl_client_s_dn", TLS_FACT_CLIENT_S_DN),
    FACT("ssl_client_i_dn", TLS_FACT_CLIENT_I_DN),
    FACT("ssl_client_serial", TLS_FACT_CLIENT_SERIAL),
    FACT("ssl_client_fingerprint", TLS_FACT_CLIENT_FINGERPRINT),
    FACT("ssl_client_verify", TLS_FACT_CLIENT_VERIFY),
    FACT("ssl_client_v_start", TLS_FACT_CLIENT_V_START),
    FACT("ssl_client_v_end", TLS_FACT_CLIENT_V_END),
    FACT("ssl_client_v_remain", TLS_FACT_CLIENT_V_REMAIN),
};

/* ---- rows */

enum { PLACES = CTX_HTTP | CTX_SERVER };

static const struct directive directives[] = {
    {"ssl_certificate", PLACES, CUSTOM, .repeatable = true, .args_min = 1, .args_max = 1,
     .set = tls_set_certificate,
     .doc = "The server's certificate in PEM, followed by those that lead to its issuer: a file, "
            "\"data:\" and the text itself, or a name with variables. Several with keys of several "
            "kinds (RSA, ECDSA) may stand in a server.",
     .example = "ssl_certificate example.com.crt;"},
    {"ssl_certificate_key", PLACES, CUSTOM, .repeatable = true, .args_min = 1, .args_max = 1,
     .set = tls_set_key,
     .doc = "The private key of the ssl_certificate at the same place of the order.",
     .example = "ssl_certificate_key example.com.key;"},
    {"ssl_certificate_cache", PLACES, CUSTOM, .def = "off", .args_min = 1, .args_max = 3,
     .set = tls_set_keep,
     .doc = "Keeps certificates whose names have variables: max=N of them, those not used for "
            "inactive= (10s) go, and each is read again after valid= (60s).",
     .example = "ssl_certificate_cache max=1000 inactive=20s valid=1m;"},
    {"ssl_certificate_watch", PLACES, FLAG(struct tls_settings, watch), .def = "off",
     .doc = "Loads certificates, keys and lists anew by itself when their files are exchanged, as "
            "by certbot or Kubernetes. As long as what is new is broken (a certificate whose key "
            "has not come yet), what was loaded before stays in use."},
    {"ssl_password_file", PLACES, CUSTOM, .args_min = 1, .args_max = 1, .set = tls_set_passwords,
     .doc = "Passwords of encrypted keys, one per line, tried in order.",
     .example = "ssl_password_file keys.pass;"},
    {"ssl_protocols", PLACES, BITS(struct tls_settings, protocols), .def = "TLSv1.2 TLSv1.3",
     .words = tls_protocol_words, .doc = "Versions of the protocol that are offered."},
    {"ssl_ciphers", PLACES, TEXT(struct tls_settings, ciphers), .def = "HIGH:!aNULL:!MD5",
     .doc = "Ciphers up to TLS 1.2, in OpenSSL's notation."},
    {"ssl_ecdh_curve", PLACES, TEXT(struct tls_settings, curves), .def = "auto",
     .doc = "Groups for key exchange, in order of preference, as in \"X25519:prime256v1\"; auto: "
            "OpenSSL's own list, X25519 first."},
    {"ssl_prefer_server_ciphers", PLACES, FLAG(struct tls_settings, prefer_server_ciphers),
     .def = "off", .doc = "Our order of ciphers counts, not the client's."},
    {"ssl_dhparam", PLACES, CUSTOM, .args_min = 1, .args_max = 1, .set = tls_set_dhparam,
     .doc = "Parameters for DHE ciphers; without them OpenSSL's own are used.",
     .example = "ssl_dhparam dhparam.pem;"},
    {"ssl_conf_command", PLACES, CUSTOM, .repeatable = true, .args_min = 2, .args_max = 2,
     .set = tls_set_command, .doc = "Any configuration command of OpenSSL.",
     .example = "ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;"},
    {"ssl_buffer_size", PLACES, BYTES(struct tls_settings, record_bytes), .def = "0",
     .doc = "Size of the records that are sent, at most 16k. 0: small ones at the beginning of an "
            "answer, so that a client can read it early, then large ones."},
    {"ssl_session_cache", PLACES, CUSTOM, .def = "none", .args_min = 1, .args_max = 2,
     .set = tls_set_session_cache,
     .doc = "Where sessions without tickets are kept: shared:NAME:SIZE by all loops and over "
            "reloads; builtin[:COUNT] the same without a name; none: nowhere, and clients are not "
            "told; off: clients are told that sessions cannot be resumed.",
     .example = "ssl_session_cache shared:SSL:10m;"},
    {"ssl_session_timeout", PLACES, SEC(struct tls_settings, session_timeout_s), .def = "5m",
     .min = 1, .max = INT32_MAX, .doc = "How long a session can be resumed."},
    {"ssl_session_tickets", PLACES, FLAG(struct tls_settings, tickets), .def = "on",
     .doc = "Sessions are kept by the clients, encrypted with keys that change by themselves."},
    {"ssl_session_ticket_key", PLACES, CUSTOM, .repeatable = true, .args_min = 1, .args_max = 1,
     .set = tls_set_ticket_key,
     .doc = "A file of 48 or 80 random bytes that several machines share; the first one encrypts, "
            "all decrypt.",
     .example = "ssl_session_ticket_key current.key;"},
    {"ssl_handshake_limit", PLACES, INT(struct tls_settings, handshake_limit), .def = "256",
     .max = 1000000,
     .doc = "How many unfinished handshakes one address (of IPv6: one network of 64 bits) may have "
            "at the same time; more are closed. What the default server of a socket says counts. "
            "0: no limit."},
    {"ssl_early_data", PLACES, FLAG(struct tls_settings, early_data), .def = "off",
     .doc = "Answers requests that clients who come again send along with their first message, a "
            "round trip earlier. Who listened may send these again: each is accepted once by this "
            "process, only methods that change nothing are (others get 425), and peers are told by "
            "\"Early-Data: 1\"."},
    {"ssl_reject_handshake", PLACES, FLAG(struct tls_settings, reject_handshake), .def = "off",
     .doc = "Refuses handshakes for this server's names: with default_server, for names nobody "
            "has."},
    {"ssl_verify_client", PLACES, ENUM(struct tls_settings, verify), .def = "off",
     .words = tls_verify_words,
     .doc = "Asks clients for a certificate: on requires a good one, optional takes none too, "
            "optional_no_ca also one from an issuer we do not know."},
    {"ssl_verify_depth", PLACES, INT(struct tls_settings, verify_depth), .def = "1", .max = 100,
     .doc = "How many issuers may stand between a client's certificate and one we trust."},
    {"ssl_client_certificate", PLACES, CUSTOM, .args_min = 1, .args_max = 1,
     .set = tls_set_client_ca,
     .doc = "Issuers we trust, whose names are sent to clients that are asked for a certificate.",
     .example = "ssl_client_certificate clients-ca.crt;"},
    {"ssl_trusted_certificate", PLACES, CUSTOM, .args_min = 1, .args_max = 1,
     .set = tls_set_trusted_ca, .doc = "Issuers we trust, whose names are not sent.",
     .example = "ssl_trusted_certificate ca.crt;"},
    {"ssl_crl", PLACES, CUSTOM, .args_min = 1, .args_max = 1, .set = tls_set_crl,
     .doc = "Lists of clients' certificates that are revoked.", .example = "ssl_crl clients.crl;"},
    {"ssl_stapling", PLACES, FLAG(struct tls_settings, stapling), .def = "off",
     .doc = "Sends the issuer's word that the certificate is not revoked (OCSP) along with it. It "
            "is asked for beside the traffic, when clients want it."},
    {"ssl_stapling_verify", PLACES, FLAG(struct tls_settings, stapling_verify), .def = "off",
     .doc = "Checks the issuer's word against ssl_trusted_certificate."},
    {"ssl_stapling_file", PLACES, CUSTOM, .args_min = 1, .args_max = 1, .set = tls_set_staple_file,
     .doc = "The issuer's word from a file, as \"openssl ocsp -respout\" writes it, instead of "
            "asking for it.",
     .example = "ssl_stapling_file example.com.ocsp;"},
    {"ssl_stapling_responder", PLACES, TEXT(struct tls_settings, staple_responder),
     .doc = "Whom to ask, instead of the URL in the certificate; http:// only.",
     .example = "ssl_stapling_responder http://ocsp.example.com/;"},
};

struct feature ssl_feature = {
    .conf = {.name = "http_ssl",
             .conf_bytes = sizeof(struct tls_settings),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .phase = STEP_POST_READ,
    .run = check_request,
    .variables = variables,
    .variable_count = COUNT(variables),
    .finish_http = finish_http,
};
