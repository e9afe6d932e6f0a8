/* Goal: peers are chosen in the order nginx chooses them, and every peer is asked before a request
 * is refused. Method: the sequences were recorded from nginx 1.22 in front of servers that return
 * their number. */
#include "tests/unit/balance/bench.h"

#include <stdio.h>

/* The digit at the end of the server's name. */
static char digit(const struct pick *pick)
{
    struct slice name = pick->peer->server->name;

    return name.data[name.len - 1];
}

static char ask(struct bench *bench, struct subject *subject, enum outcome outcome)
{
    struct pick pick;
    char answer = '-';

    pick_begin(&pick, bench->upstream, subject, bench->loop);
    if (pick_next(&pick) == PICK_PEER) {
        answer = digit(&pick);
        pick_report(&pick, outcome);
    }
    pick_end(&pick);
    return answer;
}

/* All peers one request is offered when each of them fails. */
static void ask_all(struct bench *bench, char *answers, enum outcome outcome)
{
    struct pick pick;

    pick_begin(&pick, bench->upstream, NULL, bench->loop);
    while (pick_next(&pick) == PICK_PEER) {
        *answers++ = digit(&pick);
        pick_report(&pick, outcome);
    }
    *answers = '\0';
    pick_end(&pick);
}

static void four_servers(struct bench *bench, unsigned down)
{
    static const int weights[] = {1, 2, 3, 1};

    for (unsigned i = 1; i <= 4; i++) {
        struct server server = weighing(weights[i - 1]);
        char name[32];

        snprintf(name, sizeof(name), "unix:/tmp/bal/s%u", i);
        server.down = i == down;
        bench_server(bench, server, name);
    }
    bench_start(bench);
}

TEST(round_robin_is_smooth_as_in_nginx)
{
    struct bench bench;
    char answers[25] = {0};

    bench_begin(&bench, &round_robin_algorithm);
    bench_server(&bench, weighing(5), "unix:/tmp/bal/s1");
    bench_server(&bench, weighing(1), "unix:/tmp/bal/s2");
    bench_server(&bench, weighing(2), "unix:/tmp/bal/s3");
    bench_start(&bench);
    for (int i = 0; i < 24; i++)
        answers[i] = ask(&bench, NULL, OUTCOME_OK);
    CHECK_STR(answers, "131121311311213113112131");
    bench_end(&bench);
}

static const struct {
    unsigned down;
    const char *v4, *v6;
} ip_hash_cases[] = {
    {0, "2343233314233121323212334223331423333342", "2222222111222222"},
    {2, "3343333314333131333113334333331433333341", "3331434111343334"},
};

TEST(ip_hash_gives_the_places_of_nginx)
{
    for (size_t c = 0; c < COUNT(ip_hash_cases); c++) {
        char answers[41] = {0}, answers6[17] = {0}, text[64];
        struct bench bench;
        struct address client;
        struct subject subject = {.client = &client};

        bench_begin(&bench, &ip_hash_algorithm);
        four_servers(&bench, ip_hash_cases[c].down);
        for (int i = 0; i < 40; i++) {
            snprintf(text, sizeof(text), "%d.%d.%d.9", i * 7 % 250, i * 37 % 256, i * 91 % 256);
            CHECK(address_parse(slice_of(text), 1, &client), text);
            answers[i] = ask(&bench, &subject, OUTCOME_OK);
        }
        for (int i = 0; i < 16; i++) {
            snprintf(text, sizeof(text), "[2001:db8:%d::%d]", i, i * 3);
            CHECK(address_parse(slice_of(text), 1, &client), text);
            answers6[i] = ask(&bench, &subject, OUTCOME_OK);
        }
        CHECK_STR(answers, ip_hash_cases[c].v4);
        CHECK_STR(answers6, ip_hash_cases[c].v6);
        bench_end(&bench);
    }
}

static const struct {
    const struct algorithm *algorithm;
    unsigned down;
    const char *answers;
} hash_cases[] = {
    {&hash_algorithm, 0, "1233233343133323414312313223231231333324"},
    {&hash_algorithm, 3, "1222221242122122414212112222241211424124"},
    {&consistent_hash_algorithm, 0, "2223343233244213224313442132333332133312"},
    {&consistent_hash_algorithm, 3, "2222142222244214224212442122414422142412"},
};

static char ask_key(struct bench *bench, int number)
{
    char key[16];
    struct template template = {.constant = true};
    struct subject subject = {.arena = bench->arena};

    snprintf(key, sizeof(key), "key%d", number);
    template.source = slice_of(key);
    bench->upstream->hash_key = &template;
    return ask(bench, &subject, OUTCOME_OK);
}

TEST(hash_gives_the_places_of_nginx)
{
    for (size_t c = 0; c < COUNT(hash_cases); c++) {
        char answers[41] = {0};
        struct bench bench;

        bench_begin(&bench, hash_cases[c].algorithm);
        four_servers(&bench, hash_cases[c].down);
        for (int i = 0; i < 40; i++)
            answers[i] = ask_key(&bench, i);
        CHECK_STR(answers, hash_cases[c].answers, "case %zu", c);
        bench_end(&bench);
    }
}

TEST(consistent_hash_cuts_ports_from_names)
{
    char answers[41] = {0};
    struct bench bench;

    bench_begin(&bench, &consistent_hash_algorithm);
    bench_server(&bench, weighing(1), "127.0.0.1:28131");
    bench_server(&bench, weighing(2), "127.0.0.1:28132");
    bench_server(&bench, weighing(1), "127.0.0.1:28133");
    bench_start(&bench);
    for (int i = 0; i < 40; i++)
        answers[i] = ask_key(&bench, i);
    CHECK_STR(answers, "1223213121232123231322223311321122332322");
    bench_end(&bench);
}

TEST(every_peer_is_asked_before_a_request_is_refused)
{
    struct server backup = weighing(1);
    struct bench bench;
    char answers[8];

    backup.backup = true;
    bench_begin(&bench, &round_robin_algorithm);
    bench_server(&bench, weighing(1), "unix:/nowhere/1");
    bench_server(&bench, weighing(1), "unix:/nowhere/2");
    bench_server(&bench, backup, "unix:/nowhere/3");
    bench_start(&bench);
    ask_all(&bench, answers, OUTCOME_STATUS);
    CHECK_STR(answers, "123");
    /* All are marked failed now: the last resort. */
    ask_all(&bench, answers, OUTCOME_STATUS);
    CHECK_EQ(strlen(answers), 3);
    CHECK_EQ(answers[2], '3');
    bench_end(&bench);
}

TEST(a_failed_peer_is_left_out_until_fail_timeout)
{
    struct server quick = weighing(1);
    unsigned counts[3] = {0};
    struct bench bench;

    quick.fail_timeout_ms = 50;
    bench_begin(&bench, &round_robin_algorithm);
    bench_server(&bench, quick, "unix:/nowhere/1");
    bench_server(&bench, quick, "unix:/nowhere/2");
    bench_start(&bench);
    CHECK_EQ(ask(&bench, NULL, OUTCOME_TIMEOUT), '1');
    for (int i = 0; i < 5; i++)
        CHECK_EQ(ask(&bench, NULL, OUTCOME_OK), '2');
    for (uint64_t until = loop_now_ms(bench.loop) + 60; loop_now_ms(bench.loop) < until;)
        loop_turn(bench.loop, 10);
    for (int i = 0; i < 10; i++)
        counts[ask(&bench, NULL, OUTCOME_OK) - '0']++;
    CHECK(counts[1] >= 4, "%u", counts[1]);
    CHECK(counts[2] >= 4, "%u", counts[2]);
    bench_end(&bench);
}

TEST(a_single_peer_is_never_left_out)
{
    struct bench bench;

    bench_begin(&bench, &round_robin_algorithm);
    bench_server(&bench, weighing(1), "unix:/nowhere/1");
    bench_start(&bench);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(ask(&bench, NULL, OUTCOME_REFUSED), '1');
    bench_end(&bench);
}

TEST(max_conns_makes_peers_busy)
{
    struct server limited = weighing(1);
    struct pick first, second, third;
    struct bench bench;

    limited.max_conns = 1;
    bench_begin(&bench, &least_conn_algorithm);
    bench_server(&bench, limited, "unix:/nowhere/1");
    bench_server(&bench, limited, "unix:/nowhere/2");
    bench_start(&bench);
    pick_begin(&first, bench.upstream, NULL, bench.loop);
    pick_begin(&second, bench.upstream, NULL, bench.loop);
    pick_begin(&third, bench.upstream, NULL, bench.loop);
    CHECK_EQ(pick_next(&first), PICK_PEER);
    CHECK_EQ(pick_next(&second), PICK_PEER);
    CHECK_NE(first.peer, second.peer);
    CHECK_EQ(pick_next(&third), PICK_BUSY);
    pick_end(&first);
    CHECK_EQ(pick_next(&third), PICK_PEER);
    pick_end(&third);
    pick_end(&second);
    bench_end(&bench);
}

TEST(least_conn_counts_by_weight)
{
    struct pick picks[6];
    char answers[7] = {0};
    struct bench bench;

    bench_begin(&bench, &least_conn_algorithm);
    bench_server(&bench, weighing(2), "unix:/nowhere/1");
    bench_server(&bench, weighing(1), "unix:/nowhere/2");
    bench_start(&bench);
    for (size_t i = 0; i < COUNT(picks); i++) {
        pick_begin(&picks[i], bench.upstream, NULL, bench.loop);
        CHECK_EQ(pick_next(&picks[i]), PICK_PEER);
        answers[i] = digit(&picks[i]);
    }
    CHECK_STR(answers, "121211");
    for (size_t i = 0; i < COUNT(picks); i++)
        pick_end(&picks[i]);
    bench_end(&bench);
}

TEST(random_spreads_by_weight)
{
    static const struct algorithm *const methods[] = {&random_algorithm, &random_two_algorithm};

    for (size_t m = 0; m < COUNT(methods); m++) {
        unsigned counts[3] = {0};
        struct bench bench;

        bench_begin(&bench, methods[m]);
        bench_server(&bench, weighing(1), "unix:/nowhere/1");
        bench_server(&bench, weighing(3), "unix:/nowhere/2");
        bench_start(&bench);
        for (int i = 0; i < 2000; i++)
            counts[ask(&bench, NULL, OUTCOME_OK) - '0']++;
        CHECK_EQ(counts[1] + counts[2], 2000);
        CHECK(counts[1] > 100, "%u", counts[1]);
        bench_end(&bench);
    }
}

TEST(health_outlives_the_config)
{
    struct bench bench;
    struct arena *next = arena_new(4096);
    struct upstreams *again = upstreams_new(next);
    struct server server = server_default();

    bench_begin(&bench, &round_robin_algorithm);
    bench_server(&bench, weighing(1), "unix:/nowhere/1");
    bench_server(&bench, weighing(1), "unix:/nowhere/2");
    bench_start(&bench);
    CHECK_EQ(ask(&bench, NULL, OUTCOME_TIMEOUT), '1');

    bench.upstream = upstream_new(again, slice_of("app"));
    for (char digit_of = '1'; digit_of <= '2'; digit_of++) {
        char name[] = "unix:/nowhere/?";

        name[sizeof(name) - 2] = digit_of;
        server.name = slice_of(name);
        CHECK_EQ(upstream_add(again, bench.upstream, &server, 80), SERVER_ADDED);
    }
    CHECK(balance_start(bench.balance, again));
    arena_drop(bench.arena);
    CHECK_EQ(ask(&bench, NULL, OUTCOME_OK), '2');
    CHECK_EQ(ask(&bench, NULL, OUTCOME_OK), '2');
    bench.arena = next;
    bench_end(&bench);
}
