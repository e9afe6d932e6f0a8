/* What the files of the proxy feature share. Runs in: load: any; the rest: worker, loop thread. */
#pragma once

#include "balance/resolver.h"
#include "config/variable.h"
#include "http/feature.h"
#include "http/relay/relay.h"

struct proxy_store;
struct regex;

extern struct feature http_proxy_feature;
extern struct feature http_grpc_feature;

/* What differs between proxy_pass and grpc_pass. */
struct proxy_kind {
    const char *directive;
    const char *plain; /* scheme in the clear */
    const char *secure;
    bool bare;      /* a URL may have no scheme */
    bool takes_uri; /* ... and a path */
    const struct feature *feature;
    const struct feature *ssl;
    const struct feature *headers; /* of struct proxy_headers_conf */
    const struct relay_hooks *hooks;
};

extern const struct proxy_kind proxy_kind;
extern const struct proxy_kind grpc_kind;

/* A URL as proxy_pass understands it. */
struct proxy_url {
    struct slice
        authority;     /* "app", "127.0.0.1:3000", "unix:/path": what an upstream is found by */
    struct slice name; /* host without port; empty for unix */
    struct slice host_header; /* $proxy_host: without the port if that is the scheme's own */
    struct slice port;        /* $proxy_port; empty for unix */
    struct slice uri;         /* "/path?args", "?args", or empty */
    uint16_t port_number;
    bool tls;
};

/* Pure. False: not of the form "http://host[:port][uri]", "http://unix:path[:uri]"; `*error` says
 * what is wrong. */
bool proxy_parse_url(struct slice text, const struct proxy_kind *kind, struct proxy_url *url,
                     const char **error);

/* A proxy_pass or grpc_pass directive; arena of the config. */
struct proxy_pass {
    const struct proxy_kind *kind;
    struct proxy_url url;      /* without variables */
    struct upstream *upstream; /* NULL: `variable_url` decides at run time */
    struct template *variable_url;
    struct upstreams *upstreams;
    struct slice location; /* what url.uri replaces */
    struct slice text;     /* the URL as written; empty with variables */
};

/* proxy_set_header as written. Blocks that say the same share it, and those before it with it:
 * nearly all servers of a large config have the same few lines. */
struct proxy_header {
    const struct proxy_header *before; /* the one above in the block */
    struct slice name;
    enum header_id id;
    struct template *value;
    const struct proxy_head *head; /* compiled from the list that ends here; NULL: not yet */
};

/* A stretch of the head: bytes that are always the same, then perhaps a field with a value of its
 * own. */
struct proxy_piece {
    struct slice fixed;
    struct slice name; /* of the field; empty: none */
    enum header_id id;
    const struct template *value; /* NULL with a name: $proxy_host */
};

/* proxy_set_header compiled. */
struct proxy_head {
    struct proxy_piece *pieces;
    size_t piece_count;
    uint8_t drops[HEADER_COUNT];          /* [id] of the client's fields: not passed on */
    const struct proxy_header *drops_too; /* the last of the list, for names without an id */
    bool has_unknown;                     /* there are such */
    const struct template *connection;    /* set by the user, else NULL */
    bool sets_upgrade;
    bool sets_te;
};

enum proxy_match {
    MATCH_PREFIX,
    MATCH_WHOLE_NOCASE, /* domains */
    MATCH_REGEX,
};

/* proxy_redirect, proxy_cookie_domain, proxy_cookie_path. */
struct proxy_rule {
    const struct proxy_rule *next;
    enum proxy_match match;
    bool is_default; /* proxy_redirect default */
    struct template *from;
    struct regex *regex;
    struct template *to;
};

enum cookie_flag {
    COOKIE_SECURE = 1 << 0,
    COOKIE_NO_SECURE = 1 << 1,
    COOKIE_HTTP_ONLY = 1 << 2,
    COOKIE_NO_HTTP_ONLY = 1 << 3,
    COOKIE_SAME_SITE = 1 << 4, /* its word is in `same_site` */
    COOKIE_NO_SAME_SITE = 1 << 5,
};

/* proxy_cookie_flags. */
struct proxy_cookie_rule {
    const struct proxy_cookie_rule *next;
    struct template *name; /* NULL: regex */
    struct regex *regex;
    struct template *flags[8]; /* words, evaluated per answer; NULL ends */
};

struct proxy_conf {
    struct relay_conf relay;            /* first */
    const struct proxy_rule *redirects; /* NULL and redirect_default: the default rule alone */
    bool redirect_default;
    const struct proxy_rule *cookie_domains;
    const struct proxy_rule *cookie_paths;
    const struct proxy_cookie_rule *cookie_flags;
    struct template *method;
    struct template *body;
    int http_version; /* 10, 11 or 20 */
    bool store_on;
    struct template *store; /* NULL: root and URI */
    unsigned store_mode;    /* permissions of the file */
    unsigned store_folder_mode;
};

/* Apart from the other settings, because most locations that set something set these. */
struct proxy_headers_conf {
    struct proxy_header *last;     /* of the block's, or NULL */
    const struct proxy_head *head; /* computed */
};

extern struct feature http_proxy_headers_feature;
extern struct feature http_grpc_headers_feature;

/* Per exchange, arena. */
struct proxy_state {
    const struct proxy_conf *conf;
    const struct proxy_pass *pass;
    struct proxy_url url; /* the pass's, or what its variables gave */
    struct lookup lookup;
    bool cancels; /* lookup_cancel() is registered */
    struct relay *relay;
    struct proxy_store *storing;
};

static inline struct proxy_state *proxy_state_of(const struct relay *r)
{
    return r->feature_state;
}

/* ---- proxy_pass.c */
bool proxy_set_pass(struct conf_call *call);
bool grpc_set_pass(struct conf_call *call);
/* The proxy_pass of the exchange's location; NULL: something else answers. */
const struct proxy_pass *proxy_pass_of(const struct exchange *x);
/* The path and arguments for the peer. `.data` NULL: no memory. */
struct slice proxy_request_uri(const struct relay *r);
/* Finds the upstream of a proxy_pass with variables, perhaps by asking the DNS, then begins. `r`
 * may be gone afterwards. */
void proxy_find_upstream(struct relay *r);

/* ---- proxy_head.c: rows and finish() of a feature with struct proxy_headers_conf */
bool proxy_set_set_header(struct conf_call *call);
bool proxy_finish_headers(struct loader *loader, struct scope *scope, void *settings);
bool proxy_make_head(struct relay *r);

/* ---- proxy_rewrite.c */
bool proxy_set_redirect(struct conf_call *call);
bool proxy_set_cookie_domain(struct conf_call *call);
bool proxy_set_cookie_path(struct conf_call *call);
enum rewrite proxy_rewrite(struct relay *r, enum header_id id, struct slice *value);
/* Applies the first rule that fits to the part of `*value` from `offset` on. */
enum rewrite proxy_apply_rules(struct exchange *x, const struct proxy_rule *rules, size_t offset,
                               struct slice *value);

/* ---- proxy_cookie.c */
bool proxy_set_cookie_flags(struct conf_call *call);
enum rewrite proxy_rewrite_cookie(struct exchange *x, const struct proxy_conf *conf,
                                  struct slice *value);

/* ---- proxy_store.c */
bool proxy_set_store(struct conf_call *call);
bool proxy_set_store_access(struct conf_call *call);
void proxy_store_begin(struct relay *r);
void proxy_store_bytes(struct relay *r, struct slice bytes);
void proxy_store_end(struct relay *r, bool complete);

/* ---- proxy_variables.c */
enum { PROXY_VARIABLE_COUNT = 4 };
extern const struct variable proxy_variables[PROXY_VARIABLE_COUNT];

/* Compiles a template of a directive's word; NULL: reported. */
struct template *proxy_template(struct conf_call *call, size_t index, struct slice text);
