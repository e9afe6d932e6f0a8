/* Upstreams: named groups of servers, declared by `upstream NAME { }` or by the address of a
 * proxy_pass.
 *
 * Upstreams belong to a config snapshot and live in its arena; what must outlive it is in
 * peer_state. Picking from them is in balance/pick.h. Runs in: loading: any process, one thread;
 * afterwards: worker, any thread. */
#pragma once

#include "base/map.h"
#include "base/slice.h"
#include "event/address.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct algorithm;
struct arena;
struct balance;
struct conf_call;
struct diag;
struct loader;
struct log;
struct peer_set;
struct resolver_conf;
struct template;

enum server_kind {
    SERVER_ADDRESS,      /* an address or a name of the DNS */
    SERVER_APP,          /* `app NAME`: the instances of an app */
    SERVER_APP_DECLARED, /* the same, and this config declares the app */
    SERVER_APP_MAYBE,    /* a name: an app's where there is one and the DNS knows nothing */
};

/* A `server` or `app` line. `addresses` are those known at load: a numeric address, or a name found
 * in the hosts file. */
struct server {
    struct server *next;
    struct slice name; /* as configured, "localhost:3000", "unix:/path", an app's; terminated */
    struct slice host; /* to be looked up; empty when numeric */
    uint16_t port;
    enum server_kind kind;
    bool backup;
    bool down;
    bool resolve;           /* by the resolver of the http block, if there is one */
    unsigned slow_start_ms; /* 0: at once */
    int weight;             /* 1 .. */
    unsigned max_conns;     /* 0: no limit */
    unsigned max_fails;     /* 0: never marked failed */
    uint64_t fail_timeout_ms;
    const struct address *addresses; /* the last is cut to address_bytes() */
    unsigned address_count;          /* 0: unresolved at load */
    unsigned line;
    const char *file; /* the tree's */
};

struct keepalive {
    unsigned connections; /* idle ones kept per loop (nginx: per worker process); 0: none */
    unsigned requests;    /* over one connection */
    uint64_t time_ms;     /* age at which a connection takes no further request */
    uint64_t timeout_ms;  /* idle */
};

struct upstream {
    struct slice name; /* "app", or "127.0.0.1:3000" for an implicit one; terminated */
    const struct algorithm *algorithm;
    struct server *servers; /* in order of declaration */
    struct server **servers_end;
    unsigned server_count;
    bool implicit; /* made by a proxy_pass, not by a block */
    bool has_apps; /* of its servers some may be apps; from balance_start() on */
    bool dynamic;  /* has names: `set` may be replaced at run time, a pick takes a reference */
    uint16_t default_port;
    unsigned line;
    const char *file;
    struct keepalive keepalive;
    struct template *hash_key;            /* `hash KEY` */
    const struct resolver_conf *resolver; /* its own, for all its names; NULL: none */
    uint64_t resolver_timeout_ms;
    struct upstream *same_name;   /* implicit ones of the same text with another default port */
    struct upstream *stands_for;  /* the block of that name further down in the file, or NULL */
    struct balance *balance;      /* NULL until balance_start() */
    struct sources *sources;      /* owned: of servers with names; NULL unless dynamic */
    pthread_mutex_t lock;         /* round-robin weights; taking a reference of `set` if dynamic */
    struct peer_set *_Atomic set; /* owned: one reference */
    struct upstream *next;        /* in upstreams->first, in order of declaration */
};

/* Those of one snapshot and one protocol (http and stream have their own names). */
struct upstreams {
    struct arena *arena; /* borrowed: the snapshot's */
    struct map by_name;
    const struct resolver_conf *resolver; /* of the http block; NULL: the system's */
    struct map apps;                      /* names this config declares: of apps */
    struct upstream *first;
    struct upstream **last;
    struct balance *balance; /* NULL until balance_start() */
};

/* The collection of the config being loaded (snapshot->http_upstreams), made at first use. NULL: no
 * memory. */
struct upstreams *upstreams_of(struct loader *loader);

/* The upstream block (or an implicit one) called `name`, ASCII letters in any case, or NULL. Run
 * time too: proxy_pass http://$name. */
struct upstream *upstream_find(const struct upstreams *upstreams, struct slice name);

/* What a proxy_pass names: "app", "127.0.0.1:3000", "localhost", "[::1]:80", "unix:/path" (without
 * the final colon). The block of that name, else an implicit upstream with `default_port`. Blocks
 * may stand below the proxy_pass in the file: what is returned stands for them then. NULL: reported
 * at word `index` of the call. */
struct upstream *upstream_for(struct conf_call *call, size_t index, struct slice text,
                              uint16_t default_port);

/* The config declares an app of that name: upstreams and proxy_pass may mean it, also those further
 * up in the file. False: no memory. */
bool upstreams_declare_app(struct upstreams *upstreams, struct slice name);

bool upstreams_has_app(const struct upstreams *upstreams, struct slice name); /* is it declared? */

/* May some of its servers be apps? Then somebody has to say where they are. */
bool upstreams_mention_apps(const struct upstreams *upstreams);

/* For --strict: every name that cannot be resolved now is an error, with its place, and every app
 * that is neither declared nor runs. Blocks on the DNS. To be called when the whole
 * config has been loaded. */
struct app_lookup {
    bool (*runs)(void *data, struct slice name); /* NULL: none does */
    void *data;
};
void upstreams_check(const struct upstreams *upstreams, const struct app_lookup *lookup,
                     struct diag *diag);

/* For a text known only at run time, already resolved to `addresses`: lives in `arena` (of the
 * exchange), but its peers have the states (health, idle connections) that every upstream of the
 * same name shares. NULL: no memory. `upstreams` must have been started. */
struct upstream_target {
    struct slice name;               /* "host:port", or an app's; terminated */
    const struct address *addresses; /* NULL: of the app */
    size_t address_count;
};
struct upstream *upstream_transient(struct upstreams *upstreams, struct arena *arena,
                                    const struct upstream_target *target);

/* The peers now, with a reference for the caller (peer_set_unref()): for status pages and
 * `explain`. NULL: not started, or none resolved. */
struct peer_set *upstream_peers(struct upstream *upstream);

/* "round_robin", "least_conn", ... */
const char *upstream_method(const struct upstream *upstream);
