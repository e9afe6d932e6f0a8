/* Whatever a client of HTTP/2 sends: its connection answers or ends, bodies and limits hold, and
 * when it has gone nothing of it is left. The real server, over a real socket. */
#include "balance/balance.h"
#include "base/buf.h"
#include "config/files.h"
#include "config/snapshot.h"
#include "daemon/load.h"
#include "daemon/options.h"
#include "event/loop.h"
#include "event/socket.h"
#include "http/server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE_BYTES = 1000 };

static struct loop *loop;
static struct http_loop *http;
static struct address address;

static struct snapshot *load_conf(void)
{
    static const struct run_options options = {
        .conf_path = "/fuzz.conf", .conf_prefix = "/", .prefix = "/tmp", .error_log = "stderr"};
    static struct load load;
    static char text[2000];
    struct config_files *files = config_files_from_disk();

    snprintf(text, sizeof text,
             "error_log stderr emerg; events {} http { access_log off; server { "
             "listen unix:/tmp/pelayan-fuzz-h2-%d.sock http2; client_max_body_size 2k; "
             "large_client_header_buffers 4 1k; http2_max_concurrent_streams 8; "
             "location / { return 200 \"$request_uri $http_x $cookie_a\"; } "
             "location /long { return 200 \"%0400d\"; } location /empty { return 204; } "
             "location /proxied { proxy_pass http://unix:/tmp/pelayan-fuzz-none.sock; } } }",
             (int)getpid(), 1);
    assert(files != NULL && config_files_add(files, options.conf_path, slice_of(text)));
    assert(load_run(&load, &options, files));
    return load_take(&load);
}

static void set_up(void)
{
    static struct http_shared shared = {.loop_count = 1, .worker_connections = 64};
    static struct http_loop *loops[1];
    struct snapshot *snapshot = load_conf();
    size_t count = 0;
    const struct listen_spec *specs = http_listen_specs(snapshot, &count);
    int fd;

    assert(count == 1);
    loop = loop_new(0);
    assert(loop != NULL);
    shared.balance = balance_new(&loop, 1);
    shared.loops = loops;
    loops[0] = http = http_loop_new(loop, &shared);
    address = specs[0].options.address;
    fd = socket_listen(&specs[0].options);
    assert(http != NULL && fd >= 0 && balance_start(shared.balance, snapshot->http_upstreams));
    assert(http_loop_use(http, snapshot, &fd));
}

static void say(int client, const uint8_t *data, size_t size)
{
    char answer[65536];

    while (size > 0) {
        size_t n = size < PIECE_BYTES ? size : PIECE_BYTES;

        if (send(client, data, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        data += n;
        size -= n;
        loop_turn(loop, 0);
        (void)!recv(client, answer, sizeof answer, MSG_DONTWAIT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    bool done;
    int client;

    if (loop == NULL)
        set_up();
    client = socket_connect(&address, NULL, &done);
    assert(client >= 0);
    say(client, preface, sizeof preface - 1);
    say(client, data, size);
    close(client);
    for (int i = 0; i < 20 && http_loop_connections(http) > 0; i++)
        loop_turn(loop, 1);
    assert(http_loop_connections(http) == 0);
    assert(bufpool_lent(loop_bufs(loop)) == 0);
    return 0;
}
