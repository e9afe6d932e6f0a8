/* TLS of http servers, for codecs: which server's settings a handshake gets.
 * Runs in: worker, loop thread. */
#pragma once

struct address;
struct http_listen;
struct http_server;
struct tls_server;
struct tls_settings;

/* The TLS side of `server` on an address whose default server is `fallback`: a server without a
 * certificate of its own is served with that of the default one, as in nginx. NULL: none. */
const struct tls_server *ssl_server_of(const struct http_server *server,
                                       const struct http_server *fallback);

struct http_conf;

/* How many servers refuse handshakes because of their files. */
unsigned ssl_broken_count(const struct http_conf *conf);

/* What its ssl_* directives say. */
const struct tls_settings *ssl_settings_of(const struct http_server *server);
