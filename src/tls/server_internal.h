/* The inside of servers, shared by server.c, context.c and conn.c. Runs in: any. */
#pragma once

#include "base/map.h"
#include "tls/keypair.h"
#include "tls/server.h"
#include "tls/settings.h"
#include "tls/staple.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

/* One pair of files, shared by all servers that name it. */
struct tls_pair {
    struct tls_pair *next; /* all of the store */
    struct tls_source certificate;
    struct tls_source key;
    const struct tls_item *passwords;
    struct staple_settings staple;
    bool stapled;
    const char *staple_why;           /* why it is not */
    _Atomic(struct keypair *) loaded; /* one reference; NULL: not yet */
    atomic_bool broken;
};

struct tls_store {
    struct arena *arena; /* borrowed: the snapshot's */
    pthread_mutex_t lock;
    struct map contexts; /* all of tls_settings that matters to a context, as text -> SSL_CTX */
    struct map pairs;    /* names of both files -> struct tls_pair */
    struct tls_pair *first_pair;
    bool early_data; /* some server accepts requests in a client's first message */
    atomic_size_t parsed;
};

struct tls_server {
    const struct tls_settings *settings;
    struct tls_store *store;
    SSL_CTX *context;        /* borrowed from the store */
    struct tls_pair **pairs; /* arena */
    size_t pair_count;
    struct slice label;
    bool broken;                       /* every handshake is refused */
    bool has_templates;                /* some of settings->certificates depend on the connection */
    unsigned char session_context[32]; /* sessions of other servers are not resumed here */
};

/* The parsed pair, or NULL: it is broken. */
struct keypair *tls_pair_load(struct tls_store *store, struct tls_pair *pair, char *why,
                              size_t why_bytes);

struct context_fault {
    const char *what;
    bool in_files; /* whom to trust cannot be read: only servers that name these files suffer */
};

/* A context for these settings: the store's, made now if there was none. NULL: `fault` says why. */
SSL_CTX *tls_context_for(struct tls_store *store, const struct tls_settings *settings,
                         struct context_fault *fault);

/* What a context for backends has in common with those for clients: protocols, ciphers, commands,
 * whom to trust. False: `why` says what failed. */
bool tls_context_offer(SSL_CTX *context, const struct tls_settings *settings, char *why,
                       size_t why_bytes);

/* Makes `ssl`, which began with another server's context, behave as this one's. */
bool tls_context_apply(SSL *ssl, const struct tls_server *server);
