/* Whatever a client sends first: names are parsed within bounds, and a handshake over a real
 * socket, with a certificate, so that names, protocols (ALPN) and early data are looked at, ends or
 * waits, never more. */
#include "base/arena.h"
#include "base/diag.h"
#include "event/loop.h"
#include "tls/conn.h"
#include "tls/hello.h"
#include "tls/issue.h"
#include "tls/server.h"
#include "tls/settings.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_server *server;
static struct loop *loop;

static const struct tls_server *choose(void *owner, struct slice name)
{
    (void)owner;
    assert(name.len <= TLS_NAME_BYTES_MAX);
    return server;
}

static struct slice offer_protocols(void *owner)
{
    (void)owner;
    return slice_of("\x02h2\x08http/1.1");
}

static const struct tls_choice choice = {.server = choose, .alpn = offer_protocols};

static void set_up(void)
{
    static struct tls_settings settings = {.protocols = TLS_V1_2 | TLS_V1_3,
                                           .ciphers = SLICE("DEFAULT"),
                                           .tickets = true,
                                           .early_data = true,
                                           .session_timeout_s = 300};
    static const char *const name = "fuzz.test";
    static struct tls_item items[2];
    static struct issued issued;
    static struct diag diag;
    static struct arena *arena;
    const struct issue_wish wish = {.names = &name, .name_count = 1, .days = 30};

    arena = arena_new(4096);
    assert(issue_leaf(&wish, &issued));
    items[0].source = (struct tls_source){.name = SLICE("data:"),
                                          .bytes = slice_of(issued.certificate)};
    items[1].source = (struct tls_source){.name = SLICE("data:"), .bytes = slice_of(issued.key)};
    settings.certificates = &items[0];
    settings.keys = &items[1];
    diag_init(&diag);
    server = tls_server_new(tls_store_new(arena), &settings, slice_of("fuzz"), false, &diag);
    loop = loop_new(0);
    assert(server != NULL && loop != NULL);
    assert(tls_server_is_usable(server));
}

static void shake_hands(const uint8_t *data, size_t size)
{
    struct io io = {.ready = IO_READ | IO_WRITE};
    struct tls_accept accept = {.loop = loop, .io = &io, .fallback = server, .choice = &choice};
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        return;
    io.fd = fds[0];
    struct tls_conn *conn = tls_accept(&accept);

    if (size > 0 && write(fds[1], data, size) < 0)
        size = 0;
    if (conn != NULL)
        assert(tls_handshake(conn) != TLS_DONE);
    tls_conn_free(conn);
    close(fds[0]);
    close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[TLS_NAME_BYTES_MAX + 1];

    if (server == NULL)
        set_up();
    struct slice host = parse_server_name(slice_make((const char *)data, size), name);

    assert(host.len <= TLS_NAME_BYTES_MAX);
    shake_hands(data, size);
    return 0;
}
