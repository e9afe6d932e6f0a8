/* Settings of the http core: what nginx's ngx_http_core_module has for http, server and location.
 * Immutable after load. Runs in: load: any; read: loop threads. */
#pragma once

#include "base/map.h"
#include "http/conf.h"
#include "http/h1/parse.h"

struct error_page;

enum { SATISFY_ALL, SATISFY_ANY };
enum { LINGERING_OFF, LINGERING_ON, LINGERING_ALWAYS };
enum { TOKENS_OFF, TOKENS_ON, TOKENS_BUILD };
enum { KEEPALIVE_DISABLE_MSIE6 = 1, KEEPALIVE_DISABLE_SAFARI = 2 };
enum { MODIFIED_OFF, MODIFIED_EXACT, MODIFIED_BEFORE };
enum { BODY_FILE_OFF, BODY_FILE_ON, BODY_FILE_CLEAN };

struct core_conf {
    /* server level */
    uint64_t client_header_timeout;
    size_t client_header_buffer_size;
    struct conf_buffers large_client_header_buffers;
    int max_headers;
    struct h1_limits limits; /* computed from the three above */
    bool ignore_invalid_headers;
    bool underscores_in_headers;
    bool merge_slashes;
    /* connection */
    uint64_t keepalive_timeout;  /* ms; 0: off */
    uint64_t keepalive_header_s; /* second argument: Keep-Alive: timeout=N; 0: not sent */
    uint64_t keepalive_time;
    uint64_t keepalive_min_timeout;
    int keepalive_requests;
    unsigned keepalive_disable;
    uint64_t send_timeout;
    bool reset_timedout_connection;
    bool tcp_nodelay;
    bool tcp_nopush;
    int lingering_close;
    uint64_t lingering_time;
    uint64_t lingering_timeout;
    /* request body */
    size_t client_max_body_size; /* 0: any */
    size_t client_body_buffer_size;
    uint64_t client_body_timeout;
    struct slice client_body_temp_path;
    int client_body_in_file_only;
    bool client_body_in_single_buffer;
    /* files and types */
    struct map *types; /* extension -> struct slice*, lower case */
    struct slice default_type;
    bool sendfile;
    size_t sendfile_max_chunk;
    bool aio_threads;
    size_t directio; /* SIZE_MAX: off */
    bool etag;
    int if_modified_since;
    int max_ranges; /* INT_MAX: any */
    bool log_not_found;
    /* answers */
    const struct error_page *error_pages; /* list, or NULL */
    bool recursive_error_pages;
    bool absolute_redirect;
    bool server_name_in_redirect;
    bool port_in_redirect;
    bool chunked_transfer_encoding;
    int server_tokens;
    struct template *limit_rate;
    struct template *limit_rate_after;
    int satisfy;
    uint64_t auth_delay;           /* ms; 0: none */
    struct template **early_hints; /* NULL ends; NULL: always */
    bool internal;
    const struct resolver_conf *resolver; /* NULL: the system's */
    uint64_t resolver_timeout;
};

struct error_page {
    const struct error_page *next;
    int status;
    int overwrite;        /* =code; -1: `=` alone (the page's own); 0: keep the error's */
    struct template *uri; /* URI, URL or @name */
    struct template *args;
};

/* Where files are: apart from the other settings, because nearly every location has its own. */
struct path_conf {
    struct template *root; /* root or alias */
    bool is_alias;
    struct slice
        alias_location; /* the location's name that alias replaces; empty for a regex location */
};

extern struct feature http_core_feature;
extern struct feature http_path_feature;

#define paths_of(x) ((const struct path_conf *)exchange_conf(x, http_path_feature))

/* early_hints: is an answer with status 103 for this client? */
bool core_passes_hints(struct exchange *x);

/* The innermost core settings of an exchange. */
#define core_of(x) ((const struct core_conf *)exchange_conf(x, http_core_feature))

static inline const struct core_conf *server_core(const struct http_server *server)
{
    return settings_at(server->settings, http_core_feature.index);
}
