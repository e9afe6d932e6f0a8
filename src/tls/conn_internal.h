/* The inside of a connection, shared by conn.c, choose.c and facts.c. Runs in: loop thread. */
#pragma once

#include "tls/bio_internal.h"
#include "tls/conn.h"

#include <openssl/ssl.h>

struct session_cache;

struct tls_conn {
    SSL *ssl;             /* owned */
    struct tls_wire wire; /* the BIO's */
    struct loop *loop;    /* borrowed */
    const struct tls_choice *choice;
    void *owner;
    char *why;              /* heap: what went wrong; NULL: nothing */
    struct slice asked;     /* the name asked for; only while the first message is looked at */
    uint64_t last_ms;       /* when something was sent */
    uint32_t burst_bytes;   /* sent without a pause */
    uint32_t pending_bytes; /* of a record that could not be sent whole */
    uint32_t record_bytes;  /* 0: small ones first */
    char *session_key;      /* heap; to backends: what its sessions are kept by */
    struct session_cache *sessions; /* where */
    bool established;
    bool failed; /* nothing may be sent any more */
    bool read_wants_write;
    bool fault_is_ours;
    unsigned char session_context[32]; /* of the server chosen */
};

/* A connection of `context` on `io`, without a side. NULL: no memory. */
struct tls_conn *tls_conn_new(SSL_CTX *context, struct loop *loop, struct io *io);

/* Remembers the library's reason behind `what`. */
void tls_set_why(struct tls_conn *conn, const char *what);

/* Callbacks of every context for clients; choose.c. */
void tls_choose_on(SSL_CTX *context);
