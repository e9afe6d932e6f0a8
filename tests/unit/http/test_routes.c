/* Goal: servers and locations are chosen as nginx chooses them.
 * Method: a config of random blocks, and the choices of a real nginx (nginx_routes.py makes both).
 * A block is named by the line on which it begins. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "config/files.h"
#include "config/snapshot.h"
#include "daemon/load.h"
#include "daemon/options.h"
#include "event/address.h"
#include "http/conf.h"
#include "http/router.h"

struct choice {
    unsigned port;
    const char *key; /* path, or host */
    int line;        /* 0: none; -1: the path with a '/' is asked for */
};

#include "tests/unit/http/nginx_routes.inc"

static const struct run_options options = {
    .conf_path = "/routes.conf",
    .conf_prefix = "/",
    .prefix = "/",
    .error_log = "stderr",
};

static void load_text(struct load *load, const char *text)
{
    struct config_files *files = config_files_from_disk();

    CHECK(files != NULL);
    CHECK(config_files_add(files, options.conf_path, slice_of(text)));
    (void)load_run(load, &options, files);
}

static const struct http_listen *listen_of(const struct load *load, unsigned port)
{
    const struct http_conf *http = load->snapshot->http;

    for (size_t i = 0; i < http->listen_count; i++)
        if (address_port(&http->listens[i].spec.options.address) == port)
            return &http->listens[i];
    return NULL;
}

TEST(locations_are_nginx_s)
{
    struct load load;

    load_text(&load, conf);
    CHECK(!diag_failed(&load.diag));
    for (size_t i = 0; i < COUNT(routes); i++) {
        const struct http_server *server = listen_of(&load, routes[i].port)->fallback;
        struct slice uri = slice_of(routes[i].key);
        bool add_slash = false;
        const struct http_location *found = location_tree_find(server->locations, uri, NULL,
                                                               &add_slash);
        int line = add_slash ? -1 : found == NULL ? 0 : (int)found->origin.line;

        CHECK_EQ(line, routes[i].line, routes[i].key, routes[i].port);
        if (add_slash)
            CHECK_EQ(found->name.len, uri.len + 1, routes[i].key);
    }
    load_fini(&load);
}

TEST(servers_are_nginx_s)
{
    struct load load;

    load_text(&load, conf);
    for (size_t i = 0; i < COUNT(names); i++) {
        const struct http_listen *listen = listen_of(&load, names[i].port);
        const struct http_server *found = server_table_find(listen, slice_of(names[i].key), NULL);

        CHECK_EQ((int)found->origin.line, names[i].line, names[i].key, names[i].port);
    }
    load_fini(&load);
}

/* What `nginx -t` says about `listen`, and what it takes. */
static const struct {
    const char *words;
    bool good;
} listens[] = {
    {"80", true},
    {"*:80", true},
    {"0.0.0.0:80", true},
    {"127.0.0.1", true},
    {"127.0.0.1:65535", true},
    {"[::1]:80", true},
    {"[::]:80 ipv6only=off", true},
    {"[::1]", true},
    {"unix:/tmp/x", true},
    {"8000-8003", true},
    {"127.0.0.1:8000-8000", true},
    {"80 default_server", true},
    {"80 default", true},
    {"80 backlog=1 rcvbuf=8k sndbuf=8k deferred bind reuseport", true},
    {"80 so_keepalive=on", true},
    {"80 so_keepalive=off", true},
    {"80 so_keepalive=30m::10", true},
    {"80 so_keepalive=:5:", true},
    {"80 fastopen=0", true},
    {"80 proxy_protocol", true},
    {"0", false},
    {"65536", false},
    {"127.0.0.1:0", false},
    {"127.0.0.1:x", false},
    {"127.0.0.1:", false},
    {"127.0.0.256", false},
    {"[::1", false},
    {"[:::1]:80", false},
    {":80", false},
    {"unix:", false},
    {"8003-8000", false},
    {"8000-70000", false},
    {"80 nonsense", false},
    {"80 backlog=0", false},
    {"80 backlog=x", false},
    {"80 backlog=", false},
    {"80 fastopen=-1", false},
    {"80 rcvbuf=x", false},
    {"80 so_keepalive=", false},
    {"80 so_keepalive=1:2:3:4", false},
    {"80 so_keepalive=x::", false},
    {"80 ipv6only=maybe", false},
    {"80; listen 80", false},
    {"80; listen *:80", false},
    {"80; listen 0.0.0.0:80", false},
    {"80 backlog=5; } server { listen 80 backlog=6", false},
    {"80 backlog=5; } server { listen 80", true},
    {"80 default_server; } server { listen 80 default_server", false},
    {"80; server_name a*b", false},
    {"80; server_name *.", false},
    {"80; server_name a.*.b", false},
    {"80; server_name ~(", false},
    {"80; server_name ~", false},
    {"80; server_name .* ", false},
    {"80; location /a { location /b { } }", false},
    {"80; location = /a { location /a/b { } }", false},
    {"80; location @a { location /b { } }", false},
    {"80; location /a { location @b { } }", false},
    {"80; location /a { } location /a { }", false},
    {"80; location /a { } location ^~ /a { }", false},
    {"80; location = /a { } location /a { }", true},
    {"80; location ~ a { } location ~ a { }", true},
    {"80; location ~ ( { }", false},
    {"80; location ! /a { }", false},
    {"80; location @a { } location @a { }", true},
};

TEST(listens_are_refused_as_by_nginx)
{
    for (size_t i = 0; i < COUNT(listens); i++) {
        char text[512];
        struct load load;

        snprintf(text, sizeof text, "events {}\nhttp { server { listen %s; } }\n",
                 listens[i].words);
        if (strchr(listens[i].words, '}') != NULL && strstr(listens[i].words, "location") != NULL)
            snprintf(text, sizeof text, "events {}\nhttp { server { listen %s } }\n",
                     listens[i].words);
        load_text(&load, text);
        CHECK_EQ(!diag_failed(&load.diag), listens[i].good, listens[i].words);
        load_fini(&load);
    }
}
