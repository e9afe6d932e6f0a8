/* The values of $ssl_* variables. Runs in: worker, loop thread. */
#include "tls/facts.h"

#include "base/arena.h"
#include "base/list.h"
#include "tls/conn_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static bool give_copy(struct arena *arena, struct slice value, struct slice *text)
{
    *text = arena_copy(arena, value);
    return text->data != NULL;
}

/* What a memory BIO holds, as text; frees it. */
static bool give_bio(struct arena *arena, BIO *bio, bool good, struct slice *text)
{
    char *data = NULL;
    long len = bio == NULL || !good ? 0 : BIO_get_mem_data(bio, &data);
    bool ok = len > 0 && give_copy(arena, slice_make(data, (size_t)len), text);

    BIO_free(bio);
    ERR_clear_error();
    return ok;
}

static bool give_hex(struct arena *arena, const unsigned char *bytes, size_t len,
                     struct slice *text)
{
    char *out = arena_bytes(arena, 2 * len + 1);

    if (out == NULL)
        return false;
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    *text = slice_make(out, 2 * len);
    return true;
}

/* ---- the connection */

static bool get_cipher(struct tls_conn *conn, struct arena *arena, struct slice *text)
{
    const char *name = SSL_get_cipher_name(conn->ssl);

    return name != NULL && give_copy(arena, slice_of(name), text);
}

/* "A:B:0x0a0a": names where we know them, as nginx does. */
static bool get_ciphers(struct tls_conn *conn, struct arena *arena, struct slice *text)
{
    STACK_OF(SSL_CIPHER) *list = SSL_get_client_ciphers(conn->ssl);
    struct slice all = SLICE("");

    for (int i = 0; i < sk_SSL_CIPHER_num(list); i++) {
        const char *name = SSL_CIPHER_get_name(sk_SSL_CIPHER_value(list, i));

        all = arena_printf(arena, "%.*s%s%s", SLICE_ARG(all), i == 0 ? "" : ":", name);
        if (all.data == NULL)
            return false;
    }
    *text = all;
    return all.len > 0;
}

static struct slice group_name(struct arena *arena, int group)
{
    const char *name = (group & TLSEXT_nid_unknown) != 0 ? NULL : OBJ_nid2sn(group);

    return name != NULL ? slice_of(name) : arena_printf(arena, "0x%04x", group & 0xffff);
}

static bool get_curve(struct tls_conn *conn, struct arena *arena, struct slice *text)
{
    int group = (int)SSL_get_negotiated_group(conn->ssl);

    if (group == NID_undef)
        return false;
    return give_copy(arena, group_name(arena, group), text);
}

static bool get_curves(struct tls_conn *conn, struct arena *arena, struct slice *text)
{
    int groups[128];
    int count = (int)SSL_get1_groups(conn->ssl, NULL);
    struct slice all = SLICE("");

    if (count <= 0 || count > (int)COUNT(groups) || SSL_get1_groups(conn->ssl, groups) != count)
        return false;
    for (int i = 0; i < count; i++) {
        struct slice name = group_name(arena, groups[i]);

        all = arena_printf(arena, "%.*s%s%.*s", SLICE_ARG(all), i == 0 ? "" : ":", SLICE_ARG(name));
        if (all.data == NULL)
            return false;
    }
    *text = all;
    return true;
}

static bool get_session_id(struct tls_conn *conn, struct arena *arena, struct slice *text)
{
    SSL_SESSION *session = SSL_get0_session(conn->ssl);
    unsigned len = 0;
    const unsigned char *id = session == NULL ? NULL : SSL_SESSION_get_id(session, &len);

    return id != NULL && len > 0 && give_hex(arena, id, len, text);
}

static bool get_reused(struct tls_conn *conn, struct slice *text)
{
    *text = slice_of(SSL_session_reused(conn->ssl) ? "r" : ".");
    return true;
}

static bool get_early(struct tls_conn *conn, struct slice *text)
{
    *text = slice_of("1");
    return !SSL_is_init_finished(conn->ssl);
}

static bool get_server_name(struct tls_conn *conn, struct arena *arena, struct slice *text)
{
    const char *name = SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name);

    if (name == NULL && conn->asked.len > 0)
        return give_copy(arena, conn->asked, text);
    return name != NULL && give_copy(arena, slice_of(name), text);
}

static bool get_alpn(struct tls_conn *conn, struct arena *arena, struct slice *text)
{
    const unsigned char *name = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(conn->ssl, &name, &len);
    return len > 0 && give_copy(arena, slice_make((const char *)name, len), text);
}

/* ---- the client's certificate */

static bool get_pem(X509 *cert, struct arena *arena, struct slice *text)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return give_bio(arena, bio, bio != NULL && PEM_write_bio_X509(bio, cert) == 1, text);
}

/* For a header: every line but the first begins with a tab, the last line feed is left out. */
static bool get_folded(X509 *cert, struct arena *arena, struct slice *text)
{
    struct slice pem;
    size_t len = 0;

    if (!get_pem(cert, arena, &pem))
        return false;
    char *out = arena_bytes(arena, 2 * pem.len);

    if (pem.data[pem.len - 1] == '\n')
        pem.len--;
    for (size_t i = 0; out != NULL && i < pem.len; i++) {
        out[len++] = pem.data[i];
        if (pem.data[i] == '\n')
            out[len++] = '\t';
    }
    *text = slice_make(out, len);
    return out != NULL;
}

static bool get_escaped(X509 *cert, struct arena *arena, struct slice *text)
{
    struct slice pem;
    size_t len = 0;

    if (!get_pem(cert, arena, &pem))
        return false;
    char *out = arena_bytes(arena, 3 * pem.len + 1);

    for (size_t i = 0; out != NULL && i < pem.len; i++) {
        unsigned char c = (unsigned char)pem.data[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '.' || c == '_' || c == '~';

        if (plain)
            out[len++] = (char)c;
        else
            len += (size_t)snprintf(out + len, 4, "%%%02X", c);
    }
    *text = slice_make(out, len);
    return out != NULL;
}

static bool get_name(X509_NAME *name, struct arena *arena, struct slice *text)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool good = bio != NULL && name != NULL &&
                X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0;

    return give_bio(arena, bio, good, text);
}

static bool get_serial(X509 *cert, struct arena *arena, struct slice *text)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return give_bio(arena, bio,
                    bio != NULL && i2a_ASN1_INTEGER(bio, X509_get0_serialNumber(cert)) > 0, text);
}

static bool get_fingerprint(X509 *cert, struct arena *arena, struct slice *text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    return X509_digest(cert, EVP_sha1(), digest, &len) == 1 && give_hex(arena, digest, len, text);
}

static bool get_time(const ASN1_TIME *when, struct arena *arena, struct slice *text)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return give_bio(arena, bio, bio != NULL && ASN1_TIME_print(bio, when) == 1, text);
}

static bool get_remain(X509 *cert, struct arena *arena, struct slice *text)
{
    int days = 0;
    int seconds = 0;

    if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1)
        return false;
    *text = arena_printf(arena, "%d", days < 0 || seconds < 0 ? 0 : days);
    return text->data != NULL;
}

/* What an unknown issuer looks like: the certificate itself may be good. */
static bool is_optional(long error)
{
    return error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
           error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
           error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

enum tls_client tls_client_verdict(struct tls_conn *conn, const char **why)
{
    long error = SSL_get_verify_result(conn->ssl);

    *why = X509_verify_cert_error_string(error);
    if (SSL_get0_peer_certificate(conn->ssl) == NULL)
        return TLS_CLIENT_NONE;
    if (error == X509_V_OK)
        return TLS_CLIENT_GOOD;
    return is_optional(error) ? TLS_CLIENT_UNKNOWN : TLS_CLIENT_REFUSED;
}

static bool get_verify(struct tls_conn *conn, struct arena *arena, struct slice *text)
{
    const char *why = NULL;
    enum tls_client verdict = tls_client_verdict(conn, &why);

    if (verdict == TLS_CLIENT_NONE)
        *text = slice_of("NONE");
    else if (verdict == TLS_CLIENT_GOOD)
        *text = slice_of("SUCCESS");
    else
        *text = arena_printf(arena, "FAILED:%s", why);
    return text->data != NULL;
}

static bool client_fact(X509 *cert, enum tls_fact fact, struct arena *arena, struct slice *text)
{
    switch (fact) {
    case TLS_FACT_CLIENT_CERT:
        return get_folded(cert, arena, text);
    case TLS_FACT_CLIENT_RAW_CERT:
        return get_pem(cert, arena, text);
    case TLS_FACT_CLIENT_ESCAPED_CERT:
        return get_escaped(cert, arena, text);
    case TLS_FACT_CLIENT_S_DN:
        return get_name(X509_get_subject_name(cert), arena, text);
    case TLS_FACT_CLIENT_I_DN:
        return get_name(X509_get_issuer_name(cert), arena, text);
    case TLS_FACT_CLIENT_SERIAL:
        return get_serial(cert, arena, text);
    case TLS_FACT_CLIENT_FINGERPRINT:
        return get_fingerprint(cert, arena, text);
    case TLS_FACT_CLIENT_V_START:
        return get_time(X509_get0_notBefore(cert), arena, text);
    case TLS_FACT_CLIENT_V_END:
        return get_time(X509_get0_notAfter(cert), arena, text);
    case TLS_FACT_CLIENT_V_REMAIN:
        return get_remain(cert, arena, text);
    default:
        return false;
    }
}

bool tls_fact(struct tls_conn *conn, enum tls_fact fact, struct arena *arena, struct slice *text)
{
    X509 *cert;

    switch (fact) {
    case TLS_FACT_PROTOCOL:
        *text = slice_of(SSL_get_version(conn->ssl));
        return true;
    case TLS_FACT_CIPHER:
        return get_cipher(conn, arena, text);
    case TLS_FACT_CIPHERS:
        return get_ciphers(conn, arena, text);
    case TLS_FACT_CURVE:
        return get_curve(conn, arena, text);
    case TLS_FACT_CURVES:
        return get_curves(conn, arena, text);
    case TLS_FACT_SESSION_ID:
        return get_session_id(conn, arena, text);
    case TLS_FACT_SESSION_REUSED:
        return get_reused(conn, text);
    case TLS_FACT_EARLY_DATA:
        return get_early(conn, text);
    case TLS_FACT_SERVER_NAME:
        return get_server_name(conn, arena, text);
    case TLS_FACT_ALPN:
        return get_alpn(conn, arena, text);
    case TLS_FACT_CLIENT_VERIFY:
        return get_verify(conn, arena, text);
    default:
        cert = SSL_get0_peer_certificate(conn->ssl);
        return cert != NULL && client_fact(cert, fact, arena, text);
    }
}
