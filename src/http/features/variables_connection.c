/* Variables about the connection, the clock and the process, as in nginx's ngx_http_variables.c.
 * Runs in: worker, loop thread. */
#include "base/arena.h"
#include "event/address.h"
#include "event/loop.h"
#include "http/conf.h"
#include "http/features/variable_text.h"
#include "http/proxy_protocol.h"

#include <inttypes.h>
#include <limits.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <unistd.h>

/* What $nginx_version says: the release whose configuration we take. */
static const char nginx_version[] = "1.31.5";

static bool host_text(struct subject *subject, const struct address *address, struct slice *text)
{
    char buffer[ADDRESS_TEXT_BYTES];

    if (address == NULL || address->len == 0)
        return false;
    *text = arena_copy(subject->arena, slice_make(buffer, address_host_text(address, buffer)));
    return text->data != NULL;
}

/* Unix sockets have no port: empty, as nginx says it. */
static bool port_text(struct subject *subject, const struct address *address, struct slice *text)
{
    uint16_t port = address == NULL || address->len == 0 ? 0 : address_port(address);

    *text = slice_make("", 0);
    return port == 0 || text_decimal(exchange_of(subject), port, text);
}

static bool get_remote_addr(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    return host_text(subject, subject->client, text);
}

static bool get_remote_port(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    return port_text(subject, subject->client, text);
}

/* 4 or 16 bytes in network order: a short key for limits. */
static bool get_binary_remote_addr(struct subject *subject, const struct variable *v,
                                   struct slice *text)
{
    const struct address *client = subject->client;

    (void)v;
    if (client == NULL || client->len == 0)
        return false;
    if (client->any.sa_family == AF_INET)
        *text = slice_make((const char *)&client->in.sin_addr, sizeof client->in.sin_addr);
    else if (client->any.sa_family == AF_INET6)
        *text = slice_make((const char *)&client->in6.sin6_addr, sizeof client->in6.sin6_addr);
    else
        return host_text(subject, client, text);
    *text = arena_copy(subject->arena, *text);
    return text->data != NULL;
}

static bool get_server_addr(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    return host_text(subject, exchange_local_address(exchange_of(subject)), text);
}

static bool get_server_port(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    return port_text(subject, exchange_local_address(exchange_of(subject)), text);
}

enum proxy_part { PROXY_ADDR, PROXY_PORT, PROXY_SERVER_ADDR, PROXY_SERVER_PORT };

static bool get_proxy_protocol(struct subject *subject, const struct variable *v,
                               struct slice *text)
{
    const struct proxy_protocol *header = exchange_of(subject)->proxy_protocol;

    if (header == NULL || header->local)
        return false;
    switch ((enum proxy_part)v->data) {
    case PROXY_ADDR:
        return host_text(subject, &header->source, text);
    case PROXY_PORT:
        return port_text(subject, &header->source, text);
    case PROXY_SERVER_ADDR:
        return host_text(subject, &header->destination, text);
    default:
        return port_text(subject, &header->destination, text);
    }
}

/* Types of the PROXY protocol's version 2 by the names nginx has for them; those above 0xff00 are
 * inside the SSL type. */
enum { TLV_SSL = 0x20, TLV_IN_SSL = 0xff00 };

static const struct tlv_name {
    const char *name;
    int type;
} tlv_names[] = {
    {"alpn", 0x01},
    {"authority", 0x02},
    {"unique_id", 0x05},
    {"ssl", TLV_SSL},
    {"netns", 0x30},
    {"ssl_version", TLV_IN_SSL | 0x21},
    {"ssl_cn", TLV_IN_SSL | 0x22},
    {"ssl_cipher", TLV_IN_SSL | 0x23},
    {"ssl_sig_alg", TLV_IN_SSL | 0x24},
    {"ssl_key_alg", TLV_IN_SSL | 0x25},
};

/* "0x20", one or two digits; -1 for anything else. */
static int hex_type(struct slice name)
{
    int type = 0;

    if (name.len < 3 || name.len > 4 || !slice_starts(name, slice_of("0x")))
        return -1;
    for (size_t i = 2; i < name.len; i++) {
        char c = ascii_lower(name.data[i]);

        if (c >= '0' && c <= '9')
            type = type * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            type = type * 16 + (c - 'a') + 10;
        else
            return -1;
    }
    return type;
}

static int tlv_type(struct slice name)
{
    for (size_t i = 0; i < COUNT(tlv_names); i++) {
        if (slice_eq(name, slice_of(tlv_names[i].name)))
            return tlv_names[i].type;
    }
    return hex_type(name);
}

static bool get_proxy_tlv(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct proxy_protocol *header = exchange_of(subject)->proxy_protocol;
    int type = tlv_type(slice_skip(v->name, strlen("proxy_protocol_tlv_")));

    if (header == NULL || type < 0)
        return false;
    if (type & TLV_IN_SSL)
        return proxy_protocol_tlv(header, TLV_SSL, type & 0xff, text);
    return proxy_protocol_tlv(header, type, -1, text);
}

static bool get_connection(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    (void)v;
    return text_decimal(x, x->connection_id, text);
}

static bool get_connection_requests(struct subject *subject, const struct variable *v,
                                    struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    (void)v;
    return text_decimal(x, x->connection_requests, text);
}

static bool get_connection_time(struct subject *subject, const struct variable *v,
                                struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    (void)v;
    return text_seconds(x, loop_now_ms(x->loop) - x->connection_start_ms, text);
}

enum tcp_fact { TCP_RTT, TCP_RTTVAR, TCP_SND_CWND, TCP_RCV_SPACE };

static bool get_tcpinfo(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    uint32_t value = 0;

    if (x->client_fd < 0 || getsockopt(x->client_fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    switch ((enum tcp_fact)v->data) {
    case TCP_RTT:
        value = info.tcpi_rtt;
        break;
    case TCP_RTTVAR:
        value = info.tcpi_rttvar;
        break;
    case TCP_SND_CWND:
        value = info.tcpi_snd_cwnd;
        break;
    case TCP_RCV_SPACE:
        value = info.tcpi_rcv_space;
        break;
    }
    return text_decimal(x, value, text);
}

static bool get_time_local(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    *text = arena_copy(subject->arena, slice_of(loop_clock(exchange_of(subject)->loop)->log_local));
    return text->data != NULL;
}

static bool get_time_iso(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    *text = arena_copy(subject->arena, slice_of(loop_clock(exchange_of(subject)->loop)->log_iso));
    return text->data != NULL;
}

static bool get_msec(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);

    (void)v;
    return text_seconds(x, loop_clock(x->loop)->wall_ms, text);
}

static bool get_nginx_version(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)subject;
    (void)v;
    *text = slice_of(nginx_version);
    return true;
}

static bool get_hostname(struct subject *subject, const struct variable *v, struct slice *text)
{
    char name[HOST_NAME_MAX + 1];

    (void)v;
    if (gethostname(name, sizeof name) != 0)
        return false;
    name[sizeof name - 1] = '\0';
    for (char *c = name; *c != '\0'; c++)
        *c = ascii_lower(*c);
    *text = arena_copy(subject->arena, slice_of(name));
    return text->data != NULL;
}

static bool get_pid(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    return text_decimal(exchange_of(subject), (uint64_t)getpid(), text);
}

#define PLAIN(name_, get_)                                                                         \
    {                                                                                              \
        .name = SLICE(name_), .get = get_                                                          \
    }
#define CHANGING(name_, get_, data_)                                                               \
    {                                                                                              \
        .name = SLICE(name_), .get = get_, .data = data_, .flags = VARIABLE_VOLATILE               \
    }
#define FACT(name_, get_, data_)                                                                   \
    {                                                                                              \
        .name = SLICE(name_), .get = get_, .data = data_                                           \
    }

static const struct variable variables[] = {
    PLAIN("remote_addr", get_remote_addr),
    PLAIN("remote_port", get_remote_port),
    PLAIN("binary_remote_addr", get_binary_remote_addr),
    PLAIN("server_addr", get_server_addr),
    PLAIN("server_port", get_server_port),
    FACT("proxy_protocol_addr", get_proxy_protocol, PROXY_ADDR),
    FACT("proxy_protocol_port", get_proxy_protocol, PROXY_PORT),
    FACT("proxy_protocol_server_addr", get_proxy_protocol, PROXY_SERVER_ADDR),
    FACT("proxy_protocol_server_port", get_proxy_protocol, PROXY_SERVER_PORT),
    {.name = SLICE("proxy_protocol_tlv_"), .get = get_proxy_tlv, .flags = VARIABLE_PREFIX},
    PLAIN("connection", get_connection),
    PLAIN("connection_requests", get_connection_requests),
    CHANGING("connection_time", get_connection_time, 0),
    CHANGING("tcpinfo_rtt", get_tcpinfo, TCP_RTT),
    CHANGING("tcpinfo_rttvar", get_tcpinfo, TCP_RTTVAR),
    CHANGING("tcpinfo_snd_cwnd", get_tcpinfo, TCP_SND_CWND),
    CHANGING("tcpinfo_rcv_space", get_tcpinfo, TCP_RCV_SPACE),
    CHANGING("time_local", get_time_local, 0),
    CHANGING("time_iso8601", get_time_iso, 0),
    CHANGING("msec", get_msec, 0),
    PLAIN("nginx_version", get_nginx_version),
    PLAIN("hostname", get_hostname),
    PLAIN("pid", get_pid),
};

struct feature variables_connection_feature = {
    .conf = {.name = "http_variables_connection"},
    .variables = variables,
    .variable_count = COUNT(variables),
};
