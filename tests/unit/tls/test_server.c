/* Goal: servers share what is equal, are broken one by one, and a handshake over a real socket pair
 * gets the certificate of the name asked for; each cut of its first message ends it cleanly. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/diag.h"
#include "tls/conn.h"
#include "tls/server_internal.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct made { /* a self-signed certificate as PEM */
    struct slice certificate;
    struct slice key;
};

static struct slice pem_of(struct arena *arena, BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    struct slice text = arena_copy(arena, slice_make(data, (size_t)len));

    BIO_free(bio);
    return text;
}

static struct made make(struct arena *arena, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);
    BIO *out = BIO_new(BIO_s_mem());
    struct made made;

    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, subject);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    CHECK(X509_sign(cert, key, EVP_sha256()) > 0);
    PEM_write_bio_X509(out, cert);
    made.certificate = pem_of(arena, out);
    out = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    made.key = pem_of(arena, out);
    X509_free(cert);
    EVP_PKEY_free(key);
    return made;
}

struct world {
    struct arena *arena;
    struct diag diag;
    struct tls_store *store;
    struct tls_item items[4][2];
    struct tls_settings settings[4];
    struct tls_server *servers[4];
};

static void open_world(struct world *world)
{
    *world = (struct world){.arena = arena_new(4096)};
    diag_init(&world->diag);
    world->store = tls_store_new(world->arena);
}

static void close_world(struct world *world)
{
    diag_fini(&world->diag);
    arena_drop(world->arena);
}

static struct tls_server *add(struct world *world, unsigned at, const char *name, struct made made)
{
    world->items[at][0].source = (struct tls_source){.name = slice_of(name),
                                                     .bytes = made.certificate};
    world->items[at][1].source = (struct tls_source){.name = slice_of(name), .bytes = made.key};
    world->settings[at] = (struct tls_settings){.certificates = &world->items[at][0],
                                                .keys = &world->items[at][1],
                                                .protocols = TLS_V1_2 | TLS_V1_3,
                                                .ciphers = SLICE("DEFAULT"),
                                                .tickets = true,
                                                .session_timeout_s = 300};
    return world->servers[at] = tls_server_new(world->store, &world->settings[at], slice_of(name),
                                               false, &world->diag);
}

static const struct tls_server *choose(void *owner, struct slice name)
{
    struct world *world = owner;

    for (unsigned i = 1; i < 4; i++)
        if (world->servers[i] != NULL && slice_eq(world->servers[i]->label, name))
            return world->servers[i];
    return world->servers[0];
}

static struct slice offer_protocols(void *owner)
{
    (void)owner;
    return slice_of("\x08http/1.1");
}

static const struct tls_choice choice = {.server = choose, .alpn = offer_protocols};

TEST(equal_settings_share_a_context)
{
    struct world world;

    open_world(&world);
    add(&world, 0, "a", make(world.arena, "a"));
    add(&world, 1, "b", make(world.arena, "b"));
    CHECK(world.servers[0]->context == world.servers[1]->context);
    CHECK_EQ(tls_store_parsed(world.store), 2);
    CHECK_EQ(world.diag.error_count + world.diag.warning_count, 0);
    close_world(&world);
}

TEST(a_broken_one_is_broken_alone)
{
    struct world world;
    struct made good;
    struct made mixed;

    open_world(&world);
    good = make(world.arena, "a");
    mixed = (struct made){good.certificate, make(world.arena, "b").key};
    CHECK(tls_server_is_usable(add(&world, 0, "a", good)));
    CHECK(!tls_server_is_usable(add(&world, 1, "b", mixed)));
    CHECK(!tls_server_is_usable(add(&world, 2, "c", (struct made){good.key, good.certificate})));
    CHECK_EQ(world.diag.error_count, 0);
    CHECK_EQ(world.diag.warning_count, 2);
    close_world(&world);
}

static SSL *client_on(SSL_CTX *context, int fd, const char *name)
{
    SSL *client = SSL_new(context);

    SSL_set_fd(client, fd);
    SSL_set_tlsext_host_name(client, name);
    SSL_set_connect_state(client);
    return client;
}

static void handshake_with(struct world *world, const char *name)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    struct loop *loop = loop_new(0);
    struct io io = {.ready = IO_WRITE};
    enum tls_progress progress = TLS_MORE;
    int fds[2];
    char common[64] = "";

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    io.fd = fds[0];
    SSL *client = client_on(context, fds[1], name);
    struct tls_accept accept = {
        .loop = loop, .io = &io, .fallback = world->servers[0], .choice = &choice, .owner = world};
    struct tls_conn *conn = tls_accept(&accept);

    for (int turn = 0; turn < 10 && progress == TLS_MORE; turn++) {
        SSL_do_handshake(client);
        io.ready |= IO_READ;
        tls_on_events(conn, IO_READ);
        progress = tls_handshake(conn);
    }
    CHECK_EQ(progress, TLS_DONE, tls_why(conn));
    X509 *peer = SSL_get1_peer_certificate(client);

    X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, common, sizeof common);
    CHECK(slice_eq(slice_of(common), slice_of(name)), common);
    X509_free(peer);
    SSL_free(client);
    SSL_CTX_free(context);
    tls_conn_free(conn);
    loop_free(loop);
    close(fds[0]);
    close(fds[1]);
}

TEST(handshakes_get_the_certificate_of_the_name)
{
    struct world world;

    open_world(&world);
    add(&world, 0, "a", make(world.arena, "a"));
    add(&world, 1, "b", make(world.arena, "b"));
    handshake_with(&world, "a");
    handshake_with(&world, "b");
    close_world(&world);
}
