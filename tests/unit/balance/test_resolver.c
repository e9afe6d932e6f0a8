/* Goal: names that do not resolve harm nobody and are found as soon as they exist; answers are
 * shared and kept. Method: a DNS server of our own on a loopback port, one thread that answers as
 * told. */
#include "tests/unit/balance/bench.h"

#include "balance/resolver.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static struct {
    int fd;
    pthread_t thread;
    atomic_bool stop;
    atomic_int last_octet; /* of the answer 192.0.2.N; 0: there is no such name */
    atomic_int questions;  /* for A records */
    char address[32];
    struct resolver_conf conf;
} dns;

/* Turns the question into its answer; returns the new length. */
static size_t answer(unsigned char *packet, size_t len, int octet)
{
    unsigned char record[] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                              0,    1,  0, 4, 192, 0, 2, (unsigned char)octet};
    bool wants_a = packet[len - 3] == 1;

    packet[2] |= 0x80;
    packet[3] = octet == 0 ? 3 : 0;
    packet[7] = 0;
    packet[11] = 0; /* no EDNS: len is the question's end */
    if (octet == 0 || !wants_a)
        return len;
    packet[7] = 1;
    memcpy(packet + len, record, sizeof(record));
    return len + sizeof(record);
}

static size_t question_end(const unsigned char *packet, size_t len)
{
    size_t at = 12;

    while (at < len && packet[at] != 0)
        at += (size_t)packet[at] + 1;
    return at + 5 <= len ? at + 5 : 0;
}

static void *serve(void *data)
{
    (void)data;
    while (!atomic_load(&dns.stop)) {
        struct pollfd fd = {.fd = dns.fd, .events = POLLIN};
        unsigned char packet[512];
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        ssize_t got;
        size_t len;

        if (poll(&fd, 1, 20) <= 0)
            continue;
        got = recvfrom(dns.fd, packet, 400, 0, (struct sockaddr *)&from, &from_len);
        len = got < 17 ? 0 : question_end(packet, (size_t)got);
        if (len == 0)
            continue;
        atomic_fetch_add(&dns.questions, packet[len - 3] == 1);
        len = answer(packet, len, atomic_load(&dns.last_octet));
        (void)!sendto(dns.fd, packet, len, 0, (struct sockaddr *)&from, from_len);
    }
    return NULL;
}

static void dns_begin(int last_octet)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(here);

    dns.fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(dns.fd, (struct sockaddr *)&here, len) == 0);
    CHECK(getsockname(dns.fd, (struct sockaddr *)&here, &len) == 0);
    snprintf(dns.address, sizeof(dns.address), "127.0.0.1:%u", ntohs(here.sin_port));
    atomic_store(&dns.stop, false);
    atomic_store(&dns.last_octet, last_octet);
    atomic_store(&dns.questions, 0);
    dns.conf = (struct resolver_conf){.servers = slice_of(dns.address), .ipv4 = true};
    pthread_create(&dns.thread, NULL, serve, NULL);
}

static void dns_end(void)
{
    atomic_store(&dns.stop, true);
    pthread_join(dns.thread, NULL);
    close(dns.fd);
}

static const char *ask(struct bench *bench)
{
    static char text[ADDRESS_TEXT_BYTES];
    struct pick pick;
    enum pick_result result;

    pick_begin(&pick, bench->upstream, NULL, bench->loop);
    result = pick_next(&pick);
    snprintf(text, sizeof(text), "%s", result == PICK_PEER ? peer_text(pick.peer) : "");
    if (result != PICK_PEER)
        CHECK_EQ(result, PICK_UNRESOLVED);
    pick_end(&pick);
    return text;
}

static void ask_until(struct bench *bench, const char *want, unsigned at_most_ms)
{
    for (unsigned waited = 0; waited < at_most_ms && strcmp(ask(bench), want) != 0; waited += 20)
        loop_turn(bench->loop, 20);
    CHECK_STR(ask(bench), want);
}

TEST(an_upstream_follows_its_name)
{
    struct bench bench;

    dns_begin(0);
    bench_begin(&bench, &round_robin_algorithm);
    bench.upstream->resolver = &dns.conf;
    bench_server(&bench, weighing(1), "app.test:8080");
    bench_start(&bench);
    balance_wait(bench.balance, bench.upstreams, 3000);
    CHECK_STR(ask(&bench), "", "not there yet");
    atomic_store(&dns.last_octet, 1);
    ask_until(&bench, "192.0.2.1:8080", 3000);
    atomic_store(&dns.last_octet, 2);
    ask_until(&bench, "192.0.2.2:8080", 3000);
    atomic_store(&dns.last_octet, 0);
    for (int i = 0; i < 8; i++)
        loop_turn(bench.loop, 200);
    CHECK_STR(ask(&bench), "192.0.2.2:8080", "the last good answer is kept");
    bench_end(&bench);
    dns_end();
}

static int done_count;

static void on_done(struct lookup *lookup)
{
    (void)lookup;
    done_count++;
}

static struct lookup question(struct bench *bench, const char *name)
{
    return (struct lookup){.name = slice_of(name),
                           .port = 80,
                           .conf = &dns.conf,
                           .timeout_ms = 2000,
                           .arena = bench->arena,
                           .on_done = on_done};
}

static void wait_for(struct bench *bench, int count)
{
    for (int i = 0; i < 300 && done_count < count; i++)
        loop_turn(bench->loop, 10);
    CHECK_EQ(done_count, count);
}

TEST(lookups_share_one_cache)
{
    struct bench bench;
    struct resolver *resolver;
    struct lookup first, second, third;

    dns_begin(7);
    done_count = 0;
    bench_begin(&bench, &round_robin_algorithm);
    resolver = balance_resolver(bench.balance);
    first = question(&bench, "one.test");
    second = question(&bench, "ONE.test.");
    third = question(&bench, "one.test");
    CHECK_EQ(resolver_lookup(resolver, bench.loop, &first), LOOKUP_PENDING);
    CHECK_EQ(resolver_lookup(resolver, bench.loop, &second), LOOKUP_PENDING);
    wait_for(&bench, 2);
    CHECK_EQ(first.address_count, 1);
    CHECK_EQ(address_port(&first.addresses[0]), 80);
    CHECK_EQ(second.address_count, 1);
    CHECK_EQ(resolver_lookup(resolver, bench.loop, &third), LOOKUP_DONE);
    CHECK_EQ(atomic_load(&dns.questions), 1);
    bench_end(&bench);
    dns_end();
}

TEST(a_lookup_fails_with_a_reason)
{
    struct bench bench;
    struct resolver *resolver;
    struct lookup none, cancelled, late;

    dns_begin(0);
    done_count = 0;
    bench_begin(&bench, &round_robin_algorithm);
    resolver = balance_resolver(bench.balance);
    none = question(&bench, "none.test");
    cancelled = question(&bench, "cancelled.test");
    CHECK_EQ(resolver_lookup(resolver, bench.loop, &none), LOOKUP_PENDING);
    CHECK_EQ(resolver_lookup(resolver, bench.loop, &cancelled), LOOKUP_PENDING);
    lookup_cancel(&cancelled);
    wait_for(&bench, 1);
    CHECK_STR(none.error, "Host not found");
    dns_end();
    late = question(&bench, "late.test");
    late.timeout_ms = 30;
    CHECK_EQ(resolver_lookup(resolver, bench.loop, &late), LOOKUP_PENDING);
    wait_for(&bench, 2);
    CHECK(late.error != NULL);
    bench_end(&bench);
}

TEST(some_names_need_no_dns)
{
    static const char *const names[] = {"127.0.0.1", "[::1]", "localhost", "app.localhost"};
    struct bench bench;

    bench_begin(&bench, &round_robin_algorithm);
    for (size_t i = 0; i < COUNT(names); i++) {
        struct lookup lookup = question(&bench, names[i]);

        CHECK_EQ(resolver_lookup(balance_resolver(bench.balance), bench.loop, &lookup), LOOKUP_DONE,
                 names[i]);
        CHECK(lookup.address_count > 0, names[i]);
        CHECK_EQ(address_port(&lookup.addresses[0]), 80, names[i]);
    }
    bench_end(&bench);
}

static const struct {
    const char *name;
    bool valid;
} host_names[] = {
    {"a", true},      {"app.test", true},     {"app.test.", true}, {"x_y-z.1", true},
    {"", false},      {".", false},           {".a", false},       {"a..b", false},
    {"a b", false},   {"a/b", false},         {"a:80", false},     {"a\n", false},
    {"$host", false}, {"caf\xc3\xa9", false},
};

TEST(host_names_are_strict)
{
    char label[300];

    for (size_t i = 0; i < COUNT(host_names); i++)
        CHECK_EQ(host_name_valid(slice_of(host_names[i].name)), host_names[i].valid,
                 host_names[i].name);
    memset(label, 'a', sizeof(label));
    CHECK(host_name_valid(slice_make(label, 63)));
    CHECK(!host_name_valid(slice_make(label, 64)));
    for (size_t i = 49; i < sizeof(label); i += 50)
        label[i] = '.';
    CHECK(host_name_valid(slice_make(label, 253)));
    CHECK(!host_name_valid(slice_make(label, 254)));
}
