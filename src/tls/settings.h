/* What the ssl_* directives say, as http and stream load it: one struct of settings for both, and
 * the setters of the rows that are more than one value.
 *
 * Immutable after load; everything lives in the config's arena, bytes of files in the record of
 * config files. Runs in: load: any process; read: loop threads. */
#pragma once

#include "config/directive.h"

struct template;
struct tls_server;

enum tls_protocol {
    TLS_SSLV2 = 1,
    TLS_SSLV3 = 2,
    TLS_V1 = 4,
    TLS_V1_1 = 8,
    TLS_V1_2 = 16,
    TLS_V1_3 = 32,
};

enum tls_verify { TLS_VERIFY_OFF, TLS_VERIFY_ON, TLS_VERIFY_OPTIONAL, TLS_VERIFY_OPTIONAL_NO_CA };

enum tls_cache_kind { TLS_CACHE_NONE, TLS_CACHE_OFF, TLS_CACHE_SHARED };

/* A file (or text) with a certificate, key or list. */
struct tls_source {
    struct slice name;         /* as written, for messages */
    struct slice bytes;        /* `data` NULL: cannot be read, `why` says so */
    const char *why;           /* NULL: it was read */
    struct slice path;         /* absolute, of a file; else empty */
    struct template *template; /* names that depend on the connection; NULL: fixed */
};

/* Items of a list: pairs of sources, names and values of ssl_conf_command, ticket keys. */
struct tls_item {
    struct tls_item *next;
    struct tls_source source;
    struct slice name;
    struct slice value;
};

/* How many certificates made from variables are kept, and how long. */
struct tls_keep {
    unsigned max; /* 0: none */
    uint64_t inactive_ms;
    uint64_t valid_ms;
};

struct tls_settings {
    struct tls_item *certificates; /* in the order of the file; as many keys */
    struct tls_item *keys;
    struct tls_item *passwords;   /* `value`: one password */
    struct tls_item *commands;    /* `name`, `value` */
    struct tls_item *ticket_keys; /* the first one encrypts */
    struct tls_source client_ca;
    struct tls_source trusted_ca;
    struct tls_source crl;
    struct tls_source dhparam;
    unsigned protocols; /* enum tls_protocol bits */
    struct slice ciphers;
    struct slice curves; /* "auto": the library's own list */
    bool prefer_server_ciphers;
    bool tickets;
    bool reject_handshake;
    bool early_data;
    bool watch; /* renewed files are loaded by themselves */
    bool stapling;
    bool stapling_verify;
    struct tls_source staple_file;
    struct slice staple_responder;
    int verify; /* enum tls_verify */
    int verify_depth;
    int handshake_limit; /* of one address at the same time; 0: none */
    size_t record_bytes; /* 0: small ones first, then large ones */
    uint64_t session_timeout_s;
    int cache; /* enum tls_cache_kind */
    struct slice cache_name;
    size_t cache_bytes;
    struct tls_keep keep;
    const char *file; /* where the first ssl_certificate stands; NULL: nowhere */
    unsigned line;
    struct tls_server *server; /* made once when the block is complete, if anybody listens */
};

/* Setters of custom rows of a feature whose settings begin with struct tls_settings. */
bool tls_set_certificate(struct conf_call *call);
bool tls_set_key(struct conf_call *call);
bool tls_set_passwords(struct conf_call *call);
bool tls_set_command(struct conf_call *call);
bool tls_set_ticket_key(struct conf_call *call);
bool tls_set_client_ca(struct conf_call *call);
bool tls_set_trusted_ca(struct conf_call *call);
bool tls_set_crl(struct conf_call *call);
bool tls_set_dhparam(struct conf_call *call);
bool tls_set_staple_file(struct conf_call *call);
bool tls_set_session_cache(struct conf_call *call);
bool tls_set_keep(struct conf_call *call);

/* Reads a file (by its path below the config's folder) with the privileges of who loads first. A
 * file that cannot be read is no error: `source->why` says what is wrong. False: no memory,
 * reported. */
bool tls_read_source(struct conf_call *call, struct slice path, struct tls_source *source);

extern const struct conf_word tls_protocol_words[];
extern const struct conf_word tls_verify_words[];
