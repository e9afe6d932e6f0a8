/* Certificates whose file or text depends on the connection (variables in ssl_certificate), kept
 * as ssl_certificate_cache says. Runs in: worker, loop thread. */
#pragma once

struct keypair;
struct tls_conn;
struct tls_item;
struct tls_settings;

/* One reference; NULL: conn->why says what is wrong. */
struct keypair *dynamic_pair(struct tls_conn *conn, const struct tls_settings *settings,
                             const struct tls_item *certificate, const struct tls_item *key);
