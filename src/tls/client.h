/* TLS to backends: what proxy_ssl_* says, and connections made with it.
 *
 * A client belongs to a config snapshot; sessions are kept by the process, so that they are resumed
 * over reloads and by all loops. Runs in: made by who loads; connections: worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

struct arena;
struct diag;
struct io;
struct loop;
struct tls_client;
struct tls_conn;
struct tls_settings;

/* Uses certificates, keys, passwords, commands, trusted_ca, crl, protocols, ciphers and
 * verify_depth of `settings`. Ends with `arena`. NULL: reported in `diag`. */
struct tls_client *tls_client_new(struct arena *arena, const struct tls_settings *settings,
                                  bool verify, struct diag *diag);

struct tls_connect {
    struct loop *loop;
    struct io *io; /* borrowed: a connected socket, watched by its owner */
    struct tls_client *client;
    const char *name;         /* whom we want to speak with: checked if the client verifies */
    bool send_name;           /* and told by SNI */
    struct slice alpn;        /* protocols we offer, in wire form; empty: none */
    struct slice session_key; /* sessions of equal keys are resumed; empty: none is */
};

/* A connection whose handshake is to begin: tls_handshake(). NULL: no memory. */
struct tls_conn *tls_connect(const struct tls_connect *connect);
