/* The inside of a connection, shared by conn.c, choose.c and facts.c. Runs in: loop thread. */
#pragma once

#include "tls/away.h"
#include "tls/bio_internal.h"
#include "tls/conn.h"

#include <openssl/ssl.h>

struct offload;
struct session_cache;
struct tls_settings;

enum { TLS_EARLY_BYTES_MAX = 16384 }; /* of one client's first message */

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
    struct offload *keys;           /* borrowed: threads for expensive keys; NULL: none */
    struct tls_away *away;          /* a step of the handshake is in one; NULL: none is */
    enum tls_progress away_result;
    unsigned missed;   /* what the loop announced meanwhile */
    struct slice alpn; /* what the chosen server offers; constant */
    bool costly;       /* its key is expensive */
    bool is_home;      /* `away_result` is to be looked at */
    bool established;
    bool failed;         /* nothing may be sent any more */
    bool tries_early;    /* requests may have come along with the first message: early.c */
    bool in_early;       /* and they have not ended */
    bool unfinished;     /* answers go out before the handshake is over */
    bool has_first_byte; /* of them, in `first_byte` */
    unsigned char first_byte;
    bool read_wants_write;
    bool fault_is_ours;
    enum tls_failure failure;          /* when the handshake came to nothing */
    unsigned char session_context[32]; /* of the server chosen */
};

/* A connection of `context` on `io`, without a side. NULL: no memory. */
struct tls_conn *tls_conn_new(SSL_CTX *context, struct loop *loop, struct io *io);

/* Whose connection this is: found by way of the BIO, which costs no memory of its own. */
struct tls_conn *tls_conn_of(const SSL *ssl);

/* Remembers the library's reason behind `what`. */
void tls_set_why(struct tls_conn *conn, const char *what);

/* Callbacks of every context for clients; choose.c. */
void tls_choose_on(SSL_CTX *context);

/* One step of the handshake, wherever it runs; `io` is not touched. */
enum tls_progress tls_shake(struct tls_conn *conn);

/* What a read that gave nothing means. */
struct io_result tls_recv_none(struct tls_conn *conn);

/* early.c: what SSL_do_handshake(), tls_recv() and SSL_write_ex() are while a client may send, and
 * sends, requests in its first message. `context` is told to accept them only once. */
void tls_early_on(SSL_CTX *context, const struct tls_settings *settings);
int tls_early_handshake(struct tls_conn *conn);
struct io_result tls_early_recv(struct tls_conn *conn, void *data, size_t bytes);
int tls_early_write(struct tls_conn *conn, const void *data, size_t bytes, size_t *sent);
