/* Goal: the upstream block means what it means in nginx, and is refused with the same reasons.
 * Method: texts loaded through a feature that has nothing but an http block and something that
 * passes requests. */
#include "balance/upstream_conf.h"

#include "balance/algorithm_internal.h"
#include "balance/upstream.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/diag.h"
#include "config/files.h"
#include "config/loader.h"
#include "config/snapshot.h"
#include "config/variable.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>

static bool set_http(struct conf_call *call)
{
    struct scope inner;

    return loader_block(call, CTX_HTTP, NULL, &inner);
}

static bool set_pass(struct conf_call *call)
{
    return upstream_for(call, 1, conf_arg(call, 1), 80) != NULL;
}

static const struct directive directives[] = {
    {"http", CTX_MAIN, CUSTOM, .block = true, .set = set_http, .doc = "The http block."},
    {"pass", CTX_HTTP, CUSTOM, .args_min = 1, .args_max = 1, .repeatable = true, .set = set_pass,
     .doc = "Names an upstream."},
};

static const struct conf_feature test_feature = {.name = "test",
                                                 .conf_bytes = 1,
                                                 .directives = directives,
                                                 .directive_count = COUNT(directives)};
static const struct conf_feature *const features[] = {&test_feature, &upstream_feature, NULL};

static struct {
    struct snapshot *snapshot;
    struct diag diag;
} at;

/* The http block's upstreams, or NULL if there was an error. */
static struct upstreams *load(const char *body, bool strict)
{
    struct config_files *files = config_files_from_disk();
    struct arena *texts = arena_new(4096);
    struct slice text = arena_printf(texts, "http { %s }", body);
    struct loader loader = {0};
    struct scope root = {0};
    struct tree tree;

    at.snapshot = snapshot_new();
    diag_init(&at.diag);
    CHECK(config_files_add(files, "test.conf", text));
    tree_init(&tree, files);
    tree_parse(&tree, files, "test.conf", &at.diag);
    loader.arena = at.snapshot->arena;
    loader.diag = &at.diag;
    loader.tree = &tree;
    loader.context = at.snapshot;
    loader.variables = variables_new(at.snapshot->arena);
    loader.strict = strict;
    CHECK(loader_init(&loader, features, 2));
    loader_run(&loader, &root);
    if (strict)
        upstreams_check(at.snapshot->http_upstreams, &(struct app_lookup){0}, &at.diag);
    loader_fini(&loader);
    tree_fini(&tree);
    config_files_free(files);
    arena_drop(texts);
    return diag_failed(&at.diag) ? NULL : at.snapshot->http_upstreams;
}

static void unload(void)
{
    diag_fini(&at.diag);
    snapshot_unref(at.snapshot);
}

static struct upstream *find(const struct upstreams *upstreams, const char *name)
{
    CHECK(upstreams != NULL, "%s", at.diag.first == NULL ? "" : at.diag.first->message);
    return upstream_find(upstreams, slice_of(name));
}

TEST(servers_have_their_parameters)
{
    struct upstream *app = find(load("upstream App { server 127.0.0.1:3000 weight=5 max_fails=3 "
                                     "fail_timeout=1m max_conns=7; server unix:/run/x.sock backup; "
                                     "server [::1] down; keepalive 8 local; keepalive_requests 9; "
                                     "keepalive_timeout 3s; least_conn; zone app 64k; }",
                                     false),
                                "app");
    struct server *server = app->servers;

    CHECK_STR(upstream_method(app), "least_conn");
    CHECK_EQ(app->keepalive.connections, 8);
    CHECK_EQ(app->keepalive.requests, 9);
    CHECK_EQ(app->keepalive.time_ms, 3600000);
    CHECK_EQ(app->keepalive.timeout_ms, 3000);
    CHECK(!app->dynamic);
    CHECK_SLICE(server->name, "127.0.0.1:3000");
    CHECK_EQ(server->weight, 5);
    CHECK_EQ(server->max_fails, 3);
    CHECK_EQ(server->fail_timeout_ms, 60000);
    CHECK_EQ(server->max_conns, 7);
    CHECK_EQ(address_port(&server->addresses[0]), 3000);
    CHECK(server->next->backup);
    CHECK_EQ(server->next->addresses[0].any.sa_family, AF_UNIX);
    CHECK(server->next->next->down);
    CHECK_EQ(address_port(&server->next->next->addresses[0]), 80);
    unload();
}

TEST(names_are_found_at_load_or_later)
{
    struct upstreams *upstreams = load(
        "upstream a { server localhost:81; server nowhere.invalid; }", false);
    struct upstream *a = find(upstreams, "a");

    CHECK(a->dynamic);
    CHECK(a->servers->address_count > 0);
    CHECK_EQ(address_port(&a->servers->addresses[0]), 81);
    CHECK_EQ(a->servers->next->address_count, 0);
    CHECK_EQ(a->servers->next->port, 80);
    unload();
}

TEST(apps_are_servers_too)
{
    struct upstreams *upstreams = load(
        "pass web; pass web:80; upstream a { app web weight=3 slow_start=30s backup; "
        "server 1.1.1.1 slow_start=500ms; }",
        false);
    struct upstream *a = find(upstreams, "a");

    CHECK(a->dynamic);
    CHECK_EQ(a->servers->kind, SERVER_APP);
    CHECK_SLICE(a->servers->name, "web");
    CHECK_EQ(a->servers->weight, 3);
    CHECK_EQ(a->servers->slow_start_ms, 30000);
    CHECK(a->servers->backup);
    CHECK_EQ(a->servers->next->slow_start_ms, 500);
    CHECK_EQ(a->servers->next->kind, SERVER_ADDRESS);
    CHECK_EQ(find(upstreams, "web")->servers->kind, SERVER_APP_MAYBE);
    CHECK_EQ(find(upstreams, "web:80")->servers->kind, SERVER_ADDRESS);
    unload();
}

TEST(implicit_upstreams_give_way_to_blocks)
{
    struct upstreams *upstreams = load(
        "pass late; pass 127.0.0.1:81; pass 127.0.0.1:81; pass unix:/tmp/A; pass unix:/tmp/a; "
        "upstream late { server 127.0.0.1:1; }",
        false);

    CHECK_EQ(find(upstreams, "late")->implicit, false);
    CHECK_EQ(upstreams->first->stands_for, find(upstreams, "late"));
    CHECK(find(upstreams, "127.0.0.1:81")->implicit);
    CHECK_NE(find(upstreams, "unix:/tmp/a"), find(upstreams, "unix:/tmp/A"));
    unload();
}

static const struct {
    const char *body, *message;
    bool strict;
} wrong[] = {
    {"upstream a { server 1.1.1.1; } upstream A { server 1.1.1.1; }", "duplicate upstream \"A\"",
     0},
    {"upstream a { }", "no servers are inside upstream", 0},
    {"upstream a { app web resolve; }", "invalid parameter \"resolve\"", 0},
    {"upstream a { app \"\"; }", "invalid name of an app \"\"", 0},
    {"upstream a { ip_hash; server 1.1.1.1 slow_start=3s; }",
     "balancing method does not support parameter \"slow_start=3s\"", 0},
    {"upstream a { random two; app web slow_start=3s; }",
     "balancing method does not support parameter \"slow_start=3s\"", 0},
    {"upstream a { server 1.1.1.1 weight=0; }", "invalid parameter \"weight=0\"", 0},
    {"upstream a { server 1.1.1.1 backups; }", "invalid parameter \"backups\"", 0},
    {"upstream a { server 1.1.1.1 max_fails=x; }", "invalid parameter \"max_fails=x\"", 0},
    {"upstream a { ip_hash; server 1.1.1.1 backup; }",
     "balancing method does not support parameter \"backup\"", 0},
    {"upstream a { server a/b; }", "invalid host or port in upstream \"a/b\"", 0},
    {"upstream a { server 1.1.1.1:99999; }", "invalid host or port in upstream \"1.1.1.1:99999\"",
     0},
    {"upstream a { hash x consistant; server 1.1.1.1; }", "invalid parameter \"consistant\"", 0},
    {"upstream a { random three; server 1.1.1.1; }", "invalid parameter \"three\"", 0},
    {"upstream a { resolver dns.test; server 1.1.1.1; }",
     "\"dns.test\" is not the address of a DNS server", 0},
    {"upstream a { resolver valid=3s; server 1.1.1.1; }", "no name servers defined", 0},
    {"upstream a { server nowhere.invalid; }", "host not found in upstream \"nowhere.invalid\"", 1},
};

TEST(mistakes_are_refused_with_their_reason)
{
    for (size_t i = 0; i < COUNT(wrong); i++) {
        CHECK_EQ(load(wrong[i].body, wrong[i].strict), NULL, wrong[i].body);
        CHECK_STR(at.diag.first->message, wrong[i].message);
        unload();
    }
}

TEST(a_method_given_twice_is_a_warning)
{
    struct upstream *a = find(load("upstream a { least_conn; random two; server 1.1.1.1; }", false),
                              "a");

    CHECK_STR(upstream_method(a), "random two");
    CHECK_EQ(at.diag.warning_count, 1);
    CHECK_STR(at.diag.first->message, "load balancing method redefined");
    unload();
}

enum { MANY = 40000 };

TEST(cost_is_linear)
{
    char *body = malloc(MANY * 64);
    size_t len = 0;
    uint64_t begun_ms = clock_monotonic_ms();
    struct upstreams *upstreams;

    for (int i = 0; i < MANY; i++)
        len += (size_t)snprintf(body + len, 64, "upstream u%d { server 127.0.0.1:%d; }\n", i,
                                1 + i);
    upstreams = load(body, false);
    CHECK(find(upstreams, "u39999") != NULL);
    CHECK(arena_bytes_held(at.snapshot->arena) < (size_t)MANY * 1024, "%zu bytes each",
          arena_bytes_held(at.snapshot->arena) / MANY);
    CHECK(clock_monotonic_ms() - begun_ms < 10000, "with sanitizers on a busy machine");
    unload();
    free(body);
}
