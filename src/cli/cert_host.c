/* The certificates that a server shows. Runs in: the process the user started; blocks. */
#include "cli/cert_internal.h"
#include "tls/keypair.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_S = 10, HOST_BYTES = 256 };

struct spot {
    char host[HOST_BYTES];
    char port[8];
};

/* HOST, HOST:PORT, [ADDRESS]:PORT */
static bool parse(const char *text, struct spot *spot)
{
    const char *colon = strrchr(text, ':');
    bool bracket = text[0] == '[';
    size_t len = strlen(text);

    if (colon != NULL && (bracket ? colon[-1] == ']' : strchr(text, ':') == colon))
        len = (size_t)(colon - text);
    else
        colon = NULL;
    if (bracket) {
        text++;
        len -= 2;
    }
    snprintf(spot->port, sizeof spot->port, "%s", colon == NULL ? "443" : colon + 1);
    return len > 0 && len < sizeof spot->host &&
           snprintf(spot->host, sizeof spot->host, "%.*s", (int)len, text) > 0;
}

/* Names below localhost are this machine (RFC 6761, 6.3), also where no resolver says so. */
static const char *where(const struct spot *spot)
{
    return slice_ends(slice_of(spot->host), slice_of(".localhost")) ? "localhost" : spot->host;
}

static int connect_to(const struct spot *spot, struct cert_findings *findings)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct addrinfo *list = NULL;
    int error = getaddrinfo(where(spot), spot->port, &hints, &list);
    int fd = -1;

    if (error != 0) {
        cert_find(findings, CERT_WRONG, "\"%s\" cannot be found: %s", spot->host,
                  gai_strerror(error));
        return -1;
    }
    for (const struct addrinfo *it = list; it != NULL && fd < 0; it = it->ai_next) {
        fd = socket(it->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (connect(fd, it->ai_addr, it->ai_addrlen) != 0) {
            error = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        cert_find(findings, CERT_WRONG, "no connection to %s port %s: %s", spot->host, spot->port,
                  strerror(error));
    return fd;
}

static STACK_OF(X509) * shake_hands(const struct spot *spot, int fd, struct cert_findings *findings)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = context == NULL ? NULL : SSL_new(context);
    STACK_OF(X509) *chain = NULL;
    char text[256];

    ERR_clear_error();
    if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 &&
        (strchr(spot->host, ':') != NULL || SSL_set_tlsext_host_name(ssl, spot->host) == 1) &&
        SSL_connect(ssl) == 1)
        chain = X509_chain_up_ref(SSL_get_peer_cert_chain(ssl));
    if (chain == NULL)
        cert_find(findings, CERT_WRONG, "the TLS handshake failed (%s)",
                  tls_error_text(text, sizeof text));
    SSL_free(ssl);
    SSL_CTX_free(context);
    return chain;
}

STACK_OF(X509) * cert_fetch(const char *host, struct cert_findings *findings)
{
    STACK_OF(X509) *chain = NULL;
    struct spot spot;

    if (!parse(host, &spot)) {
        cert_find(findings, CERT_WRONG, "this is no HOST[:PORT]");
        return NULL;
    }
    int fd = connect_to(&spot, findings);

    if (fd < 0)
        return NULL;
    chain = shake_hands(&spot, fd, findings);
    close(fd);
    if (chain != NULL)
        inspect_name(sk_X509_value(chain, 0), slice_of(spot.host), findings);
    return chain;
}
