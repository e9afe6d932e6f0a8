/* Asking the DNS by c-ares. Runs in: worker, the resolver's thread, under its lock. */
#include "balance/dns_internal.h"

#include "balance/resolver_internal.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    TRY_MS = 1500, /* for one packet to one server; doubled by c-ares from round to round */
    TRIES = 3,
    TTL_MAX_S = 86400,
    ADDRESSES_MAX = 1024, /* of one name: more does not fit into an answer anyhow */
};

struct channel {
    struct channel *next;
    char *servers; /* owned; "" for the system's */
    ares_channel ares;
    bool open;
    unsigned in_flight;
    struct timespec changed; /* of /etc/resolv.conf when it was read */
};

struct question {
    struct dns *dns;
    struct dns_question asked;
};

void dns_init(struct dns *dns)
{
    *dns = (struct dns){0};
    ares_library_init(ARES_LIB_INIT_ALL);
}

void dns_fini(struct dns *dns)
{
    while (dns->channels != NULL) {
        struct channel *channel = dns->channels;

        dns->channels = channel->next;
        if (channel->open)
            ares_destroy(channel->ares);
        free(channel->servers);
        free(channel);
    }
    ares_library_cleanup();
}

static bool channel_open(struct channel *channel)
{
    struct ares_options options = {.timeout = TRY_MS, .tries = TRIES, .lookups = (char[]){"b"}};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS;
    struct stat st = {0};

    if (channel->servers[0] != '\0') {
        options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
        mask |= ARES_OPT_FLAGS;
    } else if (stat("/etc/resolv.conf", &st) == 0) {
        channel->changed = st.st_mtim;
    }
    if (ares_init_options(&channel->ares, &options, mask) != ARES_SUCCESS)
        return false;
    if (channel->servers[0] != '\0' &&
        ares_set_servers_ports_csv(channel->ares, channel->servers) != ARES_SUCCESS) {
        ares_destroy(channel->ares);
        return false;
    }
    channel->open = true;
    return true;
}

/* A laptop changes its network, a container its DNS: the file is read again. */
static void reopen_if_changed(struct channel *channel)
{
    struct stat st;

    if (channel->servers[0] != '\0' || channel->in_flight > 0 || !channel->open)
        return;
    if (stat("/etc/resolv.conf", &st) != 0 || (st.st_mtim.tv_sec == channel->changed.tv_sec &&
                                               st.st_mtim.tv_nsec == channel->changed.tv_nsec))
        return;
    ares_destroy(channel->ares);
    channel->open = false;
}

struct channel *dns_channel(struct dns *dns, struct slice servers)
{
    struct channel *channel;

    for (channel = dns->channels; channel != NULL; channel = channel->next) {
        if (slice_eq(slice_of(channel->servers), servers))
            return channel;
    }
    channel = calloc(1, sizeof(*channel));
    if (channel == NULL)
        return NULL;
    channel->servers = slice_strdup(servers);
    if (channel->servers == NULL) {
        free(channel);
        return NULL;
    }
    channel->next = dns->channels;
    dns->channels = channel;
    return channel;
}

static const char *failure_text(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        return "Host not found";
    case ARES_ETIMEOUT:
        return "Operation timed out";
    case ARES_ESERVFAIL:
        return "Server failure";
    case ARES_EREFUSED:
        return "Operation refused";
    case ARES_ECONNREFUSED:
        return "no DNS server is in reach";
    case ARES_ENOMEM:
        return "out of memory";
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return "the resolver is shutting down";
    default:
        return ares_strerror(status);
    }
}

static size_t collect(const struct ares_addrinfo_node *nodes, struct address *out, bool all)
{
    static const int families[] = {AF_INET, AF_INET6};
    size_t count = 0;

    for (size_t f = 0; f < COUNT(families); f++) {
        for (const struct ares_addrinfo_node *it = nodes; it != NULL; it = it->ai_next) {
            struct address address = {.len = it->ai_addrlen};

            if (it->ai_family != families[f] || it->ai_addrlen > sizeof(address.in6) ||
                count == ADDRESSES_MAX)
                continue;
            memcpy(&address.any, it->ai_addr, it->ai_addrlen);
            address_set_port(&address, 9); /* any: to ask for a route */
            if (!all && !address_reachable(&address))
                continue;
            address_set_port(&address, 0);
            out[count++] = address;
        }
    }
    return count;
}

static uint64_t least_ttl(const struct ares_addrinfo *result)
{
    int ttl = TTL_MAX_S;

    for (const struct ares_addrinfo_node *it = result->nodes; it != NULL; it = it->ai_next)
        ttl = it->ai_ttl < ttl ? it->ai_ttl : ttl;
    for (const struct ares_addrinfo_cname *it = result->cnames; it != NULL; it = it->next)
        ttl = it->ttl < ttl ? it->ttl : ttl;
    return ttl < 1 ? 1 : (uint64_t)ttl;
}

static void pass_on(const struct dns_question *asked, const struct ares_addrinfo *result)
{
    struct address *addresses;
    size_t count = 0;

    for (const struct ares_addrinfo_node *it = result->nodes; it != NULL; it = it->ai_next)
        count++;
    addresses = calloc(count + 1, sizeof(*addresses));
    if (addresses == NULL) {
        asked->on_failure(asked->data, "out of memory");
        return;
    }
    count = collect(result->nodes, addresses, false);
    if (count == 0) /* nothing in reach: let connecting say so */
        count = collect(result->nodes, addresses, true);
    if (count > 0) {
        asked->on_answer(asked->data, addresses, count, least_ttl(result));
        return;
    }
    free(addresses);
    asked->on_failure(asked->data, failure_text(ARES_ENODATA));
}

static void on_addrinfo(void *data, int status, int timeouts, struct ares_addrinfo *result)
{
    struct question *question = data;

    (void)timeouts;
    question->dns->in_flight--;
    question->asked.channel->in_flight--;
    if (status == ARES_SUCCESS && result != NULL)
        pass_on(&question->asked, result);
    else
        question->asked.on_failure(question->asked.data, failure_text(status));
    ares_freeaddrinfo(result);
    free(question);
}

void dns_ask(struct dns *dns, const struct dns_question *asked)
{
    struct channel *channel = asked->channel;
    struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT,
        .ai_family = asked->ipv4 && asked->ipv6 ? AF_UNSPEC
                     : asked->ipv6              ? AF_INET6
                                                : AF_INET,
        .ai_socktype = SOCK_STREAM,
    };
    struct question *question;

    reopen_if_changed(channel);
    if (!channel->open && !channel_open(channel)) {
        asked->on_failure(asked->data, "the DNS client cannot be started");
        return;
    }
    question = malloc(sizeof(*question));
    if (question == NULL) {
        asked->on_failure(asked->data, "out of memory");
        return;
    }
    *question = (struct question){.dns = dns, .asked = *asked};
    dns->in_flight++;
    channel->in_flight++;
    ares_getaddrinfo(channel->ares, asked->host, NULL, &hints, on_addrinfo, question);
}

static size_t add_fds(struct channel *channel, struct pollfd *fds, size_t max)
{
    ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
    /* Readable in the lower half, writable in the upper: c-ares' own macros shift into the sign. */
    unsigned bits = (unsigned)ares_getsock(channel->ares, sockets, ARES_GETSOCK_MAXNUM);
    size_t count = 0;

    for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM && count < max; i++) {
        short events = (short)((bits >> i & 1 ? POLLIN : 0) |
                               (bits >> (i + ARES_GETSOCK_MAXNUM) & 1 ? POLLOUT : 0));

        if (events != 0)
            fds[count++] = (struct pollfd){.fd = sockets[i], .events = events};
    }
    return count;
}

size_t dns_wait_for(struct dns *dns, struct pollfd *fds, size_t max, int *wait_ms)
{
    size_t count = 0;

    for (struct channel *it = dns->channels; it != NULL; it = it->next) {
        struct timeval most = {.tv_sec = *wait_ms / 1000, .tv_usec = *wait_ms % 1000 * 1000};
        struct timeval buffer;
        struct timeval *left;

        if (!it->open || it->in_flight == 0)
            continue;
        count += add_fds(it, fds + count, max - count);
        left = ares_timeout(it->ares, &most, &buffer);
        if (left != NULL)
            *wait_ms = (int)(left->tv_sec * 1000 + (left->tv_usec + 999) / 1000);
    }
    return count;
}

void dns_process(struct dns *dns, const struct pollfd *fds, size_t count)
{
    for (struct channel *it = dns->channels; it != NULL; it = it->next) {
        if (!it->open)
            continue;
        /* A descriptor of another channel is unknown to this one, and ignored by it. */
        for (size_t i = 0; i < count; i++) {
            bool readable = (fds[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0;
            bool writable = (fds[i].revents & (POLLOUT | POLLERR)) != 0;

            if (fds[i].revents != 0)
                ares_process_fd(it->ares, readable ? fds[i].fd : ARES_SOCKET_BAD,
                                writable ? fds[i].fd : ARES_SOCKET_BAD);
        }
        ares_process_fd(it->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
}
