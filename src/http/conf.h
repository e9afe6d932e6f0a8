/* What the http block becomes: servers, locations, and the tables that find them. Immutable after
 * load. Everything lives in the snapshot's arena. Runs in: load: any; read: all loop threads. */
#pragma once

#include "base/map.h"
#include "config/directive.h"
#include "event/socket.h"
#include "http/feature.h"
#include "http/server.h"

struct feature_rows;
struct location_tree;
struct loader;
struct regex;
struct snapshot;

struct origin { /* where something was declared: for log lines and `explain` */
    const char *file;
    unsigned line;
};

/* Where a directive stands, for keeping. */
struct origin conf_origin(const struct conf_call *call);

enum location_kind {
    LOCATION_PREFIX,       /* location /x */
    LOCATION_PREFIX_FINAL, /* location ^~ /x: regexes are not tried */
    LOCATION_EXACT,        /* location = /x */
    LOCATION_REGEX,        /* ~ and ~* */
    LOCATION_NAMED,        /* @x */
    LOCATION_IF,           /* if (...) { } in a location, limit_except: settings of their own */
};

struct http_location {
    struct slice name;                  /* as written */
    const struct settings *settings;    /* [feature index] */
    const struct http_location *parent; /* enclosing location, or NULL */
    const struct http_server *server;
    struct location_tree *nested;   /* locations inside this one, or NULL */
    struct regex *regex;            /* LOCATION_REGEX */
    struct content_handler content; /* .start NULL: index, autoindex, static */
    struct origin origin;
    enum location_kind kind : 8;
    bool auto_redirect; /* proxy_pass & co. with a trailing slash: "/x" is sent to "/x/" with 301 */
};

struct http_server {
    const struct settings *settings;
    struct slice name; /* first server_name: $server_name */
    const struct server_name *names;
    size_t name_count;
    struct location_tree *locations; /* NULL: none */
    struct map *named;               /* "@x" -> struct http_location; NULL: none */
    struct origin origin;
};

struct server_name {
    struct slice text; /* lower case, as written without the leading ~ */
    enum {
        SERVER_NAME_EXACT,
        SERVER_NAME_HEAD,
        SERVER_NAME_TAIL,
        SERVER_NAME_REGEX
    } kind; /* "a.b", "*.b" or ".b", "a.*", "~..." */
    struct regex *regex;
};

/* The servers of one listening address. */
struct http_listen {
    struct listen_spec spec;
    const struct http_server *fallback; /* default_server, or the first */
    struct http_listen **narrower; /* without a socket of their own: "10.0.0.1:80" beside "*:80" */
    size_t narrower_count;
    bool proxy_protocol;
    bool ssl;
    bool http2;                 /* `listen ... http2` */
    struct server_table *table; /* by host name; NULL when the fallback is the only one */
};

struct http_conf {
    struct snapshot *snapshot;
    const struct settings *settings; /* http level */
    const struct feature_rows *rows; /* whom exchanges call */
    struct http_server **servers;
    size_t server_count;
    struct http_listen *listens; /* order = http_listen_specs() */
    size_t listen_count;
    struct listen_spec
        *specs; /* those that get a socket: a narrower address beside a wildcard does not */
    unsigned *spec_listens; /* [spec_count]: which of `listens` it is */
    size_t spec_count;
};

/* The location being loaded, for directives that set its handler (CTX_LOCATION, CTX_LOCATION_IF,
 * CTX_LIMIT_EXCEPT): scope->block. NULL elsewhere. */
struct http_location *conf_location(struct conf_call *call);
struct http_server *conf_server(struct conf_call *call);

/* The http_conf being built, from any directive inside http. */
struct http_conf *conf_http(struct loader *loader);
