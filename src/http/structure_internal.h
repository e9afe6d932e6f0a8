/* What structure.c (blocks), listen.c (addresses) and server_name.c (names) share while an http
 * block is loaded. Runs in: whoever loads a config (master, its validating child, worker). */
#pragma once

#include "http/conf.h"
#include "http/router.h"

/* One `listen` of one server. */
struct server_listen {
    struct server_listen *next;
    struct http_listen *listen;
    bool is_default;
};

/* A server while it is loaded. */
struct server_draft {
    struct http_server server; /* first */
    struct server_draft *next;
    struct server_listen *listens;
    struct server_name *last_name; /* array `server.names` is filled to here */
    size_t name_room;
};

struct listen_entry {          /* an address while the block is loaded */
    struct http_listen listen; /* first */
    struct listen_entry *next;
    bool options_given; /* by the listen that has them; a second one is an error */
    bool has_default;
    bool bind; /* wants a socket of its own beside a wildcard */
    struct server_table *table;
    size_t server_count;
};

struct http_draft {
    struct http_conf conf; /* first */
    struct server_draft *first;
    struct server_draft **last;
    struct listen_entry *listens;
    struct listen_entry **last_listen;
    size_t entry_count;
    struct map by_address;
};

struct http_draft *http_draft_of(struct loader *loader);
struct server_draft *server_draft_of(struct conf_call *call);

bool conf_set_listen(struct conf_call *call);
bool conf_set_server_name(struct conf_call *call);

/* A server without `listen` gets "*:80", or "*:8000" for other users than root. */
bool listen_add_default(struct conf_call *call, struct server_draft *server);

/* After the last server: default servers, tables of names, sockets. */
bool listens_finish(struct loader *loader, struct http_draft *draft);
